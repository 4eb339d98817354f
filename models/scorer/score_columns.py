"""Columns of the scored row, from features and predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .feature_rows import FeatureRows
from .part import Array
from .scored_row import PART_COLUMNS
from .stage import stage_codes
from .transition import LIKELY, move_probability

_ORDER_HORIZONS = 3  # a next order further ahead than these horizons gets no date


def _json_rows(names: Sequence[str], probability: Array) -> list[str]:
    """One JSON object per row: probabilities with 6 decimals that sum to exactly 1."""
    millionths = np.rint(probability * 1e6).astype(np.int64)
    rows = np.arange(len(probability))
    millionths[rows, probability.argmax(axis=1)] += 1_000_000 - millionths.sum(axis=1)
    pattern = "{" + ", ".join(f"{json.dumps(name)}: %.6f" for name in names) + "}"
    return [pattern % tuple(row) for row in (millionths / 1e6).tolist()]


def _days_after(snapshots: Array, days: Array) -> Array:
    """The date `days` (rounded up) after every snapshot (datetime64[s]); NaT for NaN."""
    whole_days = np.ceil(days)
    is_near = whole_days <= 36_500  # a century on is no date to plan with
    dates = np.full(len(snapshots), np.datetime64("NaT", "s"))
    ahead = (whole_days[is_near] * 86_400).astype("timedelta64[s]")
    dates[is_near] = snapshots[is_near] + ahead
    return dates


def fact_columns(frame: FeatureRows, head: Mapping[str, Any]) -> dict[str, Any]:
    """Columns without a model: rule stage, lapse date, past value and data quality."""

    def known(name: str) -> Array:
        if name not in frame:
            return np.full(len(frame), np.nan)
        return frame[name]

    # An unknown or missing code has no stage name.
    stage_names = np.asarray([*head["stages"], None], dtype=object)
    stages = stage_names[stage_codes(frame, len(head["stages"]))]
    purchase_days = np.nan_to_num(known("cadence__days"), nan=0.0)
    quality = np.where(purchase_days <= 2, "thin", "ok")
    tenure_days = known("tenure__days")
    lapse_days = known("stage__days_to_lapse")
    return {
        "stage": stages,
        "lapses_at_if_silent": _days_after(
            frame["snapshot_at"], np.where(lapse_days > 0, lapse_days, np.nan)
        ),
        "average_order_value": known("purchase__amount_mean"),
        "average_days_between_orders": known("cadence__gap_mean"),
        "historic_clv": np.nan_to_num(known("purchase__sum_all"), nan=0.0),
        "score_quality": np.where(tenure_days < 30, "cold", quality),
    }


def current_stage_columns(output: Mapping[str, Array], head: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of the current-stage model from the output of `predict_stage`."""
    probability = output["probabilities"]
    likeliest = probability.argmax(axis=1)
    return {
        "stage_predicted": np.asarray(head["stages"], dtype=object)[likeliest],
        "stage_confidence": probability[np.arange(len(probability)), likeliest],
        "stage_probabilities": _json_rows(head["stages"], probability),
    }


def transition_columns(
    output: Mapping[str, Array], frame: FeatureRows, head: Mapping[str, Any]
) -> dict[str, Any]:
    """Columns of the next-transition model from the output of `likely_moves`."""
    probability = output["probabilities"]  # destinations by stage code, then no change
    p_move = move_probability(probability)
    next_stage = np.asarray(head["stages"], dtype=object)[probability[:, :-1].argmax(axis=1)]
    next_stage[probability[:, :-1].max(axis=1) <= 0.0] = None
    median_days = np.where(p_move >= LIKELY, output["median_days"], np.nan)
    return {
        "next_stage": next_stage,
        "next_stage_probabilities": _json_rows([*head["stages"], "no_change"], probability),
        "p_move": p_move,
        "expected_transition_at": _days_after(frame["snapshot_at"], median_days),
    }


def clv_columns(
    output: Mapping[str, Array], frame: FeatureRows, stage: Array, head: Mapping[str, Any]
) -> dict[str, Any]:
    """Columns of the CLV model, with the lead score and the reactivation probability."""
    columns: dict[str, Any] = {name: output[name] for name in PART_COLUMNS["clv"] if name in output}
    is_soon = output["next_order_days"] <= _ORDER_HORIZONS * output["clv_horizon_days"]
    order_days = np.where(is_soon, output["next_order_days"], np.nan)
    columns["expected_next_order_at"] = _days_after(frame["snapshot_at"], order_days)
    columns["p_reactivate"] = np.where(stage == head["lapsed_stage"], output["p_any_order"], np.nan)
    return columns
