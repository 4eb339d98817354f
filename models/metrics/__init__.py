"""Metrics of predictions against outcomes, as functions of arrays, and the customer bootstrap.

Begin with `metrics.py`. Imports only the array type of `features`.
"""
