"""Columns and types of the scored row, and the columns that each part fills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .part import Part

# Columns of the scored row and their types, in the order of the table.
SCORED_COLUMNS = {
    "customer_id": "string",
    "snapshot_at": "date",
    "data_through": "date",
    "stage": "string",
    "sub_stage": "string",
    "stage_since": "date",
    "previous_stage": "string",
    "stage_change_cause": "string",
    "stage_predicted": "string",
    "stage_confidence": "double",
    "stage_probabilities": "string",
    "next_stage": "string",
    "next_stage_probabilities": "string",
    "p_move": "double",
    "expected_transition_at": "date",
    "lapses_at_if_silent": "date",
    "churn_eligible": "bool",
    "p_churn": "double",
    "churn_horizon_days": "int64",
    "churn_band": "string",
    "p_first_purchase": "double",
    "lead_score": "double",
    "lead_band": "string",
    "p_reactivate": "double",
    "p_any_order": "double",
    "expected_orders": "double",
    "expected_next_order_at": "date",
    "average_order_value": "double",
    "average_days_between_orders": "double",
    "historic_clv": "double",
    "clv": "double",
    "clv_low": "double",
    "clv_high": "double",
    "clv_horizon_days": "int64",
    "value_tier": "string",
    "preferred_channel": "string",
    "flags": "string",
    "uplift": "string",
    "clv_margin": "double",
    "reason_code_1": "string",
    "reason_code_2": "string",
    "reason_code_3": "string",
    "reason_1": "string",
    "reason_2": "string",
    "reason_3": "string",
    "score_quality": "string",
    "scorer_version": "string",
    "run_id": "string",
    "scored_at": "timestamp",
}
_PASS_THROUGH_BEFORE = "preferred_channel"  # declared attributes' columns stand before this one
_PART_COLUMNS = {
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
    """Columns that `predict_scores` returns with these parts, and their types."""
    extra_types = {
        column["name"]: column["dtype"]
        for column in head["pass_through"]
        if column["name"] not in SCORED_COLUMNS
    }
    if len(parts) == 1:
        own_columns = ["customer_id", "snapshot_at", "stage", *_PART_COLUMNS[next(iter(parts))]]
        return {name: SCORED_COLUMNS[name] for name in own_columns}
    names: dict[str, str] = {}
    for name, dtype in SCORED_COLUMNS.items():
        if name == _PASS_THROUGH_BEFORE:
            names |= extra_types
        names[name] = dtype
    return names
