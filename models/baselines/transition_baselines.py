"""Baselines of the next transition, trained on the same snapshots as the served recipe.

All return the outputs of `models.scorer.transition.predict_transition`. The timer table is the
strongest: rule timers are deterministic, and the day on which silence alone moves a customer
predicts more than either Markov chain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.scorer.stage import stage_codes
from models.scorer.transition import drop_own_stage, timer_table_cells, transition_outputs

_SMOOTHING = 20.0  # weight of the stage-only frequencies, in customers
_DURATION_EDGES = (1.0, 2.0, 4.0, 8.0, 13.0, 26.0)  # periods in stage


def transition_cells(train: pd.DataFrame, *, stages: int, periods: int) -> Array:
    """Outcome code of every training row: destination x periods + period - 1.

    Parameters
    ----------
    train
        Rows with next_code (any value without a change) and period (0: no change).
    stages, periods
        Numbers of stages and of periods of the grid; the code of no change is stages x periods.

    Raises
    ------
    ValueError
        If a destination or period lies outside the grid.
    """
    destinations = train["next_code"].to_numpy(dtype=np.float64, na_value=np.nan)
    move_periods = train["period"].to_numpy(dtype=np.float64, na_value=np.nan)
    has_moved = move_periods > 0
    is_valid = ~np.isnan(move_periods) & (move_periods <= periods)
    is_valid &= ~has_moved | ((destinations >= 0) & (destinations < stages))
    if not is_valid.all():
        raise ValueError(
            f"next_code, period: found {destinations[~is_valid][:3].tolist()}, "
            f"{move_periods[~is_valid][:3].tolist()}; expected stage codes 0 to {stages - 1} and "
            f"periods 0 to {periods}"
        )
    cell_codes = (
        np.where(has_moved, destinations, 0.0) * periods
        + np.where(has_moved, move_periods, 1.0)
        - 1
    )
    return np.where(has_moved, cell_codes, stages * periods).astype(int)


def fit_timer_table(train: pd.DataFrame, *, stages: int, periods: int) -> dict[str, Any]:
    """Timer table stage x silent period, smoothed to the stage with weight 20; JSON-able.

    Returns
    -------
    ``p``: (stages + 1) x (periods + 1) x (stages x periods + 1); the last stage is for unknown
    codes and holds the frequencies of all.
    """
    shape = (stages + 1, periods + 1, stages * periods + 1)
    codes = stage_codes(train, stages)
    silent_periods = train["stage__silent_period"].to_numpy(dtype=np.float64, na_value=np.nan)
    silent_periods = np.clip(
        np.nan_to_num(silent_periods, nan=periods + 1.0), 1, periods + 1
    ).astype(int)
    counts = np.zeros(shape)
    np.add.at(
        counts,
        (codes, silent_periods - 1, transition_cells(train, stages=stages, periods=periods)),
        1.0,
    )
    by_stage = counts.sum(axis=1)
    # A stage without rows gets the frequencies of all; without any row there is no change.
    overall_rates = by_stage.sum(axis=0)
    overall_rates[-1] += 1e-9
    overall_rates /= overall_rates.sum()
    stage_totals = by_stage.sum(axis=1, keepdims=True)
    prior = np.where(stage_totals > 0, by_stage / np.maximum(stage_totals, 1.0), overall_rates)
    prior[-1] = overall_rates
    smoothed = counts + _SMOOTHING * prior[:, None, :]
    return {"p": (smoothed / smoothed.sum(axis=2, keepdims=True)).tolist()}


def _from_cells(
    cell_chances: Array, codes: Array, *, stages: int, periods: int, period_days: float
) -> dict[str, Array]:
    """Outputs of a transition model from probabilities of cells (rows x cells)."""
    joint = cell_chances[:, :-1].reshape(len(cell_chances), stages, periods)
    totals = joint.sum(axis=2, keepdims=True)
    timing = np.where(totals > 0, joint / np.where(totals > 0, totals, 1.0), 1.0 / periods)
    destination_chances = np.column_stack([totals[:, :, 0], cell_chances[:, -1]])
    return transition_outputs(drop_own_stage(destination_chances, codes), timing, period_days)


def timer_table(
    train: pd.DataFrame, rows: pd.DataFrame, *, stages: int, periods: int, period_days: float
) -> dict[str, Array]:
    """The timer table fitted on training rows, for test rows."""
    table = fit_timer_table(train, stages=stages, periods=periods)
    return _from_cells(
        timer_table_cells(table, rows, periods),
        stage_codes(rows, stages),
        stages=stages,
        periods=periods,
        period_days=period_days,
    )


def _hazards(moves: Array, at_risk: Array, prior: Array) -> Array:
    """Probability of each destination in one period, smoothed to `prior` with weight 20 periods."""
    return np.asarray((moves + _SMOOTHING * prior) / (at_risk[..., None] + _SMOOTHING))


def _incidence(hazard: Array) -> Array:
    """Probabilities of cells of the first move, from hazards (rows x periods x stages)."""
    stay_chances = 1.0 - np.clip(hazard.sum(axis=2), 0.0, 1.0)
    survived = np.cumprod(stay_chances, axis=1)
    survived_before = np.column_stack([np.ones(len(stay_chances)), survived[:, :-1]])
    joint = np.swapaxes(hazard * survived_before[:, :, None], 1, 2)
    rows, stages, periods = joint.shape
    return np.column_stack([joint.reshape(rows, stages * periods), survived[:, -1]])


def _periods_at_risk(train: pd.DataFrame, periods: int) -> tuple[Array, Array, Array]:
    """Row and period (from 1) of every customer-period at risk, and whether the move was in it."""
    move_periods = train["period"].to_numpy().astype(int)
    lengths = np.where(move_periods > 0, move_periods, periods)
    row_numbers = np.repeat(np.arange(len(train)), lengths)
    periods_at_risk = (
        np.arange(len(row_numbers)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    )
    return row_numbers, periods_at_risk, move_periods[row_numbers] == periods_at_risk


def _stage_hazards(train: pd.DataFrame, stages: int, periods: int) -> Array:
    """Move probabilities in one period, (stages + 1) x stages; the last row is of all stages."""
    row_numbers, _, moved = _periods_at_risk(train, periods)
    codes = stage_codes(train, stages)[row_numbers]
    destinations = train["next_code"].to_numpy().astype(int)[row_numbers]
    moves, at_risk = np.zeros((stages + 1, stages)), np.bincount(codes, minlength=stages + 1)
    np.add.at(moves, (codes[moved], destinations[moved]), 1.0)
    moves[-1], at_risk[-1] = moves.sum(axis=0), at_risk.sum()
    return np.asarray(moves / np.maximum(at_risk, 1.0)[:, None])


def markov(
    train: pd.DataFrame, rows: pd.DataFrame, *, stages: int, periods: int, period_days: float
) -> dict[str, Array]:
    """Markov chain on the period grid: one transition matrix for any time in stage."""
    codes = stage_codes(rows, stages)
    hazards = _stage_hazards(train, stages, periods)[codes]
    cell_chances = _incidence(np.repeat(hazards[:, None, :], periods, axis=1))
    return _from_cells(cell_chances, codes, stages=stages, periods=periods, period_days=period_days)


def semi_markov(
    train: pd.DataFrame, rows: pd.DataFrame, *, stages: int, periods: int, period_days: float
) -> dict[str, Array]:
    """Semi-Markov chain: the move probability depends on the stage and the periods spent in it."""

    def duration(frame: pd.DataFrame, row: Array, k: Any) -> Array:
        periods_spent = frame["stage__periods_in_stage"].to_numpy(dtype=np.float64, na_value=0.0)
        return np.asarray(
            np.searchsorted(_DURATION_EDGES, periods_spent[row] + k - 1, side="right")
        )

    row_numbers, period_numbers, moved = _periods_at_risk(train, periods)
    shape = (stages + 1, len(_DURATION_EDGES) + 1)
    codes, duration_bins = (
        stage_codes(train, stages)[row_numbers],
        duration(train, row_numbers, period_numbers),
    )
    destinations = train["next_code"].to_numpy().astype(int)[row_numbers]
    moves, at_risk = np.zeros((*shape, stages)), np.zeros(shape)
    np.add.at(moves, (codes[moved], duration_bins[moved], destinations[moved]), 1.0)
    np.add.at(at_risk, (codes, duration_bins), 1.0)
    prior = _stage_hazards(train, stages, periods)[:, None, :]
    hazards = _hazards(moves, at_risk, prior)
    current_codes = stage_codes(rows, stages)
    period_grid = np.arange(1, periods + 1)
    duration_grid = np.column_stack(
        [duration(rows, np.arange(len(rows)), period_number) for period_number in period_grid]
    )
    cell_chances = _incidence(hazards[current_codes[:, None], duration_grid])
    return _from_cells(
        cell_chances, current_codes, stages=stages, periods=periods, period_days=period_days
    )
