"""Predictions of the champion: batches, blocks, Spark, past dates, single customers.

Begin with `score.py`. May import `registry` and what comes before it.
"""
