"""Contracts: the chance that one ends, and what it pays, within a horizon.

Parameters: model (sbg or bdw), alpha, beta, c, period_days, billed (whether every renewal is a
payment), phase (share of a period's ends up to equal steps through it, from 0 to 1), level (actual
over expected cancellations), trial {days, conversion, price} or null, returns (cumulated hazard of
an ended contract to begin anew, at each of `RETURN_DAYS`).

The columns ``contract__*`` of the feature frame say where a contract stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import lgamma
from typing import Any

import numpy as np

from .feature_rows import Rows, matrix
from .part import Array

# Since the end of a contract: months of the first year, quarters of the second, and later.
RETURN_DAYS = (*range(0, 361, 30), *range(450, 721, 90), 36_500)
_OVERDUE = 1.5  # periods without a payment from which a contract counts as over
_WITHIN = 0.999  # of a period: the last moment before a renewal
_COLUMNS = ("age", "length", "paid", "trial", "price")


def renewal_survival(contract: Mapping[str, Any], most: int) -> Array:
    """Share of contracts that survive 0 to `most` renewals.

    S(t) = B(alpha, beta + t^c) / B(alpha, beta): Fader and Hardie (2007), equation 6, with c = 1;
    Fader, Hardie, Liu, Davin and Steenburgh (2018), equation 5.
    """
    alpha, beta, c = contract["alpha"], contract["beta"], contract["c"]
    start = lgamma(alpha + beta) - lgamma(beta)
    powers = [float(t) ** c for t in range(most + 1)]
    return np.exp([start + lgamma(beta + p) - lgamma(alpha + beta + p) for p in powers])


@dataclass(frozen=True)
class _Standing:
    """Where contracts stand, one value a row.

    Attributes
    ----------
    runs, in_trial
        Whether a contract runs, and whether nothing was paid in it yet (then it runs, too).
    renewals, within
        Renewals survived, and the share of the present period that is over.
    due
        Days until the next renewal, at least 0.
    ended_days
        Days since the contract ended; 0 where it runs.
    price
        Money a period; 0 where unknown.
    age
        Days since the start.
    """

    runs: Array
    in_trial: Array
    renewals: Array
    within: Array
    due: Array
    ended_days: Array
    price: Array
    age: Array


def _standing(contract: Mapping[str, Any], frame: Rows) -> _Standing:
    period = contract["period_days"]
    age, length, paid, trial, price = matrix(frame, [f"contract__{n}" for n in _COLUMNS]).T
    in_trial = np.isnan(length) & np.isnan(trial)
    tenure = age - np.nan_to_num(trial)
    if contract["billed"]:
        renewals = np.round((paid - np.nan_to_num(trial)) / period)
        since = age - paid
    else:
        renewals = np.floor(tenure / period)
        since = tenure - renewals * period
    renewals = np.nan_to_num(np.maximum(renewals, 0.0))
    silent = contract["billed"] & ~in_trial & (since > _OVERDUE * period)
    over = ~np.isnan(length) | silent
    return _Standing(
        ~over & ~np.isnan(age),
        in_trial,
        renewals,
        np.nan_to_num(np.clip(since / period, 0.0, _WITHIN)),
        np.nan_to_num(np.maximum(period - since, 0.0)),
        np.where(over, np.nan_to_num(age - np.where(np.isnan(length), paid, length)), 0.0),
        np.nan_to_num(price),
        np.nan_to_num(age),
    )


def _survival_at(contract: Mapping[str, Any], renewals: Array, within: Array) -> Array:
    """Share of contracts that last so many renewals and a share of the period behind them."""
    whole = renewals.astype(np.int64)
    survival = renewal_survival(contract, int(whole.max(initial=0)) + 1)
    steps = np.linspace(0.0, 1.0, len(contract["phase"]))
    over = np.interp(within, steps, contract["phase"])
    return np.asarray(survival[whole] - (survival[whole] - survival[whole + 1]) * over)


def _ends_within(contract: Mapping[str, Any], renewals: Array, within: Array, days: Array) -> Array:
    """P(a paid contract ends within so many days), 1 - S(now + days) / S(now)."""
    later = within + days / contract["period_days"]
    now = _survival_at(contract, renewals, within)
    then = _survival_at(contract, renewals + np.floor(later), later - np.floor(later))
    return np.asarray(1.0 - then / np.maximum(now, 1e-300))


def _conversion(contract: Mapping[str, Any], standing: _Standing) -> tuple[Array, Array]:
    """P(a trial is converted) now, and days until it is; drop-outs are spread evenly over it."""
    trial = contract["trial"] or {"days": contract["period_days"], "conversion": 0.5}
    rest = np.maximum(trial["days"] - standing.age, 0.0)
    dropped = (1.0 - trial["conversion"]) * rest / max(trial["days"], 1.0)
    return trial["conversion"] / (trial["conversion"] + dropped), rest


def contract_risk(contract: Mapping[str, Any], frame: Rows, horizon: float) -> Array:
    """P(the contract is cancelled within the horizon), one a row; the level included.

    Parameters
    ----------
    contract
        See the head of this module.
    frame
        Columns ``contract__*`` of customers under contract.
    horizon
        Days ahead.
    """
    standing = _standing(contract, frame)
    days = np.full(len(frame), horizon)
    risk = _ends_within(contract, standing.renewals, standing.within, days)
    if standing.in_trial.any():
        converts, rest = _conversion(contract, standing)
        paid = np.zeros(len(frame))
        later = _ends_within(contract, paid, paid, np.maximum(horizon - rest, 0.0))
        drops = (1.0 - converts) * np.minimum(horizon / np.maximum(rest, 1.0), 1.0)
        risk = np.where(standing.in_trial, drops + converts * later, risk)
    return np.asarray(np.clip(contract["level"] * risk, 1e-4, 1.0 - 1e-4))


def contract_logit(contract: Mapping[str, Any], frame: Rows, horizon: float) -> Array:
    """Log-odds of `contract_risk`."""
    risk = contract_risk(contract, frame, horizon)
    return np.asarray(np.log(risk) - np.log1p(-risk))


def contract_spend(contract: Mapping[str, Any], frame: Rows, horizon: float) -> Array:
    """Expected payments within the horizon in money, one a row.

    The sum over coming renewals of the chance to survive until each of them, times the present
    price. A trial pays the usual price if it is converted. An ended contract pays if it begins
    anew. 0 for those who never had one.
    """
    standing, period = _standing(contract, frame), contract["period_days"]
    size = len(frame)
    payments = _expected_payments(
        contract, standing.renewals, standing.within, standing.due, np.full(size, horizon)
    )
    fresh = np.zeros(size)
    converts, rest = _conversion(contract, standing)
    after_trial = converts * _expected_payments(
        contract, fresh, fresh, rest, np.full(size, horizon), first=1.0
    )
    waited = standing.ended_days
    hazard, later_hazard = (
        np.interp(days, RETURN_DAYS, contract["returns"]) for days in (waited, waited + horizon)
    )
    returns = -np.expm1(hazard - later_hazard)
    again = returns * (0.5 + 0.5 * horizon / period)
    usual_price = contract["trial"]["price"] if contract["trial"] else 0.0
    spend = np.where(
        standing.in_trial,
        usual_price * after_trial,
        standing.price * np.where(standing.runs, payments, again),
    )
    return np.asarray(np.where(np.isnan(matrix(frame, ["contract__age"])[:, 0]), 0.0, spend))


def _expected_payments(
    contract: Mapping[str, Any],
    renewals: Array,
    within: Array,
    due: Array,
    days: Array,
    *,
    first: float = 0.0,
) -> Array:
    """Expected renewals within so many days, the next one due in `due` days.

    With `first` 1 the payment due next begins the contract and is no renewal of it.
    """
    now = _survival_at(contract, renewals, within)
    expected = np.zeros(len(due))
    number = 0
    while (is_due := due + number * contract["period_days"] < days).any():
        survived = _survival_at(contract, renewals + number + 1 - first, np.zeros(len(due)))
        expected += np.where(is_due, survived / np.maximum(now, 1e-300), 0.0)
        number += 1
    return expected
