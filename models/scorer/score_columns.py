"""Columns of the scored row, from features and from what the models predict."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .part import Array
from .scored_row import SCORED_COLUMNS
from .stage import stage_codes
from .transition import LIKELY, moves

ORDER_HORIZONS = 3  # horizons beyond which the date of the next order is no date to plan with


def json_rows(names: Sequence[str], p: Array) -> list[str]:
    """One JSON object a row: probabilities to 6 decimals, rounded so that they sum to exactly 1."""
    units = np.rint(p * 1e6).astype(np.int64)
    rows = np.arange(len(p))
    units[rows, p.argmax(axis=1)] += 1_000_000 - units.sum(axis=1)
    pattern = "{" + ", ".join(f"{json.dumps(name)}: %.6f" for name in names) + "}"
    return [pattern % tuple(row) for row in (units / 1e6).tolist()]


def days_after(snapshots: pd.Series, days: Array) -> pd.Series:
    """The day that lies `days` (rounded up; NaN: null) after every snapshot."""
    whole = pd.Series(np.ceil(np.asarray(days, dtype=np.float64)), index=snapshots.index)
    far = whole > 36_500  # a century on is no date to plan with
    return snapshots + pd.to_timedelta(whole.mask(far), unit="D").astype("timedelta64[s]")


def fact_columns(frame: pd.DataFrame, head: Mapping[str, Any]) -> dict[str, Any]:
    """What the history says without a model: stage, clock, past value, and the quality of it."""

    def known(name: str) -> Array:
        if name not in frame:
            return np.full(len(frame), np.nan)
        return np.asarray(frame[name], dtype=np.float64)

    # A code that the model does not know, or none, names no stage.
    names = np.asarray([*head["stages"], None], dtype=object)
    stage = names[stage_codes(frame, len(head["stages"]))]
    days = np.nan_to_num(known("cadence__days"), nan=0.0)
    quality = np.where(days <= 2, "thin", "ok")
    age = known("tenure__days")
    lapse = known("stage__days_to_lapse")
    return {
        "stage": stage,
        "lapses_at_if_silent": days_after(frame["snapshot_at"], np.where(lapse > 0, lapse, np.nan)),
        "average_order_value": known("purchase__amount_mean"),
        "average_days_between_orders": known("cadence__gap_mean"),
        "historic_clv": np.nan_to_num(known("purchase__sum_all"), nan=0.0),
        "score_quality": np.where(age < 30, "cold", quality),
    }


def stage_columns(out: Mapping[str, Array], head: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of the current-stage model from what `predict_stage` gives."""
    p = out["probabilities"]
    best = p.argmax(axis=1)
    return {
        "stage_predicted": np.asarray(head["stages"], dtype=object)[best],
        "stage_confidence": p[np.arange(len(p)), best],
        "stage_probabilities": json_rows(head["stages"], p),
    }


def transition_columns(
    out: Mapping[str, Array], frame: pd.DataFrame, head: Mapping[str, Any]
) -> dict[str, Any]:
    """Columns of the next-transition model from what `likely_moves` gives."""
    p = out["probabilities"]  # destinations by stage code, then no change
    move = moves(p)
    next_stage = np.asarray(head["stages"], dtype=object)[p[:, :-1].argmax(axis=1)]
    next_stage[p[:, :-1].max(axis=1) <= 0.0] = None
    days = np.where(move >= LIKELY, out["median_days"], np.nan)
    return {
        "next_stage": next_stage,
        "next_stage_probabilities": json_rows([*head["stages"], "no_change"], p),
        "p_move": move,
        "expected_transition_at": days_after(frame["snapshot_at"], days),
    }


def clv_columns(
    out: Mapping[str, Array], frame: pd.DataFrame, stage: Array, head: Mapping[str, Any]
) -> dict[str, Any]:
    """Columns of the CLV model, with the lead's and the chance of coming back."""
    columns: dict[str, Any] = {name: out[name] for name in out if name in SCORED_COLUMNS}
    # The table tells the mean so far; what is expected of the next order is in clv and orders.
    columns.pop("average_order_value", None)
    soon = out["next_order_days"] <= ORDER_HORIZONS * out["clv_horizon_days"]
    days = np.where(soon, out["next_order_days"], np.nan)
    columns["expected_next_order_at"] = days_after(frame["snapshot_at"], days)
    columns["p_reactivate"] = np.where(stage == head["lapsed_stage"], out["p_any_order"], np.nan)
    return columns
