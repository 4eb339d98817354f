"""Scores of single customers from their raw events, by what the last scoring run knows."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.calendar import day_date, day_number
from features.errors import UserError
from features.sources.api_events import Row, parse_events
from features.sources.keys import key_value
from features.storage import scores_store
from features.storage.runs import PublishedRun, run_folder
from flows.services.workspace import Workspace, today
from models.registry import registry
from models.serving.event_scoring import EventScorer, as_records

STDIN = "-"


@dataclass(frozen=True)
class Opened:
    """A scorer of raw events, and the published run whose population it knows."""

    scorer: EventScorer
    run: PublishedRun

    def score(self, events: Iterable[Row], *, at: dt.date | None = None) -> dict[str, Any]:
        """Scored rows of the customers of some events, JSON-able.

        Parameters
        ----------
        events
            All events of each customer, in the contract's column names
            (`features.sources.api_events.write_events`).
        at
            Snapshot; default: that of the run. At a later one the population is still the run's.

        Returns
        -------
        dict
            snapshot_at, population_at, population_run_id, scorer_version, scored_at, scores (scored
            rows by column; the run's own to the last bit where the two dates are one) and
            not_scored (customers of whom nothing was known before the snapshot).

        Raises
        ------
        UserError
            For events that cannot be used, and dates that the run knows nothing of.
        """
        rows, day = list(events), self._day(at)
        scored = self.scorer.score(rows, day, latest=today())
        now = dt.datetime.now(dt.UTC)
        scored["scored_at"] = now.replace(tzinfo=None)
        records = as_records(scored)
        there = {record["customer_id"] for record in records}
        named = {key for row in rows if (key := key_value(row["customer_id"])) is not None}
        return {
            "snapshot_at": str(day_date(day)),
            "population_at": str(self.run.snapshot_at),
            "population_run_id": self.run.run_id,
            "scorer_version": self.run.scorer_version,
            "scored_at": now.isoformat(timespec="seconds"),
            "scores": records,
            "not_scored": sorted(named - there),
        }

    def _day(self, at: dt.date | None) -> int:
        day = day_number(self.run.snapshot_at if at is None else at)
        if day < day_number(self.run.snapshot_at) or day > today() + 1:
            raise UserError(
                "--at",
                found=str(at),
                expected=f"{self.run.snapshot_at}, or a later day up to tomorrow",
            )
        return day


def opened(output: Path, *, at: dt.date | None = None) -> Opened:
    """Load what a published run scored with: its scorer version and its population.

    Parameters
    ----------
    output
        Folder of a published run.
    at
        Snapshot to score at: the latest run up to it is taken. Default: the current run.

    Raises
    ------
    UserError
        Where no run has been published by then, its files are gone, or its scorer does not load.
    """
    space = Workspace(output)
    run = _run(output, at)
    path = run_folder(output, run.run_id) / "scoring_context.json"
    if not path.is_file():
        raise UserError(
            str(path),
            found="no such file",
            expected="the scoring context that a scoring run stores",
            hint="run `stagecast score` with this output folder",
        )
    context = json.loads(path.read_text(encoding="utf-8"))
    loaded = registry.load(space.tracking(), version=int(run.scorer_version))
    return Opened(EventScorer(space.config(), loaded, context), run)


def _run(output: Path, at: dt.date | None) -> PublishedRun:
    if at is None:
        return scores_store.read_current(output).run
    usable = [run for run in scores_store.published_runs(output) if run.status == "published"]
    found = [run for run in usable if run.snapshot_at <= at]
    if not found:
        raise UserError(
            "--at",
            found=str(at),
            expected=f"{min(run.snapshot_at for run in usable)} or later: the first published run"
            if usable
            else "a date of a published run, and there is none yet",
            hint="run `stagecast score` with this output folder first",
        )
    return max(found, key=lambda run: run.snapshot_at)


def read_events(source: str) -> list[dict[str, Any]]:
    """Events of a file, or of standard input where `source` is ``-``.

    Raises
    ------
    UserError
        Where it cannot be read as JSON lines, a JSON array or CSV.
    """
    try:
        if source == STDIN:
            text = sys.stdin.buffer.read().decode("utf-8")
        else:
            text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "text that is not UTF-8"
        raise UserError(
            source,
            found=str(reason),
            expected="events as JSON lines, one JSON array, or CSV with a header, in UTF-8",
        ) from error
    return parse_events(text)


def date_of(text: str | None) -> dt.date | None:
    """A date as the command line gives it.

    Raises
    ------
    UserError
        Where it is none.
    """
    try:
        return None if text is None else dt.date.fromisoformat(text)
    except ValueError as error:
        raise UserError("--at", found=text, expected="a date like 2024-05-01") from error
