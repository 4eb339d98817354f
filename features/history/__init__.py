"""A customer's days: any window is the difference of two running sums.

Begin with `history.py`. `day_rows.py` is the kernel for one snapshot, `grid.py` for many at once.
May import `aggregates` and what comes before it.
"""
