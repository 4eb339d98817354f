"""Figures over origins: means with intervals, and the choice of the churn calibration map."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from features.arrays import Array
from models.evaluation.evaluate import MetricFigure, interval_ends
from models.fitting.calibration import (
    CALIBRATION_KINDS,
    WINS_NEEDED,
    CalibrationTrial,
    choose_calibration,
)


@dataclass(frozen=True)
class OriginMean:
    """Mean of a figure over origins; for biases the mean of their absolute values.

    Attributes
    ----------
    model, method, horizon_days, subset, metric
        As in `MetricFigure`.
    origins
        Number of dates that have the figure.
    value, low, high
        Mean, and its 95 % interval; each draw takes the same customers at every date.
    difference, difference_low, difference_high
        Only for baselines: the champion's mean minus this one, over the dates that both have.
    """

    model: str
    method: str
    horizon_days: int
    subset: str
    metric: str
    origins: int
    value: float
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Record of ``backtest/means.json``."""
        return {column.name: getattr(self, column.name) for column in fields(self)}


def origin_means(figures: Iterable[MetricFigure]) -> list[OriginMean]:
    """Mean over origins of each figure that is defined at one or more origins."""
    figures_by_key: dict[tuple[str, str, int, str, str], dict[str, MetricFigure]] = defaultdict(
        dict
    )
    for figure in figures:
        if figure.value is not None:
            figure_key = (
                figure.model,
                figure.method,
                figure.horizon_days,
                figure.subset,
                figure.metric,
            )
            figures_by_key[figure_key][figure.snapshot_at] = figure
    averages = []
    for figure_key, by_date in figures_by_key.items():
        model, method, horizon, subset, metric = figure_key
        dated_figures = list(by_date.values())
        low, high = interval_ends(_sample(dated_figures, metric))
        mean = OriginMean(*figure_key, len(dated_figures), _mean(dated_figures, metric), low, high)
        champion_by_date = figures_by_key.get((model, "champion", horizon, subset, metric), {})
        shared_dates = [date for date in by_date if date in champion_by_date]
        if method != "champion" and shared_dates:
            mean = _compared(
                mean,
                [champion_by_date[d] for d in shared_dates],
                [by_date[d] for d in shared_dates],
            )
        averages.append(mean)
    return averages


def _size(values: Any, metric: str) -> Any:
    return np.abs(values) if metric == "bias_pct" else np.asarray(values)


def _mean(figures: Sequence[MetricFigure], metric: str) -> float:
    return float(np.mean([_size(figure.value, metric) for figure in figures]))


def _sample(figures: Sequence[MetricFigure], metric: str) -> Array | None:
    """Mean over dates of each draw; None if a date has no draws."""
    samples = [figure.sample for figure in figures if figure.sample is not None]
    if len(samples) < len(figures):
        return None
    return np.asarray(np.mean([_size(sample, metric) for sample in samples], axis=0))


def _compared(
    mean: OriginMean, champion: Sequence[MetricFigure], baseline: Sequence[MetricFigure]
) -> OriginMean:
    champion_sample, baseline_sample = (
        _sample(champion, mean.metric),
        _sample(baseline, mean.metric),
    )
    low, high = interval_ends(
        None
        if champion_sample is None or baseline_sample is None
        else champion_sample - baseline_sample
    )
    difference = _mean(champion, mean.metric) - _mean(baseline, mean.metric)
    return replace(mean, difference=difference, difference_low=low, difference_high=high)


# ------------------------------------------------------------------------------------ calibration


@dataclass(frozen=True)
class ChurnForecasts:
    """Churn outcomes and raw probabilities of one origin.

    Attributes
    ----------
    at
        Day number of the origin.
    y, p
        Outcome (1: no purchase) and probability, one a customer.
    """

    at: int
    y: Array
    p: Array


@dataclass(frozen=True)
class CalibrationChoice:
    """Calibration map chosen by the rule, with its evidence.

    Attributes
    ----------
    kind
        ``raw``, or the map that won.
    trials
        Number of pairs of origins: a map fitted on the latest matured origin, served at a later
        one.
    wins
        Kind of map -> number of trials in which its log loss was below the raw one's.
    """

    kind: str
    trials: int
    wins: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"kind": self.kind, "trials": self.trials, "wins": self.wins}

    @property
    def sentence(self) -> str:
        """The choice as a sentence, without a full stop."""
        if not self.trials:
            return (
                "churn is served raw: no origin has an earlier matured origin to fit a calibration "
                f"map on (a map must win at {WINS_NEEDED})"
            )
        won = ", ".join(f"{kind} {count}" for kind, count in self.wins.items())
        served = "raw" if self.kind == "raw" else f"with {self.kind}"
        return (
            f"churn is best served {served}: of {self.trials} origins with an earlier matured "
            f"origin, maps won at {won} (needed: {WINS_NEEDED}, and a majority)"
        )


def calibration_choice(
    origins: Sequence[ChurnForecasts], *, matures_after: int
) -> CalibrationChoice:
    """Choose a calibration map: one that lowers the log loss at later origins, else ``raw``.

    Parameters
    ----------
    origins
        Raw churn forecasts at each origin.
    matures_after
        Days from an origin until its labels are known.
    """
    by_date = sorted(origins, key=lambda one: one.at)
    trials = []
    for served in by_date:
        matured = [origin for origin in by_date if origin.at + matures_after <= served.at]
        if matured:
            trials.append(CalibrationTrial(matured[-1].y, matured[-1].p, served.y, served.p))
    wins = {kind: sum(trial.gain(kind) > 0 for trial in trials) for kind in CALIBRATION_KINDS}
    return CalibrationChoice(choose_calibration(trials), len(trials), wins)
