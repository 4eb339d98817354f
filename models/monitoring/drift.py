"""Drift of features and scores against the training: bin shares, PSI and a chi-squared test.

The reference holds bin edges and counts, no row of a customer. Columns that change by nature
(tenure grows by a day a day) are compared with the change among the training's own snapshots.
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
from models.monitoring.findings import MonitorFinding

_BINS = 10
_OTHER = "(other)"
_MISSING = "(missing)"
_USUAL_FACTOR = 2.0  # smallest drift, as a multiple of the usual PSI over as many days


@dataclass(frozen=True)
class Distribution:
    """Distribution of one column at the training date.

    Attributes
    ----------
    name
        The column.
    edges
        For numbers: inner edges in ascending order; a bin includes its upper edge.
    values
        For texts: the values of the training; all others are counted as ``(other)``.
    counts
        Rows in each bin; the last bin is of missing values.
    usual
        ``[days, psi]`` of earlier snapshots of the training, in ascending order of days before it.
    """

    name: str
    edges: tuple[float, ...]
    values: tuple[str, ...]
    counts: tuple[int, ...]
    usual: tuple[tuple[int, float], ...] = ()

    @classmethod
    def of(cls, name: str, column: pd.Series) -> Distribution:
        """Count a column in bins of its own deciles or values."""
        if _is_number(column):
            numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
            numbers = numbers[np.isfinite(numbers)]
            inner_edges = (
                np.sort(numbers)[(np.arange(1, _BINS) * len(numbers)) // _BINS]
                if len(numbers)
                else numbers
            )
            edges = np.unique(inner_edges[inner_edges < numbers.max(initial=-np.inf)])
            uncounted = cls(name, tuple(edges.tolist()), (), ())
        else:
            uncounted = cls(name, (), tuple(sorted(map(str, column.dropna().unique()))), ())
        return cls(name, uncounted.edges, uncounted.values, tuple(uncounted.count(column).tolist()))

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
        """Names of the bins."""
        if self.values:
            return [*self.values, _OTHER, _MISSING]
        edge_texts = [f"{edge:.4g}" for edge in self.edges]
        if not edge_texts:
            return ["all", _MISSING]
        between = [f"{low} to {high}" for low, high in pairwise(edge_texts)]
        return [f"up to {edge_texts[0]}", *between, f"over {edge_texts[-1]}", _MISSING]

    def count(self, column: pd.Series) -> Array:
        """Count the rows of a column in each bin."""
        if self.values:
            position = {value: number for number, value in enumerate(self.values)}
            value_codes = column.map(lambda v: position.get(str(v), len(position)))
            bin_code = np.where(
                column.isna(), len(position) + 1, value_codes.to_numpy(dtype=np.float64)
            )
            return np.bincount(bin_code.astype(np.int64), minlength=len(position) + 2)
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        bin_code = np.searchsorted(np.array(self.edges, dtype=np.float64), numbers, side="left")
        bin_code = np.where(np.isnan(numbers), len(self.edges) + 1, bin_code)
        return np.bincount(bin_code, minlength=len(self.edges) + 2)

    def usual_psi(self, days: int) -> float:
        """Usual PSI after a number of days: interpolated, beyond the training in proportion."""
        if not self.usual:
            return 0.0
        days_before = np.array([0, *(d for d, _ in self.usual)], dtype=np.float64)
        largest_psi = np.maximum.accumulate([0.0, *(value for _, value in self.usual)])
        if days > days_before[-1]:
            return float(largest_psi[-1] * days / days_before[-1])
        return float(np.interp(days, days_before, largest_psi))


def _is_number(column: pd.Series) -> bool:
    """True if a column is binned by edges (numbers and booleans), not by value."""
    return column.dtype.kind in "fiub"


def psi(expected: Array, actual: Array) -> float:
    """Population stability index of two sets of counts; bins get half a row more to stay finite.

    Source: Siddiqi, Credit Risk Scorecards, 2006: over .25 the population has shifted.
    """
    expected_counts, actual_counts = (
        np.asarray(expected, dtype=np.float64),
        np.asarray(actual, dtype=np.float64),
    )
    has_rows = (expected_counts + actual_counts) > 0
    expected_counts, actual_counts = expected_counts[has_rows] + 0.5, actual_counts[has_rows] + 0.5
    expected_share, actual_share = (
        expected_counts / expected_counts.sum(),
        actual_counts / actual_counts.sum(),
    )
    return float(((actual_share - expected_share) * np.log(actual_share / expected_share)).sum())


def chi_squared_p_value(expected: Array, actual: Array) -> float:
    """P-value of Pearson's chi-squared test that two sets of counts have the same distribution."""
    table = np.array([expected, actual], dtype=np.float64)
    table = table[:, table.sum(axis=0) > 0]  # bins with rows in at least one set
    total = table.sum()
    if table.shape[1] < 2 or (table.sum(axis=1) == 0).any():
        return 1.0
    fitted = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    statistic = ((table - fitted) ** 2 / fitted).sum()
    return float(chi2.sf(statistic, table.shape[1] - 1))


def column_distributions(
    frame: pd.DataFrame, earlier: Mapping[int, pd.DataFrame] | None = None
) -> list[Distribution]:
    """Distribution of each column; `earlier` maps days before the frame to earlier frames."""
    result = []
    for name in frame.columns:
        distribution = Distribution.of(str(name), frame[name])
        usual_psi = tuple(
            (days, psi(np.array(distribution.counts), distribution.count(earlier_frame[name])))
            for days, earlier_frame in sorted((earlier or {}).items())
            if name in earlier_frame
        )
        result.append(
            Distribution(
                distribution.name,
                distribution.edges,
                distribution.values,
                distribution.counts,
                usual_psi,
            )
        )
    return result


def drift_findings(
    check: str,
    references: Sequence[Distribution],
    frame: pd.DataFrame,
    *,
    days: int,
    limit: float,
    level: float,
) -> list[MonitorFinding]:
    """PSI and chi-squared test of each column against the training.

    Parameters
    ----------
    check
        ``input`` or ``score``.
    references
        Distributions at the training.
    frame
        Current columns, one row a customer.
    days
        Days since the training date; the usual PSI grows with them.
    limit
        Smallest PSI of an alarm.
    level
        P-value below which a change is significant.
    """
    findings = []
    for reference in references:
        if reference.name not in frame:
            findings.append(
                MonitorFinding(check, reference.name, "psi", None, note="no such column now")
            )
            continue
        current_counts = reference.count(frame[reference.name])
        psi_value = psi(np.array(reference.counts), current_counts)
        p_value = chi_squared_p_value(np.array(reference.counts), current_counts)
        usual_psi = reference.usual_psi(days)
        psi_limit = max(limit, _USUAL_FACTOR * usual_psi)
        findings.append(
            MonitorFinding(
                check,
                reference.name,
                "psi",
                psi_value,
                expected=usual_psi,
                limit=psi_limit,
                p_value=p_value,
                alarm=psi_value >= psi_limit and p_value < level,
            )
        )
    return findings
