"""Fit the contract model: sBG or beta-discrete-Weibull on contracts known at a snapshot."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.contract_renewals import BetaDiscreteWeibull, ShiftedBetaGeometric
from models.scorer.contracts import RETURN_DAYS, contract_risk

_MONTH_DAYS = 365.25 / 12  # a period where payments do not tell it
_BILLED_SHARE = 0.25  # of contracts with two payments, from which every renewal is a payment
_NEAR, _REGULAR_SHARE = 0.2, 2 / 3  # share of the contracts with gaps so near the usual one
_FEWEST_ENDS, _FEWEST = 20, 50  # ends and contracts below which nothing is fitted
_PHASES = 8  # steps of a period in which ends are counted
_MATURE_TRIAL = 1.5  # usual trials after which one counts as lost
_RECENT_DAYS = 182.0  # since the start of the trials that are counted, where there are enough
_LEVEL_BOUNDS = (0.05, 2.0)  # of actual over expected cancellations
_LEVEL_PULL = 20.0  # cancellations as expected


def fit_contracts(population: pd.DataFrame | None) -> dict[str, Any] | None:
    """Parameters of the contracts of all customers at a snapshot, for `models.scorer.contracts`.

    Running contracts are right-censored at their last whole period. Of every customer the latest
    contract counts and the one before it. Beta-discrete-Weibull is used where the Bayesian
    information criterion prefers its third parameter.

    Parameters
    ----------
    population
        Columns ``contract__*`` of one snapshot; without them there are no contracts.

    Returns
    -------
    JSON-able parameters; None without contracts, or with fewer than 50 of them or 20 ends.
    """
    if population is None or "contract__age" not in population:
        return None
    rows = population[population["contract__age"].notna()]
    columns = {
        name: rows[f"contract__{name}"].to_numpy(dtype=np.float64)
        for name in ("age", "length", "paid", "payments", "trial", "price", "previous", "pause")
    }
    period, billed = _period(columns)
    was_paid = ~np.isnan(columns["trial"])
    start = np.nan_to_num(columns["trial"])
    tenure = (np.fmin(columns["length"], columns["age"]) - start) / period
    survived = np.ceil(tenure) - 1.0  # renewals before the end: one on a renewal day is before it
    if billed:
        survived = np.round((columns["paid"] - start) / period)
    else:
        survived = np.where(np.isnan(columns["length"]), np.floor(tenure), survived)
    # A period that is not over at the snapshot has its ends and none of its survivors.
    is_over = (survived + 1.0) * period <= columns["age"] - start
    has_end = was_paid & is_over & ~np.isnan(columns["length"])
    previous = columns["previous"][~np.isnan(columns["previous"])] / period
    ends_at = np.concatenate([survived[has_end] + 1.0, np.maximum(np.ceil(previous), 1.0)])
    running = np.maximum(survived[was_paid & ~has_end], 0.0)
    if len(ends_at) < _FEWEST_ENDS or len(ends_at) + len(running) < _FEWEST:
        return None
    most = int(max(ends_at.max(), running.max(initial=0.0)))
    end_counts = np.bincount(ends_at.astype(int), minlength=most + 1)[1:].astype(np.float64)
    running_counts = np.bincount(running.astype(int), minlength=most + 1).astype(np.float64)
    plain = ShiftedBetaGeometric().fit_contracts(end_counts, running_counts)
    duration = BetaDiscreteWeibull().fit_contracts(end_counts, running_counts)
    gain = duration.log_likelihood_ - plain.log_likelihood_
    fitted = duration if 2.0 * gain > np.log(plain.n_customers_) else plain
    return {
        "model": "bdw" if fitted.has_duration else "sbg",
        "alpha": fitted.alpha_,
        "beta": fitted.beta_,
        "c": fitted.c_,
        "period_days": period,
        "billed": billed,
        "phase": _phase((tenure - survived)[has_end]),
        "level": 1.0,
        "trial": _trial(columns, period),
        "returns": _returns(columns),
        "contracts": fitted.n_customers_,
    }


def with_level(
    contract: dict[str, Any], matured: pd.DataFrame, horizon_days: int
) -> dict[str, Any]:
    """The parameters with the level of labels: involuntary ends count for contracts, not for churn.

    Parameters
    ----------
    contract
        From `fit_contracts`.
    matured
        Labelled rows with ``contract__*`` and ``no_purchase`` (1: cancelled).
    horizon_days
        Days of the label.
    """
    expected = float(contract_risk(contract, matured, float(horizon_days)).sum())
    level = (float(matured["no_purchase"].sum()) + _LEVEL_PULL) / (expected + _LEVEL_PULL)
    return {**contract, "level": float(np.clip(level, *_LEVEL_BOUNDS))}


def _period(columns: dict[str, Array]) -> tuple[float, bool]:
    """Days of a period, and whether every renewal is a payment: where gaps are much the same."""
    repeated = columns["payments"] >= 2
    if repeated.sum() < max(_FEWEST_ENDS, _BILLED_SHARE * len(repeated)):
        return _MONTH_DAYS, False
    gaps = columns["paid"][repeated] / (columns["payments"][repeated] - 1.0)
    usual = float(np.median(gaps))
    is_regular = np.abs(gaps / usual - 1.0) < _NEAR
    return (usual, True) if is_regular.mean() >= _REGULAR_SHARE else (_MONTH_DAYS, False)


def _phase(within: Array) -> list[float]:
    """Cumulated shares of the ends at equal steps of a period, one more counted in each."""
    counts, _ = np.histogram(np.clip(within, 0.0, 1.0), bins=_PHASES, range=(0.0, 1.0))
    return [0.0, *(np.cumsum(counts + 1.0) / (counts + 1.0).sum()).tolist()]


def _trial(columns: dict[str, Array], period: float) -> dict[str, float] | None:
    """Usual days of a trial, share that is converted and usual price; None without trials."""
    converted = columns["trial"] > 0
    days = float(np.median(columns["trial"][converted])) if converted.any() else period
    lost = np.isnan(columns["trial"])
    mature = (converted | lost) & (columns["age"] > _MATURE_TRIAL * days)
    # A customer who came back since has another latest contract: old trials lack those who paid.
    recent = mature & (columns["age"] <= _RECENT_DAYS)
    mature = recent if recent.sum() >= _FEWEST else mature
    prices = columns["price"][~lost]
    if not (converted | lost).any() or not len(prices):
        return None
    share = (float((converted & mature).sum()) + 0.5) / (float(mature.sum()) + 1.0)
    return {"days": days, "conversion": share, "price": float(np.mean(prices))}


def _returns(columns: dict[str, Array]) -> list[float]:
    """Cumulated hazard of a new contract at each of `RETURN_DAYS` after the end of one.

    Within each step it is the number of returns over the days waited (Nelson-Aalen, in steps).
    """
    pause, silent = columns["pause"], columns["age"] - columns["length"]
    silent = silent[~np.isnan(columns["trial"])]  # of unconverted trials nothing is expected
    pause, silent = pause[~np.isnan(pause)], silent[~np.isnan(silent)]
    waited = np.concatenate([pause, silent])
    hazard = [0.0]
    for low, high in pairwise(RETURN_DAYS):
        came = float(((pause > low) & (pause <= high)).sum())
        exposed = max(float(np.clip(waited - low, 0.0, high - low).sum()), 1.0)
        hazard.append(hazard[-1] + came / exposed * (high - low))
    return hazard
