"""Drift of features and scores against the training: shares in bins, their PSI, and a test.

The reference keeps bin edges and counts, and no row of a customer. Whatever moves by nature
(tenure grows by a day a day) is judged by what the training's own snapshots show as usual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2

from features.arrays import Array
from models.monitoring.findings import Finding

BINS = 10
OTHER = "(other)"
MISSING = "(missing)"
USUAL_TIMES = 2.0  # a change counts from so many times the one usual in as many days


@dataclass(frozen=True)
class Distribution:
    """How one column was distributed at the training.

    Attributes
    ----------
    name
        The column.
    edges
        Of numbers: rising inner edges; a bin ends with its edge.
    values
        Of texts: the values there were; any other is `OTHER`.
    counts
        Rows in each bin; the last bin is of missing values.
    usual
        ``[days, psi]`` of earlier snapshots of the training, by rising days before it.
    """

    name: str
    edges: tuple[float, ...]
    values: tuple[str, ...]
    counts: tuple[int, ...]
    usual: tuple[tuple[int, float], ...] = ()

    @classmethod
    def of(cls, name: str, column: pd.Series) -> Distribution:
        """Distribution of a column, in bins of its own deciles or values."""
        if is_number(column):
            x = column.to_numpy(dtype=np.float64, na_value=np.nan)
            x = x[np.isfinite(x)]
            inner = np.sort(x)[(np.arange(1, BINS) * len(x)) // BINS] if len(x) else x
            edges = np.unique(inner[inner < x.max(initial=-np.inf)])
            empty = cls(name, tuple(edges.tolist()), (), ())
        else:
            empty = cls(name, (), tuple(sorted(map(str, column.dropna().unique()))), ())
        return cls(name, empty.edges, empty.values, tuple(empty.count(column).tolist()))

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Distribution:
        """Distribution from its JSON form."""
        usual = tuple((int(days), float(psi)) for days, psi in content["usual"])
        lists = {key: tuple(content[key]) for key in ("edges", "values", "counts")}
        return cls(name=content["name"], usual=usual, **lists)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    @property
    def labels(self) -> list[str]:
        """Name of every bin."""
        if self.values:
            return [*self.values, OTHER, MISSING]
        ends = [f"{edge:.4g}" for edge in self.edges]
        if not ends:
            return ["all", MISSING]
        between = [f"{low} to {high}" for low, high in pairwise(ends)]
        return [f"up to {ends[0]}", *between, f"over {ends[-1]}", MISSING]

    def count(self, column: pd.Series) -> Array:
        """Rows of a column in each bin."""
        if self.values:
            place = {value: number for number, value in enumerate(self.values)}
            codes = column.map(lambda v: place.get(str(v), len(place)))
            code = np.where(column.isna(), len(place) + 1, codes.to_numpy(dtype=np.float64))
            return np.bincount(code.astype(np.int64), minlength=len(place) + 2)
        x = column.to_numpy(dtype=np.float64, na_value=np.nan)
        code = np.searchsorted(np.array(self.edges, dtype=np.float64), x, side="left")
        code = np.where(np.isnan(x), len(self.edges) + 1, code)
        return np.bincount(code, minlength=len(self.edges) + 2)

    def usual_psi(self, days: int) -> float:
        """PSI that so many days usually bring; beyond what was seen, in proportion."""
        if not self.usual:
            return 0.0
        seen = np.array([0, *(d for d, _ in self.usual)], dtype=np.float64)
        psi = np.maximum.accumulate([0.0, *(value for _, value in self.usual)])
        if days > seen[-1]:
            return float(psi[-1] * days / seen[-1])
        return float(np.interp(days, seen, psi))


def is_number(column: pd.Series) -> bool:
    """Whether a column is cut at edges (numbers and booleans) or by value."""
    return column.dtype.kind in "fiub"


def psi(expected: Array, actual: Array) -> float:
    """Population stability index of two sets of counts; half a row is added to every bin, so that
    an empty one gives no infinity.

    Source: Siddiqi, Credit Risk Scorecards, 2006: over .25 the population has shifted.
    """
    e, a = np.asarray(expected, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    there = (e + a) > 0
    e, a = e[there] + 0.5, a[there] + 0.5
    p, q = e / e.sum(), a / a.sum()
    return float(((q - p) * np.log(q / p)).sum())


def same_shares(expected: Array, actual: Array) -> float:
    """P-value of Pearson's chi-squared test that two sets of counts have one distribution."""
    table = np.array([expected, actual], dtype=np.float64)
    table = table[:, table.sum(axis=0) > 0]
    total = table.sum()
    if table.shape[1] < 2 or (table.sum(axis=1) == 0).any():
        return 1.0
    fitted = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    statistic = ((table - fitted) ** 2 / fitted).sum()
    return float(chi2.sf(statistic, table.shape[1] - 1))


def distributions(
    frame: pd.DataFrame, earlier: Mapping[int, pd.DataFrame] | None = None
) -> list[Distribution]:
    """Distribution of every column; `earlier` are frames of before by the days between."""
    found = []
    for name in frame.columns:
        made = Distribution.of(str(name), frame[name])
        usual = tuple(
            (days, psi(np.array(made.counts), made.count(before[name])))
            for days, before in sorted((earlier or {}).items())
            if name in before
        )
        found.append(Distribution(made.name, made.edges, made.values, made.counts, usual))
    return found


def drift(
    check: str,
    references: Sequence[Distribution],
    frame: pd.DataFrame,
    *,
    days: int,
    limit: float,
    level: float,
) -> list[Finding]:
    """PSI and test of every column against the training.

    Parameters
    ----------
    check
        ``input`` or ``score``.
    references
        Distributions at the training.
    frame
        The columns now, one row a customer.
    days
        Days between the training date and now: what is usual grows with them.
    limit
        PSI from which a change is large.
    level
        P-value below which it is no accident.
    """
    found = []
    for reference in references:
        if reference.name not in frame:
            found.append(Finding(check, reference.name, "psi", None, note="no such column now"))
            continue
        now = reference.count(frame[reference.name])
        value = psi(np.array(reference.counts), now)
        p_value = same_shares(np.array(reference.counts), now)
        usual = reference.usual_psi(days)
        from_here = max(limit, USUAL_TIMES * usual)
        found.append(
            Finding(
                check,
                reference.name,
                "psi",
                value,
                expected=usual,
                limit=from_here,
                p_value=p_value,
                alarm=value >= from_here and p_value < level,
            )
        )
    return found
