"""Simple models that the served model must beat, trained on the same snapshots.

One module per task; `registry.py` lists the baselines of every task, begin there. May import
`models.fitting`, `models.scorer` and `features`.
"""
