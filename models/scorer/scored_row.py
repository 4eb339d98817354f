"""Columns of the scored row that a scorer returns, and the columns that each part fills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .part import Part

_PASS_THROUGH_BEFORE = "preferred_channel"  # declared attributes' columns stand before this one
PART_COLUMNS = {
    "stage": ["stage_predicted", "stage_confidence", "stage_probabilities"],
    "transition": ["next_stage", "next_stage_probabilities", "p_move", "expected_transition_at"],
    "churn": ["churn_eligible", "p_churn", "churn_horizon_days", "churn_band"],
    "clv": [
        "p_first_purchase",
        "lead_score",
        "lead_band",
        "p_reactivate",
        "p_any_order",
        "expected_orders",
        "expected_next_order_at",
        "clv",
        "clv_low",
        "clv_high",
        "clv_horizon_days",
        "value_tier",
        "clv_margin",
    ],
    "uplift": ["uplift"],
}


def scored_names(parts: Mapping[str, Part], head: Mapping[str, Any]) -> dict[str, str]:
    """Columns that `predict_scores` returns with these parts, and their types.

    The scored row itself (``head["scored_row"]``) is declared once, where it was trained.
    """
    scored_row: dict[str, str] = head["scored_row"]
    extra_types = {
        column["name"]: column["dtype"]
        for column in head["pass_through"]
        if column["name"] not in scored_row
    }
    if len(parts) == 1:
        own_columns = ["customer_id", "snapshot_at", "stage", *PART_COLUMNS[next(iter(parts))]]
        return {name: scored_row[name] for name in own_columns}
    names: dict[str, str] = {}
    for name, dtype in scored_row.items():
        if name == _PASS_THROUGH_BEFORE:
            names |= extra_types
        names[name] = dtype
    return names
