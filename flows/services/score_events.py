"""Score single customers from their raw events, with the context of a published run."""

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
from features.table.customer_tallies import StoredHistory
from flows.services.workspace import Workspace, latest_event_day
from models.serving.event_scoring import EventScorer

_STDIN = "-"


@dataclass(frozen=True)
class OpenScorer:
    """A scorer of raw events, and the published run that supplies its population."""

    scorer: EventScorer
    run: PublishedRun
    output: Path

    def score(
        self, events: Iterable[Row], *, at: dt.date | None = None, since_run: bool = False
    ) -> dict[str, Any]:
        """Scored rows of the events' customers, as JSON values.

        Parameters
        ----------
        events
            All events of each customer, in the contract's column names
            (`features.sources.api_events.write_events`).
        at
            Snapshot date; default: that of the run, and with `since_run` tomorrow, so that the
            events of today count. The population is always that of the run.
        since_run
            True if the events are only those that became known on the day of the run or later:
            the tallies in the output folder hold the history before.

        Returns
        -------
        dict
            snapshot_at, population_at, population_run_id, scorer_version, scored_at, scores (scored
            rows by column; identical to the run's scores if both dates are equal) and
            not_scored (customers without an event before the snapshot).

        Raises
        ------
        UserError
            For events that cannot be used, and dates before the run or in the future.
        """
        if at is None and since_run:
            today = dt.datetime.now(self.scorer.config.zone).date()
            at = max(today + dt.timedelta(days=1), self.run.snapshot_at)
        event_rows, snapshot_day = list(events), self._day(at)
        history = StoredHistory(self.output, day_number(self.run.snapshot_at))
        scored = self.scorer.score(
            event_rows,
            snapshot_day,
            latest=latest_event_day(),
            history=history if since_run else None,
        )
        scored_at = dt.datetime.now(dt.UTC)
        moment = scored_at.replace(tzinfo=None).isoformat()
        records = [{**record, "scored_at": moment} for record in scored]
        scored_ids = {record["customer_id"] for record in records}
        # By type, too: 1 and True are equal, and have other keys.
        distinct_ids = {(type(row["customer_id"]), row["customer_id"]) for row in event_rows}
        requested_ids = {key for _, name in distinct_ids if (key := key_value(name)) is not None}
        return {
            "snapshot_at": str(day_date(snapshot_day)),
            "population_at": str(self.run.snapshot_at),
            "population_run_id": self.run.run_id,
            "scorer_version": self.run.scorer_version,
            "scored_at": scored_at.isoformat(timespec="seconds"),
            "scores": records,
            "not_scored": sorted(requested_ids - scored_ids),
        }

    def _day(self, at: dt.date | None) -> int:
        day = day_number(self.run.snapshot_at if at is None else at)
        if day < day_number(self.run.snapshot_at) or day > latest_event_day() + 1:
            raise UserError(
                "--at",
                found=str(at),
                expected=f"{self.run.snapshot_at}, or a later day up to tomorrow",
            )
        return day


def open_scorer(output: Path, *, at: dt.date | None = None) -> OpenScorer:
    """Load the scorer version and the population of a published run.

    Parameters
    ----------
    output
        Folder of a published run.
    at
        Snapshot to score at; the latest run up to it is used. Default: the current run.

    Raises
    ------
    UserError
        If no run was published by then, its files are missing, or its scorer does not load.
    """
    space = Workspace(output)
    run = _run(output, at)
    loaded = space.scorer(int(run.scorer_version))
    context_file = run_folder(output, run.run_id) / "scoring_context.json"
    if not context_file.is_file():
        raise UserError(
            str(context_file),
            found="no such file",
            expected="the scoring context that a scoring run stores",
            hint="run `stagecast score` with this output folder",
        )
    context = json.loads(context_file.read_text(encoding="utf-8"))
    return OpenScorer(EventScorer(space.config(), loaded, context), run, output.absolute())


def _run(output: Path, at: dt.date | None) -> PublishedRun:
    if at is None:
        return scores_store.current_run(output)
    usable = [run for run in scores_store.published_runs(output) if run.status == "published"]
    usable_until = [run for run in usable if run.snapshot_at <= at]
    if not usable_until:
        raise UserError(
            "--at",
            found=str(at),
            expected=f"{min(run.snapshot_at for run in usable)} or later: the first published run"
            if usable
            else "the date of a published run, but no run is published yet",
            hint="run `stagecast score` with this output folder first",
        )
    return max(usable_until, key=lambda run: run.snapshot_at)


def read_events(source: str) -> list[dict[str, Any]]:
    """Events of a file, or of standard input if `source` is ``-``.

    Raises
    ------
    UserError
        If it cannot be read as JSON lines, a JSON array or CSV.
    """
    try:
        if source == _STDIN:
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


def parse_date(text: str | None) -> dt.date | None:
    """Parse an ISO date of the command line.

    Raises
    ------
    UserError
        If the text is not a date.
    """
    try:
        return None if text is None else dt.date.fromisoformat(text)
    except ValueError as error:
        raise UserError("--at", found=text, expected="a date like 2024-05-01") from error
