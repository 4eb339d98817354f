"""Metrics of predictions against outcomes, as functions of arrays.

Begin with `metrics.py`; `bootstrap.py` gives intervals of any statistic, with customers resampled.
Imports nothing of ours but the array type.
"""
