"""Evaluation on later snapshots: metrics, intervals, subsets, the back-test and its warnings.

`metrics.py` defines the metrics, `task_metrics.py` assigns them to tasks, `customer_bootstrap.py`
computes them on resampled customers, `evaluate.py` applies them to a part and its baselines, and
`backtest.py` repeats this at several origins; `means_over_origins.py`, `warnings.py` and
`origin_page.py` summarise the result. Begin with `evaluate.py`. May import `features`,
`models.tasks`, `models.fitting`, `models.baselines` and `models.registry`; not campaigns or flows.
"""
