"""What recipes are made of: BTYD, boosted trees, stacking, calibration, feature selection.

Begin with `binary_ensemble.py` (two classes) or `multiclass_trees.py`. `training_set.py` joins
features and labels of matured snapshots. May import `metrics`, `scorer` and `features`.
"""
