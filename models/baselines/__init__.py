"""Simple models that the served one must beat, trained on the same snapshots.

Begin with `registry.py`, which lists the baselines of every task. May import `fitting` and what
comes before it.
"""
