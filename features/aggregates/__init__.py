"""Daily aggregates ("tallies"): one row per customer, day and event type, stored in segments.

Begin with `daily_aggregates.py`. New files extend what is stored (`incremental.py`, `manifest.py`).
May import `config`, `storage` and `sources`.
"""
