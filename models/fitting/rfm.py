"""Columns of the plain churn regression on recency, frequency and monetary value (RFM)."""

from __future__ import annotations

CHURN_LABEL = "no_purchase"
RFM_COLUMNS = ["purchase__recency_days", "purchase__count_all", "purchase__sum_all"]
RFM_STRENGTH = 1.0  # C: three columns need no shrinking
