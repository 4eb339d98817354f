"""Life-cycle metrics: what each stage is worth, how customers move, per period.

Begin with `metric_catalog.py`, which defines every metric, and `metric_table.py`, which computes
them.
"""
