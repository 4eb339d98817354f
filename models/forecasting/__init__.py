"""Forecasts of the whole base: how many customers will be in each stage in the next months.

Begin with `stage_forecast`. It imports `features` only.
"""
