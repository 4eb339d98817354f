"""Predict the next stage and when it is reached.

Parameters: stages, periods, period_days, kind (trees, table), timing_weight (of the trees, the
rest is the table's), columns, classes (destination codes by booster column; len(stages) means no
change), timing_periods (1-based periods by booster column), table {p (stage x silent period x
cell)}, report. Boosters: destination and timing; on few rows also destination_1, timing_1, ...,
whose mean is taken. A cell is destination x periods + period - 1; the last cell is no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .derived_features import derive
from .linear_model import matrix
from .part import Array, Part
from .stage import forest_classes, spread_classes, stage_codes


def timer_table_cells(table: Mapping[str, Any], frame: pd.DataFrame, periods: int) -> Array:
    """Timer table (stage x silent period): probabilities of cells, rows x cells, sums to 1."""
    p = np.asarray(table["p"], dtype=np.float64)  # the last stage row is for unknown stages
    silent = frame["stage__silent_period"].to_numpy(dtype=np.float64, na_value=np.nan)
    silent = np.clip(np.nan_to_num(silent, nan=periods + 1.0), 1, periods + 1).astype(int)
    return np.asarray(p[stage_codes(frame, p.shape[0] - 1), silent - 1])


def without_origin(p: Array, code: Array) -> Array:
    """Probabilities with the origin's class zeroed and renormalised, rows x (stages, no change)."""
    p, known = p.copy(), code < p.shape[1] - 1
    p[np.flatnonzero(known), code[known]] = 0.0
    total = p.sum(axis=1, keepdims=True)
    p[:, -1:] = np.where(total > 0, p[:, -1:], 1.0)
    return np.asarray(p / np.where(total > 0, total, 1.0))


def transition_timing(part: Part, x: Array, p: Array, table: Array) -> Array:
    """Share of the moves to each stage that come in each period: rows x stages x periods."""
    stages, periods = table.shape[1:]
    total = table.sum(axis=2, keepdims=True)
    timing = np.where(total > 1e-12, table / np.where(total > 1e-12, total, 1.0), 1.0 / periods)
    weight = part.parameters["timing_weight"]
    if not weight:
        return np.asarray(timing)
    columns = np.asarray(part.parameters["timing_periods"]) - 1
    for stage in range(stages):
        going = np.flatnonzero(p[:, stage] > 0.0)
        if len(going):
            inputs = np.column_stack([x[going], np.full(len(going), float(stage))])
            learned = forest_classes(part, "timing", inputs)
            known = timing[going, stage]
            learned = spread_classes(learned, columns.tolist(), known)
            timing[going, stage] = weight * learned + (1.0 - weight) * known
    return np.asarray(timing)


def transition_outputs(p: Array, timing: Array, period_days: float) -> dict[str, Array]:
    """Outputs of `predict_transition` from destinations and the timing of each."""
    cif = np.cumsum(p[:, :-1, None] * timing, axis=2)
    moved_by = cif.sum(axis=1)
    # The tolerance keeps a share of exactly one half from falling to rounding.
    median = 1.0 + np.argmax(moved_by >= 0.5 * moved_by[:, -1:] - 1e-12, axis=1)
    move = p[:, :-1].sum(axis=1)
    median = np.where(move > 0.0, median, np.nan)
    return {
        "probabilities": p,
        "p_move": move,
        "cif": cif,
        "median_period": median,
        "median_days": median * period_days,
    }


def transition_destinations(
    part: Part, frame: pd.DataFrame, context: Mapping[str, Any]
) -> tuple[Array, Array, Array]:
    """Where every customer goes, and what `transition_timing` needs to say when.

    Returns
    -------
    Probabilities (rows x (stages, no change)), the inputs of the trees, and the timer table's
    probabilities (rows x stages x periods).
    """
    parameters = part.parameters
    stages, periods = len(parameters["stages"]), parameters["periods"]
    cells = timer_table_cells(parameters["table"], frame, periods)
    table = cells[:, :-1].reshape(len(cells), stages, periods)
    p = np.column_stack([table.sum(axis=2), cells[:, -1]])
    x = np.empty((len(cells), 0))
    if parameters["kind"] == "trees" or parameters["timing_weight"]:
        x = matrix(derive(frame, context), parameters["columns"])
    if parameters["kind"] == "trees":
        learned = forest_classes(part, "destination", x)
        weight = parameters.get("destination_weight", 1.0)
        p = weight * spread_classes(learned, parameters["classes"], p) + (1.0 - weight) * p
    return without_origin(p, stage_codes(frame, stages)), x, table


def predict_transition(
    part: Part, frame: pd.DataFrame, context: Mapping[str, Any]
) -> dict[str, Array]:
    """First change of rule stage within the horizon: where to, and when; for one snapshot.

    Parameters
    ----------
    part
        Fitted by `models.tasks.transition.fit_transition`.
    frame
        Feature frame of one snapshot.
    context
        Scoring context of the snapshot.

    Returns
    -------
    ``probabilities`` (rows x (stages, no change), sums to 1, the present stage 0), ``p_move``
    (their sum without no change), ``cif`` (rows x stages x periods: P(moved there by period k),
    monotone), ``median_period`` (first period by which half of p_move has come, NaN where nobody
    moves) and ``median_days`` (the same in days).
    """
    p, x, table = transition_destinations(part, frame, context)
    timing = transition_timing(part, x, p, table)
    return transition_outputs(p, timing, part.parameters["period_days"])


def likely_moves(part: Part, frame: pd.DataFrame, context: Mapping[str, Any]) -> dict[str, Array]:
    """What the scored row tells of `predict_transition`, at a fraction of its cost.

    Timing has a forest walked once a stage, and only those who likelier move than not are told a
    day: the others' ``median_days`` are NaN here.
    """
    p, x, table = transition_destinations(part, frame, context)
    days = np.full(len(p), np.nan)
    likely = np.flatnonzero(moves(p) >= LIKELY)
    if len(likely):
        timing = transition_timing(part, x[likely], p[likely], table[likely])
        period_days = part.parameters["period_days"]
        days[likely] = transition_outputs(p[likely], timing, period_days)["median_days"]
    return {"probabilities": p, "median_days": days}


def moves(p: Array) -> Array:
    """P(any move) from destinations with no change last."""
    return np.asarray(1.0 - p[:, -1])


LIKELY = 0.5  # P(move) from which on the day of a move is told
