"""Groups of customers: sizes, trends and forecasts, from the published runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from features.arrays import Array
from features.metrics.stage_metrics import FEWEST
from features.storage.runs import PublishedRun
from flows.assistant.disclosure import (
    dominated,
    hidden_groups,
    isolates,
    rounded_count,
    significant,
)

# Divisions of the customers, in the order in which one gives way to those before it.
DIVISIONS = ("stage", "value_tier", "churn_band", "lead_band")
ALL = "all"
_MEASURES = MappingProxyType(
    {
        "p_churn": "mean chance of no order (or of a cancellation) within churn_horizon_days",
        "p_move": "mean chance of a change of stage",
        "p_first_purchase": "mean chance of a first purchase, of customers who never bought",
        "expected_orders": "mean number of days with an order within clv_horizon_days",
        "clv": "mean expected spend within clv_horizon_days, money",
    }
)
_HORIZONS = ("churn_horizon_days", "clv_horizon_days")
_MOST_DATES = 24  # of a trend
NO_GROUP = "none"
HIDDEN = f"fewer than {FEWEST} customers, or a group that would reveal fewer"


@dataclass(frozen=True)
class _Division:
    """Customers by group.

    Attributes
    ----------
    names
        Of the groups.
    codes
        Number of each customer's group.
    """

    names: list[str]
    codes: Array


def stage_sizes(output: Path, run: PublishedRun) -> dict[str, Any]:
    """Return the customers by stage of a run.

    Returns
    -------
    dict
        date, customers (in all) and stages: a list of stage and customers. Counts are multiples of
        30; null: hidden.
    """
    division = _divided(_read(output, run, ["stage"])["stage"])
    sizes = np.bincount(division.codes, minlength=len(division.names))
    total = len(division.codes)
    hidden = hidden_groups(sizes.tolist(), total)
    stages = [
        {"stage": name, "customers": None if is_hidden else rounded_count(size)}
        for name, size, is_hidden in zip(division.names, sizes.tolist(), hidden, strict=True)
    ]
    return {"date": str(run.snapshot_at), "customers": rounded_count(total), "stages": stages}


def trend_runs(runs: list[PublishedRun]) -> list[PublishedRun]:
    """Return the last run of every month, and the latest; at most 24."""
    published = sorted(
        (run for run in runs if run.status == "published"), key=lambda run: run.snapshot_at
    )
    last_of_month = {(run.snapshot_at.year, run.snapshot_at.month): run for run in published}
    return list(last_of_month.values())[-_MOST_DATES:]


def forecast(output: Path, run: PublishedRun, by: str) -> dict[str, Any]:
    """Return what the models expect of all customers and of the groups of a division.

    Returns
    -------
    dict
        date, horizons, meanings, all (customers and means of all customers) and groups: a list of
        group, customers and means; null: hidden, or no customer has the value. expected_spend is
        clv x customers.
    """
    names = [*DIVISIONS, *_MEASURES, *_HORIZONS]
    frame = _read(output, run, names)
    divisions = {name: _divided(frame[name]) for name in DIVISIONS if name in frame}
    content: dict[str, Any] = {
        "date": str(run.snapshot_at),
        "horizons": {
            name: int(frame[name].dropna().iloc[0])
            for name in _HORIZONS
            if name in frame and frame[name].notna().any()
        },
        "meanings": {name: text for name, text in _MEASURES.items() if name in frame},
        "all": dict(_whole(frame)),
    }
    if by != ALL:
        content["groups"] = _groups(frame, divisions, by)
    return content


def _read(output: Path, run: PublishedRun, columns: list[str]) -> pd.DataFrame:
    """Some columns of a run's scores, as far as there are; no key of a customer among them."""
    files = [output / file for file in run.score_files]
    present = [name for name in columns if name in pq.read_schema(files[0]).names]
    parts = [pq.read_table(file, columns=present).to_pandas() for file in files]
    return pd.concat(parts, ignore_index=True)


def _divided(values: pd.Series[Any]) -> _Division:
    names = values.astype(object).where(values.notna(), NO_GROUP).astype(str)
    codes, present = pd.factorize(names, sort=True)
    return _Division([str(name) for name in present], codes.astype(np.int64))


def _whole(frame: pd.DataFrame) -> Iterator[tuple[str, Any]]:
    total = rounded_count(len(frame))
    yield "customers", total
    for name in _MEASURES:
        if name in frame:
            values = frame[name].dropna().to_numpy(dtype=np.float64)
            shown = len(values) >= FEWEST and not dominated(values)
            yield name, significant(float(values.mean())) if shown else None
            if name == "clv":
                yield "expected_spend", _spend(float(values.mean()), total) if shown else None


def _spend(mean: float, customers: int | None) -> float | None:
    rounded_mean = significant(mean)
    if rounded_mean is None or customers is None:
        return None
    return significant(rounded_mean * customers)


def _groups(
    frame: pd.DataFrame, divisions: Mapping[str, _Division], by: str
) -> list[dict[str, Any]]:
    """Size and means of each group; a mean is hidden where its own customers are too few."""
    division = divisions.get(by)
    if division is None:
        return []
    everyone = np.ones(len(frame), dtype=bool)
    shown_sizes = _shown(divisions, by, everyone)
    rows: list[dict[str, Any]] = [
        {
            "group": name,
            "customers": rounded_count((division.codes == code).sum())
            if shown_sizes[code]
            else None,
        }
        for code, name in enumerate(division.names)
    ]
    for measure in _MEASURES:
        if measure not in frame:
            continue
        values = frame[measure].to_numpy(dtype=np.float64, na_value=np.nan)
        known = ~np.isnan(values)
        shown = _shown(divisions, by, known)
        for code, row in enumerate(rows):
            inside = values[known & (division.codes == code)]
            is_shown = shown[code] and shown_sizes[code] and not dominated(inside)
            row[measure] = significant(float(inside.mean())) if is_shown else None
            if measure == "clv":
                spend = _spend(float(inside.mean()), row["customers"]) if is_shown else None
                row["expected_spend"] = spend
    return rows


def _shown(divisions: Mapping[str, _Division], by: str, members: Array) -> list[bool]:
    """Which groups of a division are shown, of these customers alone.

    A division is left out as a whole if its groups, beside those of a division before it, would
    describe fewer than 30 customers.
    """
    accepted: list[Array] = []
    for name, division in divisions.items():
        codes = division.codes[members]
        sizes = np.bincount(codes, minlength=len(division.names)).tolist()
        hidden = np.array(hidden_groups(sizes, len(codes)), dtype=bool)
        # What is hidden follows from the total as one group.
        merged = np.where(hidden[codes], 0, codes + 1)
        merged = np.unique(merged, return_inverse=True)[1]
        fits = not any(isolates(merged, other) for other in accepted)
        if name == by:
            return [bool(fits and not is_hidden) for is_hidden in hidden]
        if fits:
            accepted.append(merged)
    return []
