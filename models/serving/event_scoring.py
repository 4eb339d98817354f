"""Score one customer or a few from raw events, exactly as the batch would score them that day."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from features.aggregates.daily_aggregates import tally
from features.aggregates.event_tallies import plain_tallies
from features.aggregates.tallies import Tallies
from features.config.config import Config
from features.errors import UserError
from features.sources import api_events
from features.sources.api_events import Row
from features.sources.keys import key_value
from features.table.customer_tallies import StoredHistory, added_tallies
from features.table.population_statistics import Everybody
from features.table.snapshot_builder import Builder
from models.registry.local_scorer import ScorerParts
from models.serving.scoring_input import scoring_columns, stage_late_days

# Keys that a scoring run stores with its scoring context, for event scoring later.
POPULATION_KEY, _DEFINITION = "everybody", "definition"
_EVENTS_FILE = "events.parquet"
_MOST_NUMBERS = 5  # of refused events in a message


@dataclass(frozen=True)
class EventScorer:
    """A scorer with stored population statistics, to score single customers from events.

    Attributes
    ----------
    config
        Config of the data set.
    loaded
        The registered scorer.
    context
        The stored scoring context of a run of this scorer.
    """

    config: Config
    loaded: ScorerParts
    context: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Refuse a context that would give other scores than the batch."""
        if POPULATION_KEY not in self.context:
            raise UserError(
                "scoring_context.json",
                found="a scoring context of an earlier version, without the population's facts",
                expected="one that `stagecast score` of this version stored",
                hint="run `stagecast score` with this output folder again",
            )
        if self.context[_DEFINITION] != api_events.feature_definition_hash(self.config):
            raise UserError(
                "config.yaml",
                found="stages, roles, windows or columns that differ from those of the last "
                "scoring run",
                expected="the config that the published scores were made with",
                hint="run `stagecast run` (or features, train, promote, score) with it first",
            )

    @cached_property
    def _outline(self) -> Builder:
        """Builder of the population, to which customers are added."""
        everybody = Everybody.from_json(self.context[POPULATION_KEY])
        return Builder.without_customers(self.config, everybody)

    @cached_property
    def scoring_context(self) -> dict[str, Any]:
        """The context without what only events need."""
        own = (POPULATION_KEY, _DEFINITION)
        return {key: value for key, value in self.context.items() if key not in own}

    def builder_of(self, tallies: Tallies) -> Builder:
        """Builder for the customers of some tallies, with the statistics of all customers."""
        return self._outline.with_customers(tallies)

    def score(
        self,
        events: Iterable[Row],
        day: int,
        *,
        latest: int,
        history: StoredHistory | None = None,
    ) -> list[dict[str, Any]]:
        """Scored rows of the customers of some raw events, at a snapshot.

        Parameters
        ----------
        events
            All events of each customer (see `features.sources.api_events.write`). Events that
            became known at the snapshot or later are ignored.
        day
            Day number of the snapshot.
        latest
            Day number after which no event can be genuine.
        history
            Stored tallies, to which the events are added; None: the events are the history.

        Returns
        -------
        list of dict
            The columns of `models.serving.score.score_snapshot` as JSON values, one row per
            customer who exists at the snapshot, sorted by id; run_id and scored_at null. At the
            snapshot of the scoring context these are the rows of that run, equal to the last bit.

        Raises
        ------
        UserError
            If events cannot be used.
        """
        builder = self.builder_of(self._tallied(events, latest, history))
        late_days = stage_late_days(self.loaded.parts)
        columns = scoring_columns(builder, day, late_days=late_days)
        if self.loaded.score_columns is not None:
            records = self.loaded.score_columns(columns, self.scoring_context)
        else:  # logged by an earlier version, whose code reads frames only
            frame = pd.DataFrame(columns)
            records = score_records(self.loaded.predict(frame, self.scoring_context))
        version = str(self.loaded.version)
        return [{**record, "scorer_version": version} for record in records]

    def _tallied(
        self, events: Iterable[Row], latest: int, history: StoredHistory | None = None
    ) -> Tallies:
        checked = api_events.checked_events(events, self.config)
        # Of distinct ids: the events of a request are mostly of one customer.
        keys = {key_value(name) for name in {event["customer_id"] for event in checked}} - {None}
        customers = [str(key) for key in keys]
        if history is None or not customers:
            plain = plain_tallies(checked, self.config, latest=latest)
            return self._tallied_by_engine(checked, latest) if plain is None else plain
        stored = history.of(customers)
        new = plain_tallies(checked, self.config, latest=latest, orders=stored.orders)
        if new is None:
            # The engine says what is wrong with them; if nothing is, it cannot know the orders.
            new = self._tallied_by_engine(checked, latest)
            if stored.orders is not None and stored.orders.num_rows:
                raise UserError(
                    "events",
                    found="events that cannot be added to stored orders",
                    expected="amounts as plain numbers, and orders whose parts came one by one",
                    hint="send all events of these customers without since_run",
                )
        return added_tallies(stored, new, history.before)

    def _tallied_by_engine(self, checked: Sequence[Mapping[str, str]], latest: int) -> Tallies:
        with tempfile.TemporaryDirectory(prefix="stagecast-events-") as name:
            return self._tallied_in(Path(name), checked, latest)

    def _tallied_in(
        self, folder: Path, checked: Sequence[Mapping[str, str]], latest: int
    ) -> Tallies:
        config = api_events.write_checked(checked, self.config, folder / _EVENTS_FILE)
        quarantine = folder / "quarantine"
        try:
            return tally(config, latest=latest, quarantine=quarantine)[0]
        except UserError as error:
            # File and row numbers of the message refer to our own copy of the events.
            place = error.where.replace(f"sources: {_EVENTS_FILE}", "events").replace(
                "sources", "events"
            )
            is_own_copy = str(folder) in error.hint
            if is_own_copy and (numbers := _refused_numbers(quarantine, checked)):
                place = f"{place}: event {numbers}"
            raise UserError(
                place,
                found=error.found,
                expected="events that can all be used" if is_own_copy else error.expected,
                hint="fix or leave out those events" if is_own_copy else error.hint,
            ) from error


