"""What stage metrics are made of: the settled history, visits, spend, and published scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.arrays import Array
from features.calendar import day_number
from features.contracts import MONEY_ROLES
from features.history.day_rows import FAR_PAST, DayRows
from features.history.history import History
from features.lifecycle.stage_engine import stage_at
from features.storage.scores_store import published_runs
from features.table.customer_profile import existing
from features.table.snapshot_builder import Builder

SCORE_COLUMNS = ("customer_id", "stage", "clv", "clv_horizon_days", "lead_band")


@dataclass(frozen=True)
class Period:
    """A run of whole local days, ``[start, end)``, as day numbers."""

    start: int
    end: int


@dataclass(frozen=True)
class Inputs:
    """Everything that metrics may look at; reports look back, so all known by now counts.

    Attributes
    ----------
    builder
        The data set: history, taxonomy and config.
    sessions
        From `features.aggregates.sessions.session_tally`; None where no source maps session_id.
    spend
        From `features.sources.acquisition_spend.read_spend`; None where the config names no table.
    scores
        From `published_scores`; None where nothing was published.
    sources
        Channel of every customer's first lead event (object); None where unknown.
    """

    builder: Builder
    sessions: pd.DataFrame | None = None
    spend: pd.DataFrame | None = None
    scores: pd.DataFrame | None = None
    sources: Array | None = None
    _codes: dict[int, Array] = field(default_factory=dict, compare=False)
    _settled: dict[str, DayRows | None] = field(default_factory=dict, compare=False)

    @property
    def history(self) -> History:
        """The events of all customers."""
        return self.builder.history

    @property
    def customers(self) -> int:
        """Number of customers."""
        return len(self.history.customers)

    def exists(self, day: int) -> Array:
        """Whether each customer was known of before a day."""
        exists = np.zeros(self.customers, dtype=bool)
        exists[existing(self.history, day)] = True
        return exists

    def code(self, day: int) -> Array:
        """Stage code of every customer at a day, by what was known before it; -1: unknown then."""
        if day not in self._codes:
            codes = stage_at(self.builder.taxonomy, self.history, day)
            self._codes[day] = np.where(self.exists(day), codes, -1)
        return self._codes[day]

    def has(self, role: str) -> bool:
        """Whether the data hold events of a role."""
        return role in self.history.roles

    def rows(self, role: str) -> DayRows:
        """Day rows of a role, by all that is known now."""
        if role not in self._settled:
            day_rows = self.history.roles.get(role)
            self._settled[role] = None if day_rows is None else day_rows.settled
        return self._settled[role] or DayRows.empty(self.customers)

    def count(self, role: str, start: int, end: int) -> Array:
        """Events of every customer in ``[start, end)``."""
        rows = self.rows(role)
        return rows.edge(end).count - rows.edge(start).count

    def days(self, role: str, start: int, end: int) -> Array:
        """Distinct days with an event of every customer in ``[start, end)``."""
        rows = self.rows(role)
        return rows.edge(end).row - rows.edge(start).row

    def first_day(self, role: str) -> Array:
        """Day number of every customer's first event of a role; `FAR_PAST` where there is none."""
        first_days = np.full(self.customers, FAR_PAST)
        rows = self.rows(role)
        customers, first_rows = np.unique(rows.customer, return_index=True)
        first_days[customers] = rows.day[first_rows]
        return first_days

    def active(self, day: int) -> Array:
        """Whether each customer bought within `activity_days` before a day (unset: ever)."""
        within = self.builder.config.activity_days
        return self.days("purchase", FAR_PAST + 1 if within is None else day - within, day) > 0

    def answers(self, role: str, period: Period) -> tuple[Array, Array]:
        """Survey answers in a period: whose, and the value; the last one a customer and day."""
        rows = self.rows(role)
        inside = (rows.day >= period.start) & (rows.day < period.end)
        scale = 10.0**self.builder.config.minor_units
        return rows.customer[inside], rows.facts["latest"][inside] / scale

    def net_spend(self, end: int) -> Array:
        """Spend of every customer before a day, major units, refunds netted as the config says."""
        roles = MONEY_ROLES if self.builder.config.refunds == "net" else ("purchase",)
        total = np.zeros(self.customers, dtype=np.int64)
        for role in roles:
            rows = self.rows(role)
            total += rows.edge(end).value - rows.beginning.value
        return total / 10.0**self.builder.config.minor_units


def lead_sources(builder: Builder, attributes: pa.Table) -> Array:
    """Channel of every customer's first lead event (object); None where it carries none.

    Of several channels on that day the first in order counts.
    """
    sources = np.full(len(builder.history.customers), None, dtype=object)
    types = builder.config.role_types().get("lead", ())
    frame = attributes.select(["customer_id", "event_type", "attribute", "choice", "day"])
    is_source = pa.compute.and_(
        pa.compute.equal(frame["attribute"], "channel"),
        pa.compute.is_in(frame["event_type"], value_set=pa.array(types, pa.string())),
    )
    leads = frame.filter(is_source).to_pandas().sort_values(["customer_id", "day", "choice"])
    first_leads = leads.drop_duplicates("customer_id")
    positions = np.searchsorted(
        builder.history.customers, first_leads["customer_id"].to_numpy(dtype=str)
    )
    rows = builder.history.roles.get("lead")
    if rows is None or not len(first_leads):
        return sources
    is_first_day = Inputs(builder).first_day("lead")[positions] == first_leads["day"].to_numpy()
    sources[positions[is_first_day]] = first_leads["choice"].to_numpy(dtype=object)[is_first_day]
    return sources


def published_scores(output: Path, periods: Sequence[Period]) -> pd.DataFrame | None:
    """Published scores that metrics of some periods may ask for; None where there are none.

    Returns
    -------
    DataFrame or None
        day (number of the snapshot), customer_id, stage, clv, clv_horizon_days, lead_band (null
        where the scores have no such column); one row a customer and snapshot: everyone at the
        latest snapshot of each period, and those with a lead band at all others.
    """
    runs = [run for run in published_runs(output) if run.status == "published"]
    days = {run.run_id: day_number(run.snapshot_at) for run in runs}
    inside = [[d for d in days.values() if p.start < d <= p.end] for p in periods]
    in_full = {max(found) for found in inside if found}
    parts: list[Any] = []
    for run in runs:
        day = days[run.run_id]
        for file in run.score_files:
            columns = [c for c in SCORE_COLUMNS if c in pq.read_schema(output / file).names]
            if day not in in_full and "lead_band" not in columns:
                continue
            frame = pd.read_parquet(output / file, columns=columns)
            if day not in in_full:  # years of nightly scores would not fit into memory
                frame = frame[frame["lead_band"].notna()]
            parts.append(frame.assign(day=day))
    if not any(len(part) for part in parts):
        return None
    together = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return together.reindex(columns=["day", *SCORE_COLUMNS])
