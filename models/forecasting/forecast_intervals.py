"""How wide the intervals of a forecast must be: the errors it would have made at past dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Array
from models.forecasting.stage_moves import (
    GRID_DAYS,
    STEP_DATES,
    Chain,
    Steps,
    chain_at,
    group_paths,
    tilted,
)
from models.forecasting.stage_states import STEP_DAYS

COVERAGE = 0.8
FEWEST_ORIGINS = 6  # past dates that errors must come from
_TILT = 0.1  # change of log-odds by which the sensitivity to a common shock is measured
_DRIFT = 0.1  # growth of the scale by month ahead: habits change, and the shares with them
_MEMORY = 180.0  # days after which an error of the past weighs half
_POOLED = 4.0  # dates that do not overlap, as many as which the errors of all stages count


@dataclass(frozen=True)
class Prediction:
    """Means and scales of a forecast made at a date: months x stages."""

    mean: Array
    scale: Array


def predict(steps: Steps, day: int, months: int, half_life: float) -> Prediction:
    """Forecast from what was known at a date of the grid, with the scale of its errors."""
    start = steps.sizes[int(np.searchsorted(steps.grid, day))]
    chain = chain_at(steps, day, half_life)
    mean = steps.counts(group_paths(start, chain, months))
    ends = [
        steps.counts(group_paths(start, tilted(chain, steps.active, change), months))
        for change in (-_TILT, _TILT)
    ]
    by_shock = (ends[1] - ends[0]) / 2
    ahead = np.arange(1, months + 1)[:, None]
    by_newcomers = ahead * steps.counts(_spread(steps, day, half_life))
    variance = _chance_variance(steps, start, chain, months) + by_shock**2 + by_newcomers**2 + 1.0
    return Prediction(mean, np.sqrt(variance) * (1 + _DRIFT * (ahead - 1)))


def _chance_variance(steps: Steps, start: Array, chain: Chain, months: int) -> Array:
    """Variance of the counts by the chance of single customers: months x stages."""
    power, joined, variances = np.eye(len(start)), np.zeros(len(start)), []
    for _ in range(months):
        power = power @ chain.shares
        joined = joined @ chain.shares + chain.newcomers
        shares = steps.counts(power)
        variances.append(start @ (shares * (1 - shares)) + steps.counts(joined))
    return np.stack(variances)


def _spread(steps: Steps, day: int, half_life: float) -> Array:
    """Standard deviation of the newcomers of a step, shared out to groups as they come."""
    known = steps.days <= day
    weights, joined = 0.5 ** ((day - steps.days[known]) / half_life), steps.newcomers[known]
    totals = joined.sum(axis=1)
    mean = float(np.average(totals, weights=weights))
    spread = np.sqrt(np.average((totals - mean) ** 2, weights=weights))
    return np.asarray(weights @ joined / weights.sum() / max(mean, 1e-12) * spread)


def past_errors(steps: Steps, origins: Sequence[int], months: int, half_life: float) -> Array:
    """Errors of forecasts at past dates in units of their scale: origins x months x stages."""
    actual = steps.counts(steps.sizes)
    errors = np.full((len(origins), months, len(steps.names)), np.nan)
    for number, origin in enumerate(origins):
        prediction = predict(steps, origin, months, half_life)
        first = int(np.searchsorted(steps.grid, origin)) + STEP_DATES
        came = actual[first::STEP_DATES][:months]
        errors[number, : len(came)] = (came - prediction.mean[: len(came)]) / prediction.scale[
            : len(came)
        ]
    return errors


def error_weights(origins: Array, day: int) -> Array:
    """Weights of past errors by their age at a day."""
    return np.asarray(0.5 ** ((day - origins) / _MEMORY))


def width_correction(errors: Array, origins: Array) -> Array:
    """What the widths that past dates would have had must be multiplied by: months x 1.

    At every past date the widths come from the errors that were known by then. The quantile of the
    errors that followed, in units of these widths, says by how much they were too narrow or wide.
    """
    months = errors.shape[1]
    ratios = np.full(errors.shape, np.nan)
    matured = origins[:, None] + STEP_DAYS * np.arange(1, months + 1)
    for number, origin in enumerate(origins):
        known = np.where((matured <= origin)[:, :, None], errors, np.nan)[:number]
        if (~np.isnan(known)).any(axis=(1, 2)).sum() >= FEWEST_ORIGINS:
            widths = interval_widths(known, error_weights(origins[:number], origin))
            ratios[number] = errors[number] / widths
    if np.isnan(ratios).all():
        return np.ones((months, 1))
    weights = error_weights(origins, int(origins[-1]))
    spread = np.broadcast_to(weights[:, None, None], ratios.shape)
    whole, factors = _quantile(ratios, spread, COVERAGE), []
    for month in range(months):
        dates = (~np.isnan(ratios[:, month])).any(axis=1).sum() * GRID_DAYS / STEP_DAYS
        own = _quantile(ratios[:, month], spread[:, month], COVERAGE) if dates else whole
        factors.append((dates * own + _POOLED * whole) / (dates + _POOLED))
    return np.array(factors)[:, None]


def mean_error(errors: Array, weights: Array) -> float:
    """Weighted mean of errors: origins x months x stages; NaN counts nothing."""
    spread = np.broadcast_to(weights[:, None, None], errors.shape)
    known = ~np.isnan(errors)
    return float(np.average(errors[known], weights=spread[known]))


def interval_widths(errors: Array, weights: Array) -> Array:
    """Weighted 80 % quantile of the errors of each stage, drawn to that of all stages."""
    spread = np.broadcast_to(weights[:, None, None], errors.shape)
    independent = weights.sum() ** 2 / (weights**2).sum() * GRID_DAYS / STEP_DAYS
    whole = _quantile(errors, spread, COVERAGE)
    own = np.array(
        [
            _quantile(errors[:, :, code], spread[:, :, code], COVERAGE)
            for code in range(errors.shape[2])
        ]
    )
    return (independent * own + _POOLED * whole) / (independent + _POOLED)


def _quantile(errors: Array, weights: Array, level: float) -> float:
    known = ~np.isnan(errors)
    order = np.argsort(errors[known])
    reached = np.cumsum(weights[known][order])
    place = int(np.searchsorted(reached, level * reached[-1]))
    return float(errors[known][order][min(place, len(order) - 1)])