def _refused_numbers(quarantine: Path, checked: Sequence[Mapping[str, str]]) -> str:
    """Numbers of the first refused events, from 1, by what the quarantine holds of them."""
    columns = ["occurred_at_text", "known_at_text", "event_type", "value_text"]
    refused = {
        tuple(row[column] for column in columns)
        for file in quarantine.glob("*.parquet")
        for row in pq.read_table(file, columns=columns).to_pylist()
    }
    cells = ("occurred_at", "known_at", "event_type", "value")
    numbers = [
        number
        for number, event in enumerate(checked, 1)
        if tuple(event.get(cell) for cell in cells) in refused
    ]
    shown = ", ".join(map(str, numbers[:_MOST_NUMBERS]))
    return f"{shown}, ..." if len(numbers) > _MOST_NUMBERS else shown


def score_records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Scored rows as JSON-able records: dates as ISO texts, missing values as None."""
    return [
        {str(name): plain_value(value) for name, value in record.items()}
        for record in rows.to_dict("records")
    ]


def plain_value(value: Any) -> Any:
    """A cell of a scored row as JSON has it: midnights as dates, missing values as None."""
    if value is None or value is pd.NaT or value != value:
        return None
    if isinstance(value, dt.datetime):
        midnight = value.time() == dt.time()
        return value.date().isoformat() if midnight else value.isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def population_facts(builder: Builder, day: int) -> dict[str, Any]:
    """Population statistics and definition that `EventScorer` needs in the scoring context."""
    return context_facts(builder.everybody_at(day), builder.config)


def context_facts(everybody: Everybody, config: Config) -> dict[str, Any]:
    """As `population_facts`, from population statistics that are already known."""
    return {
        POPULATION_KEY: everybody.as_json(),
        _DEFINITION: api_events.feature_definition_hash(config),
    }
