"""Figures over origins: their means with intervals, and what the calibration rule makes of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from features.arrays import Array
from models.evaluation.evaluate import Figure, ends
from models.fitting.calibration import (
    CALIBRATION_KINDS,
    WINS_NEEDED,
    CalibrationTrial,
    choose_calibration,
)


@dataclass(frozen=True)
class Mean:
    """Mean of a figure over origins; of biases the mean of their sizes.

    Attributes
    ----------
    model, method, horizon_days, subset, metric
        As in `Figure`.
    origins
        How many dates have the figure.
    value, low, high
        The mean, and its 95 % interval: the same customers are drawn again at every date.
    difference, difference_low, difference_high
        Of a baseline: the champion's mean minus this one, over the dates that both have.
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
        """The record as it stands in ``backtest/means.json``."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def means(figures: Iterable[Figure]) -> list[Mean]:
    """Mean over origins of every figure that is defined at one or more of them."""
    found: dict[tuple[str, str, int, str, str], dict[str, Figure]] = defaultdict(dict)
    for one in figures:
        if one.value is not None:
            key = (one.model, one.method, one.horizon_days, one.subset, one.metric)
            found[key][one.snapshot_at] = one
    result = []
    for key, mine in found.items():
        model, method, horizon, subset, metric = key
        of_all = list(mine.values())
        low, high = ends(_sample(of_all, metric))
        mean = Mean(*key, len(of_all), _mean(of_all, metric), low, high)
        own = found.get((model, "champion", horizon, subset, metric), {})
        shared = [date for date in mine if date in own]
        if method != "champion" and shared:
            mean = _compared(mean, [own[d] for d in shared], [mine[d] for d in shared])
        result.append(mean)
    return result


def _size(values: Any, metric: str) -> Any:
    return np.abs(values) if metric == "bias_pct" else np.asarray(values)


def _mean(figures: Sequence[Figure], metric: str) -> float:
    return float(np.mean([_size(figure.value, metric) for figure in figures]))


def _sample(figures: Sequence[Figure], metric: str) -> Array | None:
    """Mean over dates of every draw; none where a date has no draws."""
    samples = [figure.sample for figure in figures if figure.sample is not None]
    if len(samples) < len(figures):
        return None
    return np.asarray(np.mean([_size(sample, metric) for sample in samples], axis=0))


def _compared(mean: Mean, own: Sequence[Figure], other: Sequence[Figure]) -> Mean:
    ours, theirs = _sample(own, mean.metric), _sample(other, mean.metric)
    low, high = ends(None if ours is None or theirs is None else ours - theirs)
    difference = _mean(own, mean.metric) - _mean(other, mean.metric)
    return replace(mean, difference=difference, difference_low=low, difference_high=high)


# ------------------------------------------------------------------------------------ calibration


@dataclass(frozen=True)
class Chances:
    """Outcomes and served probabilities of one origin."""

    at: int
    y: Array
    p: Array


@dataclass(frozen=True)
class CalibrationChoice:
    """What the rule adopts, and why.

    Attributes
    ----------
    kind
        ``raw``, or the map that won.
    trials
        Pairs of origins: a map fitted on the latest one whose labels had matured, served at a later
        one.
    wins
        By kind of map: at how many of them its log loss was below the raw one's.
    """

    kind: str
    trials: int
    wins: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"kind": self.kind, "trials": self.trials, "wins": self.wins}

    @property
    def told(self) -> str:
        """The choice in a sentence."""
        if not self.trials:
            return (
                "churn is served raw: no origin had a matured one before it on which a calibration "
                f"map could be fitted (a map must win at {WINS_NEEDED})"
            )
        won = ", ".join(f"{kind} {count}" for kind, count in self.wins.items())
        served = "raw" if self.kind == "raw" else f"with {self.kind}"
        return (
            f"churn is best served {served}: of {self.trials} origins with a matured one before "
            f"them maps won at {won} (needed: {WINS_NEEDED}, and most)"
        )


def calibration_choice(origins: Sequence[Chances], *, matures_after: int) -> CalibrationChoice:
    """The calibration rule on a back-test: a map is adopted where it won on earlier origins.

    Parameters
    ----------
    origins
        The churn model at each origin, served raw.
    matures_after
        Days from an origin until its labels are known.
    """
    ordered = sorted(origins, key=lambda one: one.at)
    trials = []
    for served in ordered:
        known = [one for one in ordered if one.at + matures_after <= served.at]
        if known:
            trials.append(CalibrationTrial(known[-1].y, known[-1].p, served.y, served.p))
    wins = {kind: sum(trial.gain(kind) > 0 for trial in trials) for kind in CALIBRATION_KINDS}
    return CalibrationChoice(choose_calibration(trials), len(trials), wins)
