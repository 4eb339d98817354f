"""Metrics of the life cycle, as stages may name them."""
