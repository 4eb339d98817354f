"""All inference of stagecast: a self-contained package that is logged with every model.

Training, back-tests and batch scoring predict through these modules, and a copy of them lies beside
every registered model, under a name made of the hash of its content. A model therefore always runs
the code it was logged with, also where nobody has heard of this project, and beside other versions.

Modules import one another relatively, and beside that only numpy, pandas, lightgbm and the standard
library; `pyfunc` alone imports mlflow. Fitted models arrive as JSON and LightGBM text models.

Begin with `predict` (feature rows in, scored rows out); each task has a module (`stage`,
`transition`, `churn`, `clv`, `uplift`), `artifacts` reads and writes the folder of a scorer, and
`pyfunc` holds the model that MLflow loads.
"""
