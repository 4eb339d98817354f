"""Building blocks of the recipes in `models/tasks`: each fits something and returns parameters.

`training_set.py` joins features and labels of matured snapshots. `binary_ensemble.py` fits two
classes, `multiclass_trees.py` more, `clv_distribution.py` spend, `btyd.py` purchase processes,
`uplift_learner.py` effects of messages; `feature_selection.py`, `calibration.py`, `btyd_blend.py`
and `cold_start.py` serve several recipes. Begin with `binary_ensemble.py`. Nothing here predicts:
that is `models/scorer`. May import `models.metrics`, `models.scorer` and `features`.
"""
