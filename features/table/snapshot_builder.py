"""Build: the feature frame and the label frames of a snapshot, from a history."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features.aggregates.tallies import Tallies
from features.calendar import Span, day_date, day_number
from features.config.config import Config
from features.contracts import CUSTOMER, ROLES
from features.errors import UserError
from features.history.day_rows import Subject
from features.history.history import History, history
from features.history.reporting_delay import seen_before
from features.lifecycle.crm_stage_history import StageRecords, declared, stage_records
from features.lifecycle.identity_changes import LINKS
from features.lifecycle.stage_engine import Timers, timers
from features.lifecycle.taxonomy_parser import Taxonomy, load_taxonomy
from features.table.contract_churn import churn_population, involuntary_subjects
from features.table.customer_profile import existing, key_columns, profile_columns, snapshot_stamp
from features.table.families import catalogue
from features.table.families.feature import FeatureSpec, View
from features.table.population_statistics import Everybody
from features.table.prediction_targets import (
    TASK_NAMES,
    PredictionTarget,
    TaskName,
    prediction_targets,
)
from features.table.preferred_channel import preferred_channel
from features.table.training_snapshots import require_history, training_snapshots

_MOST_GATES = 3
_TRAINING_OF_A_GATE = 8  # training snapshots for each gate before the latest


@dataclass(frozen=True)
class Builder:
    """Everything needed to build any snapshot of one data set.

    Attributes
    ----------
    config, taxonomy
        The data set and its stages.
    history
        All events, also those after any one snapshot: each build cuts its own past.
    recorded
        The CRM's stage records, where they are the truth: labels read them, and features never.
    everybody
        Facts of all customers at the snapshot that is built, where the history holds only some.
    covered
        Days that all data cover, where the history holds only some of them.
    """

    config: Config
    taxonomy: Taxonomy
    history: History
    recorded: StageRecords | None = None
    everybody: Everybody | None = None
    covered: Span | None = None
    _last_timers: dict[int, Timers] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    @classmethod
    def of(cls, config: Config, history: History) -> Builder:
        """Builder with the config's own taxonomy."""
        return cls(config, load_taxonomy(config), history)

    @classmethod
    def from_tallies(
        cls, config: Config, tallies: Tallies, records: pa.Table | None = None
    ) -> Builder:
        """Builder with the config's own taxonomy and all that its rules ask for.

        Stage records are used where the config's truth is the stage history.
        """
        taxonomy = load_taxonomy(config)
        customer_history = history(tallies, config.role_types(), _subjects(config, taxonomy))
        recorded = None
        if records is not None and config.stage.truth == "history":
            recorded = stage_records(
                records, declared(config), taxonomy, customer_history.customers
            )
        return cls(config, taxonomy, customer_history, recorded)

    @classmethod
    def of_some(cls, config: Config, tallies: Tallies, everybody: Everybody) -> Builder:
        """Builder for some customers, with the same results as for all customers."""
        return cls.without_customers(config, everybody).with_customers(tallies)

    @classmethod
    def without_customers(
        cls, config: Config, everybody: Everybody, covered: Span | None = None
    ) -> Builder:
        """Builder to which some customers are added by `with_customers`."""
        empty_history = History(np.zeros(0, dtype=str), {}, {})
        return cls(
            config, load_taxonomy(config), empty_history, everybody=everybody, covered=covered
        )

    @classmethod
    def outline(cls, config: Config, roles: tuple[str, ...], covered: Span) -> Builder:
        """Builder without customers, of data with events of some roles on some days."""
        return cls.without_customers(config, Everybody(roles, {}, {}), covered)

    def among(self, everybody: Everybody) -> Builder:
        """The same, with other facts of all customers."""
        return replace(self, everybody=everybody)

    def with_customers(self, tallies: Tallies) -> Builder:
        """The same builder for some customers; the statistics of all customers stay."""
        assert self.everybody is not None
        subjects = _subjects(self.config, self.taxonomy)
        customer_history = history(tallies, self.config.role_types(), subjects)
        return replace(self, history=customer_history.with_roles(self.everybody.roles))

    def everybody_at(self, at: int) -> Everybody:
        """Facts of all customers at a snapshot, to build single ones with later (`of_some`)."""
        return Everybody.of(
            View(self.history.known_before(at), at, self.spec.minor_units), self.spec
        )

    @cached_property
    def spec(self) -> FeatureSpec:
        """The features the data allow."""
        return spec_of(self.config, self.roles)

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles with events of anybody."""
        if self.everybody is not None:
            return tuple(self.everybody.roles)
        return tuple(role for role in ROLES if role in self.history.roles)

    @cached_property
    def span(self) -> Span:
        """Days covered: first event to `data_through` (default: the day of the last event)."""
        if self.covered is not None:
            return self.covered
        days = [rows.day for rows in self.history.roles.values() if len(rows.day)]
        last_day = max(int(d.max()) for d in days)
        if self.config.data_through is not None:
            last_day = day_number(self.config.data_through)
        return Span(first=min(int(d.min()) for d in days), through=last_day)

    @cached_property
    def targets(self) -> dict[TaskName, PredictionTarget]:
        """What each task predicts."""
        return prediction_targets(self.config, self.taxonomy, self.records, self.roles)

    def horizon(self, task: TaskName) -> int:
        """Days after a snapshot that the task's label looks at, or waits for late data."""
        return self.targets[task].horizon_days

    def training_days(self, task: TaskName, origin: int) -> list[int]:
        """Snapshots whose labels of a task have matured by an origin (day numbers, rising)."""
        return training_snapshots(
            origin,
            self.span,
            self.targets[task].grid,
            horizon_days=self.horizon(task),
            settle_days=self.config.settle_days,
            default_every=self.config.snapshots.every_days,
        )

    @property
    def last_snapshot(self) -> int:
        """Day number of the snapshot that is scored.

        Raises
        ------
        UserError
            Where the config asks for a later one than the day after the data end.
        """
        latest_possible, requested = self.span.last_snapshot, self.config.snapshots.last
        if requested is None:
            return latest_possible
        if day_number(requested) > latest_possible:
            raise UserError(
                "snapshots.last",
                found=requested,
                expected=f"{day_date(latest_possible)} at the latest: the day after the data end "
                f"({day_date(self.span.through)})",
                hint="set an earlier date, or `data_through` where later days had no events",
            )
        return day_number(requested)

    def gate(self, task: TaskName) -> int:
        """The latest snapshot whose label has matured by the last one: kept for the test."""
        return self.last_snapshot - self.horizon(task) - self.config.settle_days

    def gates(self, task: TaskName) -> list[int]:
        """Matured snapshots on which a promotion compares, rising; the last one is `gate`.

        Up to three of the training grid, so that they are stored anyhow. They span one horizon at
        most, and each gives up an eighth of the training snapshots at most: what is compared was
        fitted on labels that had matured by the first of them.
        """
        latest, target = self.gate(task), self.targets[task]
        every = target.grid.every_days or self.config.snapshots.every_days
        snapshots = len(self.training_days(task, latest))
        earlier = min(
            _MOST_GATES - 1, snapshots // _TRAINING_OF_A_GATE, target.horizon_days // every
        )
        return [latest - every * back for back in range(earlier, -1, -1)]

    def needed_days(self) -> list[int]:
        """Every snapshot that training, testing and scoring will ask for.

        Raises
        ------
        UserError
            Where the history is too short for a task.
        """
        days = {self.last_snapshot}
        for task in TASK_NAMES:
            require_history(
                Span(self.span.first, self.last_snapshot - 1),
                horizon_days=self.horizon(task),
                settle_days=self.config.settle_days,
                task=task,
            )
            gates = self.gates(task)
            days |= {*gates, *self.training_days(task, gates[0])}
            days |= set(self.training_days(task, self.last_snapshot))
        return sorted(days)

    def features(self, at: int, *, delay: int = 0) -> pd.DataFrame:
        """Feature frame of a snapshot: what was known before it, and nothing else.

        Parameters
        ----------
        at
            Day number of the snapshot.
        delay
            Days before it of which nothing is known yet: recency, windows and clocks still count
            to the snapshot. Who is first heard of in those days has a row that knows nothing.

        Returns
        -------
        DataFrame
            customer_id, snapshot_at, the catalogued columns (float64, NaN where the catalogue
            says null), ``stage__*`` timers, stage (name) and churn_eligible (bool); one row an
            existing customer.
        """
        return pd.DataFrame(self.columns(at, delay=delay))

    def columns(self, at: int, *, delay: int = 0) -> dict[str, Any]:
        """Columns of the feature frame by name, as arrays (see `features`)."""
        seen_history = seen_before(self.history, at - delay) if delay else self.history
        positions = existing(self.history, at)
        view = View(seen_history.known_before(at), at, self.spec.minor_units, self.spec.edges(at))
        columns = key_columns(self.history, positions, at)
        for feature in catalogue(self.spec):
            columns[feature.name] = feature.of(view)[positions].astype(np.float64, copy=False)
        stage_timers = self._timers(at, seen_history)
        if self._alone and not delay:  # `profile` asks for them again; of few they are small
            self._last_timers.clear()
            self._last_timers[at] = stage_timers
        for name, values in stage_columns(stage_timers).items():
            columns[name] = values[positions].astype(np.float64, copy=False)
        names = np.array(self.taxonomy.names, dtype=object)
        columns["stage"] = names[stage_timers.code[positions]]
        churn_eligible = churn_population(view, self.config.churn, self.config.activity_days)
        columns["churn_eligible"] = churn_eligible[positions]
        return columns

    def channels(self, at: int) -> pd.Series:
        """Preferred channel of every existing customer, None where none is known; by customer_id.

        The column ``preferred_channel`` of `profile`, without the rest of it.
        """
        positions = existing(self.history, at)
        view = View(self.history.known_before(at), at, self.spec.minor_units)
        rates = None if self.everybody is None else self.everybody.responses
        channels = preferred_channel(view, rates)[positions]
        customers = pd.Index(self.history.customers[positions].astype(object), name=CUSTOMER)
        return pd.Series(channels, index=customers, dtype=object)

    def _timers(self, at: int, seen: History) -> Timers:
        task = self.config.transition
        return timers(self.taxonomy, seen, at, periods=task.periods, period_days=task.period_days)

    def labels(self, task: TaskName, at: int) -> pd.DataFrame:
        """Label frame of a task at a snapshot (see `features.table.labels`)."""
        return self.targets[task].labels(self.history, at)

    def records(self) -> StageRecords:
        """The CRM's stage records.

        Raises
        ------
        UserError
            Where they were not read.
        """
        if self.recorded is None:
            raise UserError(
                "stage.truth: history",
                found="no stored stage records",
                expected="what `stagecast features` stores with this truth",
                hint="run `stagecast features` (or `stagecast run`) with this output folder again",
            )
        return self.recorded

    @property
    def _alone(self) -> bool:
        """True if the span of the full data set is unknown."""
        return self.everybody is not None and self.covered is None

    def profile(self, at: int) -> pd.DataFrame:
        """Facts of the scored row that no model makes, and the rule clock's date of lapsing."""
        return pd.DataFrame(self.profile_columns(at))

    def profile_columns(self, at: int) -> dict[str, Any]:
        """Columns of `profile` by name, as arrays."""
        columns = profile_columns(
            self.history,
            self.taxonomy,
            self.spec,
            at,
            refunds=self.config.refunds,
            # Of some customers the last event says nothing of how far the data go.
            data_through=at - 1 if self._alone else min(self.span.through, at - 1),
            everybody=self.everybody,
        )
        positions = existing(self.history, at)
        stage_timers = self._last_timers.get(at) or self._timers(at, self.history)
        days = stage_timers.days_to_lapse[positions]
        lapses = np.full(len(days), np.datetime64("NaT", "s"))
        seconds = (days[days > 0] * 86_400).astype("timedelta64[s]")
        lapses[days > 0] = snapshot_stamp(at).to_datetime64() + seconds
        columns["lapses_at_if_silent"] = lapses
        return columns


def _subjects(config: Config, taxonomy: Taxonomy) -> list[Subject]:
    """What rules, labels and causes of stage changes ask for beside whole roles."""
    links = [] if config.identities is None else [LINKS]
    return [*taxonomy.subjects(), *links, *involuntary_subjects(config.churn)]


def spec_of(config: Config, roles: tuple[str, ...]) -> FeatureSpec:
    """The features that data with events of some roles allow."""
    return FeatureSpec(
        windows=config.windows,
        roles=roles,
        attributes=config.attributes(),
        minor_units=config.minor_units,
        contracts=config.churn.by == "cancel",
    )


STAGE_COLUMNS = (
    "stage__code",
    "stage__periods_in_stage",
    "stage__silent_code",
    "stage__silent_period",
    "stage__after_purchase_code",
    "stage__purchases_needed",
    "stage__days_to_lapse",
)


def stage_columns(clocks: Timers) -> dict[str, Any]:
    """The rule engine's clocks as feature columns, one value a customer."""
    return {name: getattr(clocks, name.removeprefix("stage__")) for name in STAGE_COLUMNS}
