"""Base rates: what came of a test date beside what the labels known on that day said.

Calibration and totals are learned from labels that had matured; where the rate moves between them
and the test date (season, trend), every model is off, however well it ranks. `base_rates` puts the
numbers beside the figures, and `models.evaluation.warnings` warns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from features.calendar import day_date
from features.contracts import SNAPSHOT
from models.evaluation.customer_bootstrap import drawn
from models.evaluation.evaluate import CHAMPION, Draws, Figure, Test, ends
from models.fitting.training_set import TrainingSet
from models.metrics import metrics

OUTCOMES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "churn": lambda rows: rows["no_purchase"].astype(np.float64),
    "transition": lambda rows: (rows["period"] > 0).astype(np.float64),
    "clv": lambda rows: rows["spend"].astype(np.float64),
}


def base_rates(
    data: TrainingSet,
    test: Test,
    *,
    horizon_days: int,
    activity_days: int | None,
    draws: Draws | None = None,
) -> list[Figure]:
    """What happened at a test date, and at the training snapshots known by then.

    Parameters
    ----------
    data, test
        What was learned from, and the test.
    horizon_days
        Of the label.
    activity_days
        The config's: with it, CLV is tested on who bought within the horizon, and the rate of the
        training snapshots is of the same kind of customers.
    draws
        For the interval of what happened.

    Returns
    -------
    Figures of the champion on ``all``: ``actual_rate`` (share of leavers or movers, or spend a
    head), ``known_rate`` (of the latest matured snapshot), ``known_rate_least`` and
    ``known_rate_most`` (over all training snapshots). None for stages, which have no one rate.
    """
    outcome = OUTCOMES.get(test.task)
    if outcome is None:
        return []
    known = data.frame
    if test.task == "clv" and activity_days is not None:
        known = known[known["purchase__recency_days"] <= horizon_days]
    rates = outcome(known).groupby(known[SNAPSHOT]).mean()
    if not len(rates) or not len(test.rows):
        return []
    actual = outcome(test.rows).to_numpy()
    sample = None
    if draws is not None:
        sample = drawn(metrics.mean, draws.counts(test.rows["customer_id"]), actual)
    low, high = ends(sample)
    shared = (test.task, CHAMPION, str(day_date(test.at)), horizon_days, "all")
    n = len(test.rows)
    told = {
        "known_rate": float(rates.iloc[-1]),
        "known_rate_least": float(rates.min()),
        "known_rate_most": float(rates.max()),
    }
    happened = Figure(*shared, "actual_rate", float(actual.mean()), n, low, high, sample=sample)
    return [happened, *(Figure(*shared, name, value, n) for name, value in told.items())]
