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

from .derived_features import derive
from .feature_rows import Rows, matrix, number_column
from .part import Array, Part
from .stage import forest_classes, spread_classes, stage_codes


def timer_table_cells(table: Mapping[str, Any], frame: Rows, periods: int) -> Array:
    """Timer table (stage x silent period): probabilities of cells, rows x cells, sums to 1."""
    cell_probabilities = np.asarray(
        table["p"], dtype=np.float64
    )  # the last stage row is for unknown stages
    silent_periods = number_column(frame, "stage__silent_period")
    silent_periods = np.clip(
        np.nan_to_num(silent_periods, nan=periods + 1.0), 1, periods + 1
    ).astype(int)
    return np.asarray(
        cell_probabilities[stage_codes(frame, cell_probabilities.shape[0] - 1), silent_periods - 1]
    )


def drop_own_stage(probability: Array, codes: Array) -> Array:
    """Set the probability of the current stage to 0 and renormalise, rows x (stages, no change)."""
    probability, is_known = probability.copy(), codes < probability.shape[1] - 1
    probability[np.flatnonzero(is_known), codes[is_known]] = 0.0
    totals = probability.sum(axis=1, keepdims=True)
    probability[:, -1:] = np.where(totals > 0, probability[:, -1:], 1.0)
    return np.asarray(probability / np.where(totals > 0, totals, 1.0))


def _transition_timing(part: Part, features: Array, probability: Array, table: Array) -> Array:
    """Share of the moves to each stage that happen in each period: rows x stages x periods."""
    stages, periods = table.shape[1:]
    totals = table.sum(axis=2, keepdims=True)
    timing = np.where(totals > 1e-12, table / np.where(totals > 1e-12, totals, 1.0), 1.0 / periods)
    tree_weight = part.parameters["timing_weight"]
    if not tree_weight:
        return np.asarray(timing)
    columns = np.asarray(part.parameters["timing_periods"]) - 1
    for stage in range(stages):
        movers = np.flatnonzero(probability[:, stage] > 0.0)
        if len(movers):
            inputs = np.column_stack([features[movers], np.full(len(movers), float(stage))])
            learned = forest_classes(part, "timing", inputs)
            table_timing = timing[movers, stage]
            learned = spread_classes(learned, columns.tolist(), table_timing)
            timing[movers, stage] = tree_weight * learned + (1.0 - tree_weight) * table_timing
    return np.asarray(timing)


def transition_outputs(probability: Array, timing: Array, period_days: float) -> dict[str, Array]:
    """Outputs of `predict_transition` from destinations and the timing of each."""
    incidences = np.cumsum(probability[:, :-1, None] * timing, axis=2)
    moved_by = incidences.sum(axis=1)
    # The tolerance keeps a share of exactly one half on the right side of rounding errors.
    median_periods = 1.0 + np.argmax(moved_by >= 0.5 * moved_by[:, -1:] - 1e-12, axis=1)
    p_move = probability[:, :-1].sum(axis=1)
    median_periods = np.where(p_move > 0.0, median_periods, np.nan)
    return {
        "probabilities": probability,
        "p_move": p_move,
        "cif": incidences,
        "median_period": median_periods,
        "median_days": median_periods * period_days,
    }


def _transition_destinations(
    part: Part, frame: Rows, context: Mapping[str, Any]
) -> tuple[Array, Array, Array]:
    """Destination probabilities, and the input of `_transition_timing`.

    Returns
    -------
    Probabilities (rows x (stages, no change)), the inputs of the trees, and the timer table's
    probabilities (rows x stages x periods).
    """
    parameters = part.parameters
    stages, periods = len(parameters["stages"]), parameters["periods"]
    cell_probabilities = timer_table_cells(parameters["table"], frame, periods)
    table = cell_probabilities[:, :-1].reshape(len(cell_probabilities), stages, periods)
    probability = np.column_stack([table.sum(axis=2), cell_probabilities[:, -1]])
    features = np.empty((len(cell_probabilities), 0))
    if parameters["kind"] == "trees" or parameters["timing_weight"]:
        features = matrix(derive(frame, context), parameters["columns"])
    if parameters["kind"] == "trees":
        learned = forest_classes(part, "destination", features)
        tree_weight = parameters.get("destination_weight", 1.0)
        probability = (
            tree_weight * spread_classes(learned, parameters["classes"], probability)
            + (1.0 - tree_weight) * probability
        )
    return drop_own_stage(probability, stage_codes(frame, stages)), features, table


def predict_transition(part: Part, frame: Rows, context: Mapping[str, Any]) -> dict[str, Array]:
    """Destination and time of the first change of rule stage within the horizon, for one snapshot.

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
    ``probabilities`` (rows x (stages, no change), sums to 1, current stage 0), ``p_move`` (their
    sum without no change), ``cif`` (rows x stages x periods: P(moved there by period k),
    monotone), ``median_period`` (first period by which half of p_move is reached, NaN if p_move is
    0) and ``median_days`` (the same in days).
    """
    probability, features, table = _transition_destinations(part, frame, context)
    timing = _transition_timing(part, features, probability, table)
    return transition_outputs(probability, timing, part.parameters["period_days"])


def likely_moves(part: Part, frame: Rows, context: Mapping[str, Any]) -> dict[str, Array]:
    """Probabilities and ``median_days`` of `predict_transition`, at a fraction of its cost.

    Timing needs a forest per stage, so it is predicted only for customers with P(move) >= `LIKELY`;
    ``median_days`` of others is NaN.
    """
    probability, features, table = _transition_destinations(part, frame, context)
    median_days = np.full(len(probability), np.nan)
    likely_rows = np.flatnonzero(move_probability(probability) >= LIKELY)
    if len(likely_rows):
        timing = _transition_timing(
            part, features[likely_rows], probability[likely_rows], table[likely_rows]
        )
        period_days = part.parameters["period_days"]
        median_days[likely_rows] = transition_outputs(
            probability[likely_rows], timing, period_days
        )["median_days"]
    return {"probabilities": probability, "median_days": median_days}


def move_probability(probability: Array) -> Array:
    """P(any move) from probabilities with no change in the last column."""
    return np.asarray(1.0 - probability[:, -1])


LIKELY = 0.5  # least P(move) of customers who get an expected date
