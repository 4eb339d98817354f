"""Where scores and runs are kept: DuckDB or PostgreSQL, atomic writes, locks, retention.

Begin with `scores_store.py`, which publishes a run; `runs.py` says what a run is. May import only
`config`.
"""
