"""Columns of the plain regression on recency, frequency and money that churn models lean on."""

from __future__ import annotations

TARGET = "no_purchase"
RFM = ["purchase__recency_days", "purchase__count_all", "purchase__sum_all"]
RFM_STRENGTH = 1.0  # C: three columns need no shrinking
