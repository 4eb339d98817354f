"""All inference of stagecast: a self-contained package that is logged with every model.

Training, back-tests and batch scoring predict with these modules, and a copy of them is stored with
every registered model, under a name made from the hash of its content. A model therefore always
runs the code it was logged with, also without stagecast installed, and beside other versions.

Modules import one another relatively, and otherwise only numpy, pandas, lightgbm and the standard
library; `pyfunc` alone imports mlflow. Fitted models are read from JSON and LightGBM text models.

Begin with `predict` (feature rows in, scored rows out); each task has a module (`stage`,
`transition`, `churn`, `clv`, `uplift`), `artifacts` reads and writes the folder of a scorer, and
`pyfunc` holds the model that MLflow loads.
"""
