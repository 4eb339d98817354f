"""Metrics of predictions against outcomes, as functions of arrays.

Begin with `metrics.py`; `bootstrap.py` gives intervals of any statistic, with customers resampled.
`shown_metrics.py` says which metrics of a model are shown where.
Imports nothing of ours but the array type.
"""
