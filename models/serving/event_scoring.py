"""Scoring from raw events: one customer, or a few, as the batch would score them that day."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from features.aggregates.daily_aggregates import Tallies, tally
from features.config.config import Config
from features.errors import UserError
from features.sources import api_events
from features.sources.api_events import Row
from features.table.population_statistics import Everybody
from features.table.snapshot_builder import Builder
from models.registry.registry import Loaded
from models.serving.score import Unstored, late_days_of, scoring_frame

# Keys that a scoring run stores with its scoring context, for who is scored alone later.
EVERYBODY, _DEFINITION = "everybody", "definition"
_FILE = "events.parquet"


@dataclass(frozen=True)
class EventScorer:
    """A scorer with what it needs to know of everybody, to score single customers from events.

    Attributes
    ----------
    config
        The data set.
    loaded
        The registered scorer.
    context
        The stored scoring context of a run of this scorer.
    """

    config: Config
    loaded: Loaded
    context: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Refuse a context that cannot give what the batch would."""
        if EVERYBODY not in self.context:
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

    def score(self, events: Iterable[Row], at: int, *, latest: int) -> pd.DataFrame:
        """Scored rows of the customers of some raw events, at a snapshot.

        Parameters
        ----------
        events
            All events of each customer (see `features.sources.api_events.write_events`). Events
            that became known at the snapshot or later are ignored.
        at
            Day number of the snapshot.
        latest
            Day number after which no event can be genuine.

        Returns
        -------
        DataFrame
            The columns of `models.serving.score.score`, one row a customer who exists at the
            snapshot, in
            the order of their ids; run_id and scored_at null. At the snapshot of the scoring
            context these are the rows of that run, to the last bit.

        Raises
        ------
        UserError
            For events that cannot be used.
        """
        with tempfile.TemporaryDirectory(prefix="stagecast-events-") as folder:
            tallies = self._tallied(events, Path(folder), latest)
        everybody = Everybody.from_json(self.context[EVERYBODY])
        builder = Builder.of_some(self.config, tallies, everybody)
        late = late_days_of(self.loaded.scorer.parts)
        frame = scoring_frame(Unstored(builder), at, late_days=late)
        context = {k: v for k, v in self.context.items() if k not in (EVERYBODY, _DEFINITION)}
        rows = self.loaded.predict(frame, context)
        rows["scorer_version"] = str(self.loaded.version.version)
        return rows

    def _tallied(self, events: Iterable[Row], folder: Path, latest: int) -> Tallies:
        config = api_events.write_events(events, self.config, folder / _FILE)
        try:
            return tally(config, latest=latest, quarantine=folder / "quarantine")[0]
        except UserError as error:
            # What it says of a file and of rows to look at there is about our own copy.
            where = error.where.replace(f"sources: {_FILE}", "events").replace("sources", "events")
            ours = str(folder) in error.hint
            raise UserError(
                where,
                found=error.found,
                expected="events that can all be used" if ours else error.expected,
                hint="fix or leave out those events" if ours else error.hint,
            ) from error


def as_records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Scored rows as JSON-able records: dates as ISO texts, what is null as null."""
    return [
        {str(name): _plain(value) for name, value in record.items()}
        for record in rows.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    if value is None or value is pd.NaT or value != value:
        return None
    if isinstance(value, pd.Timestamp):
        midnight = value == value.normalize()
        return value.date().isoformat() if midnight else value.isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def stored_facts(builder: Builder, at: int) -> dict[str, Any]:
    """What a scoring run adds to its scoring context for `EventScorer`."""
    return facts_to_store(builder.everybody_at(at), builder.config)


def facts_to_store(everybody: Everybody, config: Config) -> dict[str, Any]:
    """Likewise, from the facts of everybody."""
    return {EVERYBODY: everybody.as_json(), _DEFINITION: api_events.feature_definition_hash(config)}
