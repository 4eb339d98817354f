"""Taxonomies of stages: their language, what holds of whom, since when, and why."""
