"""Stores of scores and runs: DuckDB or PostgreSQL, atomic writes, locks and retention.

Begin with `scores_store.py`, which publishes a run; `runs.py` says what a run is. May import only
`config`.
"""
