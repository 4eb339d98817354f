"""Metrics of predictions against outcomes, as functions of arrays.

Imports nothing of ours.
"""
