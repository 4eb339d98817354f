"""Predictions of everybody: in batches, by blocks, on Spark, of past dates, of single customers."""
