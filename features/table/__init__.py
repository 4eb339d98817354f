"""The feature table: features, stages and labels of every customer at a snapshot.

Begin with `snapshot_builder.py`; `prediction_targets.py` says what each task predicts. Features of
one kind stand together in `families/`; only `labels.py` may look at or after a snapshot. May import
every other folder but `storage` of scores and `spark`.
"""
