"""What the next-transition model is measured against, on the same training snapshots.

All give the outputs of `models.scorer.transition.predict_transition`. The timer table is the one
to beat: rule timers are deterministic, and knowing when silence alone moves a customer beats both
chains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.scorer.stage import stage_codes
from models.scorer.transition import timer_table_cells, transition_outputs, without_origin

_SMOOTHING = 20.0  # customers that the stage-only frequencies weigh
_DURATION_EDGES = (1.0, 2.0, 4.0, 8.0, 13.0, 26.0)  # periods in stage


def cells(train: pd.DataFrame, *, stages: int, periods: int) -> Array:
    """Outcome of every training row as one code: destination x periods + period - 1, or no change.

    Parameters
    ----------
    train
        Rows with next_code (-1 or anything where there is no change) and period (0: no change).
    stages, periods
        Numbers of stages and of periods of the grid; no change is stages x periods.

    Raises
    ------
    ValueError
        A destination or period lies outside them.
    """
    destination = train["next_code"].to_numpy(dtype=np.float64, na_value=np.nan)
    period = train["period"].to_numpy(dtype=np.float64, na_value=np.nan)
    moved = period > 0
    good = ~np.isnan(period) & (period <= periods)
    good &= ~moved | ((destination >= 0) & (destination < stages))
    if not good.all():
        raise ValueError(
            f"next_code, period: found {destination[~good][:3].tolist()}, "
            f"{period[~good][:3].tolist()}; expected stage codes 0 to {stages - 1} and periods "
            f"0 to {periods}"
        )
    code = np.where(moved, destination, 0.0) * periods + np.where(moved, period, 1.0) - 1
    return np.where(moved, code, stages * periods).astype(int)


def fit_timer_table(train: pd.DataFrame, *, stages: int, periods: int) -> dict[str, Any]:
    """Timer table stage x silent period, smoothed to the stage with weight 20; JSON-able.

    Returns
    -------
    ``p``: (stages + 1) x (periods + 1) x (stages x periods + 1); the last stage is for unknown
    codes and holds the frequencies of all.
    """
    shape = (stages + 1, periods + 1, stages * periods + 1)
    code = stage_codes(train, stages)
    silent = train["stage__silent_period"].to_numpy(dtype=np.float64, na_value=np.nan)
    silent = np.clip(np.nan_to_num(silent, nan=periods + 1.0), 1, periods + 1).astype(int)
    counts = np.zeros(shape)
    np.add.at(counts, (code, silent - 1, cells(train, stages=stages, periods=periods)), 1.0)
    by_stage = counts.sum(axis=1)
    # Nothing known of a stage or of anybody: nobody moves.
    overall = by_stage.sum(axis=0)
    overall[-1] += 1e-9
    overall /= overall.sum()
    total = by_stage.sum(axis=1, keepdims=True)
    prior = np.where(total > 0, by_stage / np.maximum(total, 1.0), overall)
    prior[-1] = overall
    p = counts + _SMOOTHING * prior[:, None, :]
    return {"p": (p / p.sum(axis=2, keepdims=True)).tolist()}


def _from_cells(
    found: Array, code: Array, *, stages: int, periods: int, period_days: float
) -> dict[str, Array]:
    """Outputs of a transition model from probabilities of cells (rows x cells)."""
    joint = found[:, :-1].reshape(len(found), stages, periods)
    total = joint.sum(axis=2, keepdims=True)
    timing = np.where(total > 0, joint / np.where(total > 0, total, 1.0), 1.0 / periods)
    p = np.column_stack([total[:, :, 0], found[:, -1]])
    return transition_outputs(without_origin(p, code), timing, period_days)


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
    """Chance of each destination in one period, drawn to `prior` with weight 20 periods."""
    return np.asarray((moves + _SMOOTHING * prior) / (at_risk[..., None] + _SMOOTHING))


def _incidence(hazard: Array) -> Array:
    """Probabilities of cells from hazards, rows x periods x stages: first move only."""
    stay = 1.0 - np.clip(hazard.sum(axis=2), 0.0, 1.0)
    survived = np.cumprod(stay, axis=1)
    before = np.column_stack([np.ones(len(stay)), survived[:, :-1]])
    joint = np.swapaxes(hazard * before[:, :, None], 1, 2)
    rows, stages, periods = joint.shape
    return np.column_stack([joint.reshape(rows, stages * periods), survived[:, -1]])


def _followed(train: pd.DataFrame, periods: int) -> tuple[Array, Array, Array]:
    """Row, period (1-based) of every customer-period at risk, and whether the move came in it."""
    period = train["period"].to_numpy().astype(int)
    length = np.where(period > 0, period, periods)
    row = np.repeat(np.arange(len(train)), length)
    k = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length) + 1
    return row, k, period[row] == k


def _stage_hazards(train: pd.DataFrame, stages: int, periods: int) -> Array:
    """Chance of each destination in one period by stage, (stages + 1) x stages; last: of all."""
    row, _, moved = _followed(train, periods)
    code = stage_codes(train, stages)[row]
    destination = train["next_code"].to_numpy().astype(int)[row]
    moves, at_risk = np.zeros((stages + 1, stages)), np.bincount(code, minlength=stages + 1)
    np.add.at(moves, (code[moved], destination[moved]), 1.0)
    moves[-1], at_risk[-1] = moves.sum(axis=0), at_risk.sum()
    return np.asarray(moves / np.maximum(at_risk, 1.0)[:, None])


def markov(
    train: pd.DataFrame, rows: pd.DataFrame, *, stages: int, periods: int, period_days: float
) -> dict[str, Array]:
    """Markov chain on the period grid: one transition matrix, whatever the time in stage."""
    code = stage_codes(rows, stages)
    hazard = _stage_hazards(train, stages, periods)[code]
    found = _incidence(np.repeat(hazard[:, None, :], periods, axis=1))
    return _from_cells(found, code, stages=stages, periods=periods, period_days=period_days)


def semi_markov(
    train: pd.DataFrame, rows: pd.DataFrame, *, stages: int, periods: int, period_days: float
) -> dict[str, Array]:
    """Semi-Markov chain: the chance to move depends on the stage and the periods spent in it."""

    def duration(frame: pd.DataFrame, row: Array, k: Any) -> Array:
        spent = frame["stage__periods_in_stage"].to_numpy(dtype=np.float64, na_value=0.0)
        return np.asarray(np.searchsorted(_DURATION_EDGES, spent[row] + k - 1, side="right"))

    row, k, moved = _followed(train, periods)
    shape = (stages + 1, len(_DURATION_EDGES) + 1)
    code, bins = stage_codes(train, stages)[row], duration(train, row, k)
    destination = train["next_code"].to_numpy().astype(int)[row]
    moves, at_risk = np.zeros((*shape, stages)), np.zeros(shape)
    np.add.at(moves, (code[moved], bins[moved], destination[moved]), 1.0)
    np.add.at(at_risk, (code, bins), 1.0)
    prior = _stage_hazards(train, stages, periods)[:, None, :]
    hazard = _hazards(moves, at_risk, prior)
    now = stage_codes(rows, stages)
    grid = np.arange(1, periods + 1)
    spent = np.column_stack([duration(rows, np.arange(len(rows)), each) for each in grid])
    found = _incidence(hazard[now[:, None], spent])
    return _from_cells(found, now, stages=stages, periods=periods, period_days=period_days)
