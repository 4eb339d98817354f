"""Evaluation on later snapshots: figures, intervals, subsets, the back-test and its warnings.

`customer_bootstrap.py` computes metrics on resampled customers, `evaluate.py` applies them to a
part and its baselines, and `backtest.py` repeats this at past dates; `means_over_origins.py`,
`warnings.py`, `backtest_gates.py` and `origin_page.py` summarise the result. Begin with
`evaluate.py`. May import `tasks` and the folders before it.
"""
