"""Comparison of two methods on the same customers, with the limits of a gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm, t

from features.arrays import Array

ALPHA = 0.05  # chance of an error, shared by all looks at one champion
_TOLERANCE = 0.02  # of the loss: a worsening below it never matters
_MARGIN_ERRORS = 4.0  # standard errors: a margin that an equal scorer passes 99 times in 100
_BETTER_BASELINE = 0.01  # of its loss: by which a simple method must be better to be named
_CHAMPION = "champion"


@dataclass(frozen=True)
class Comparison:
    """Challenger against another method on one task.

    Attributes
    ----------
    task, metric
        TaskName and metric; smaller is better.
    challenger, champion
        Value of the metric; the second of what `against` names.
    low, high
        95 % interval of challenger minus champion, by customer; None for a guard within its
        tolerance and for fewer than two customers.
    guard
        For a guarded figure: the tolerated worsening. None for the loss itself.
    standard_error
        Of challenger minus champion, by customer; None where the interval is.
    customers, snapshots
        Numbers of both in the comparison.
    against
        ``champion``, or the name of a baseline.
    """

    task: str
    metric: str
    challenger: float
    champion: float
    low: float | None
    high: float | None
    guard: float | None = None
    standard_error: float | None = None
    customers: int = 0
    snapshots: int = 1
    against: str = _CHAMPION

    @property
    def difference(self) -> float:
        """Challenger minus champion."""
        return self.challenger - self.champion

    @property
    def margin(self) -> float:
        """Largest tolerated worsening: 2 % of the loss, or four standard errors."""
        return max(_TOLERANCE * abs(self.champion), _MARGIN_ERRORS * (self.standard_error or 0.0))

    @property
    def not_worse(self) -> bool:
        """True if the upper 95 % bound of a loss difference lies within the margin."""
        if self.standard_error is None:
            return True
        bound = float(t.ppf(1 - ALPHA, self._freedom)) * self.standard_error
        return self.difference + bound <= self.margin + 1e-12

    @property
    def p_better(self) -> float:
        """One-sided p value of "the challenger is not better"."""
        return self._p_value(-1.0)

    @property
    def p_worse(self) -> float:
        """One-sided p value of "the challenger is not worse"."""
        return self._p_value(1.0)

    @property
    def baseline_is_better(self) -> bool:
        """True if the other method is better by more than a percent and beyond chance."""
        return self.difference > _BETTER_BASELINE * abs(self.champion) and (self.low or 0.0) > 0

    @property
    def _freedom(self) -> int:
        return max(self.customers - 1, 1)

    def _p_value(self, sign: float) -> float:
        if self.standard_error is None:
            return 1.0
        if self.standard_error == 0:
            return 0.0 if sign * self.difference > 0 else 1.0
        ratio = sign * self.difference / self.standard_error
        # Errors of guards are drawn, not estimated with the degrees of freedom of a mean.
        return float(t.sf(ratio, self._freedom) if self.guard is None else norm.sf(ratio))


def compare_losses(
    task: str,
    metric: str,
    customers: Array,
    challenger: Array,
    champion: Array,
    *,
    snapshots: int = 1,
    against: str = _CHAMPION,
) -> Comparison:
    """Mean loss of two methods on the same rows, with the error of their difference.

    The differences of a customer are summed over all snapshots, since they are alike. The
    standard error is that of a ratio of two sums over customers: the cluster-robust error of a
    mean (the sandwich of Liang and Zeger 1986, Biometrika 73).

    Parameters
    ----------
    task, metric
        Names.
    customers
        Customer id of every row.
    challenger, champion
        Losses of every row.
    snapshots
        Number of snapshots that the rows come from.
    against
        Name of the second method.
    """
    _, codes = np.unique(np.asarray(customers), return_inverse=True)
    rows_of_customer = np.bincount(codes).astype(np.float64)
    count, row_count = len(rows_of_customer), len(codes)
    means = float(np.mean(challenger)), float(np.mean(champion))
    if count < 2:
        return Comparison(
            task, metric, *means, None, None,
            customers=count, snapshots=snapshots, against=against,
        )  # fmt: skip
    sums = np.bincount(codes, weights=np.asarray(challenger) - np.asarray(champion))
    residuals = sums - (means[0] - means[1]) * rows_of_customer
    error = float(np.sqrt(count / (count - 1) * np.sum(residuals**2)) / row_count)
    reach = float(t.ppf(0.975, count - 1)) * error
    difference = means[0] - means[1]
    return Comparison(
        task, metric, *means, difference - reach, difference + reach,
        standard_error=error, customers=count, snapshots=snapshots, against=against,
    )  # fmt: skip


def holm(p_values: Mapping[str, float], level: float) -> list[str]:
    """Names of the hypotheses that are refused at a level for all of them together.

    Holm (1979), Scandinavian Journal of Statistics 6: p values in rising order against the level
    over the number of hypotheses left, up to the first that is larger.
    """
    refused: list[str] = []
    for name, p_value in sorted(p_values.items(), key=lambda item: item[1]):
        if p_value > level / (len(p_values) - len(refused)):
            break
        refused.append(name)
    return refused


def level_of_look(look: int) -> float:
    """Level of the k-th look at one champion: alpha / (k (k + 1)).

    All levels sum to alpha: whatever the looks have in common, the chance of any error is at most
    alpha (Boole's inequality). Foster and Stine (2008), Journal of the Royal Statistical Society B
    70, call such a series alpha spending.
    """
    return ALPHA / (look * (look + 1))


def best_baselines(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparison with the best baseline of each task, by the order of the tasks."""
    best: dict[str, Comparison] = {}
    for comparison in comparisons:
        known = best.get(comparison.task)
        if known is None or comparison.champion < known.champion:
            best[comparison.task] = comparison
    return list(best.values())


def baseline_sentences(comparisons: Sequence[Comparison]) -> list[str]:
    """A sentence with both figures for each task at which a baseline is better."""
    return [
        f"{each.task}: the baseline {each.against} is better at the gate, {each.metric} "
        f"{each.champion:.4f} against {each.challenger:.4f} of the scorer "
        f"(95 % of the difference from {each.low:+.4f} to {each.high:+.4f})"
        for each in comparisons
        if each.baseline_is_better
    ]


def read_comparisons(records: Sequence[Mapping[str, Any]]) -> list[Comparison]:
    """Comparisons from their records in ``training.json``."""
    return [Comparison(**record) for record in records]
