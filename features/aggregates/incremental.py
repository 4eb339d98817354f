"""What new files change in what was read before: visitors that got a name, visits that went on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis.expr.types import Table

from features.aggregates.expressions import together
from features.aggregates.manifest import CannotExtend
from features.aggregates.sessions import SCHEMA, as_stored, by_day, session_pages, staged_pages
from features.config.config import Config
from features.config.sources import EventSource
from features.sources.erasure_list import NO_ERASURES, ErasureList
from features.sources.events import join_lookups, judge_rows, standardise, usable_events
from features.sources.files import describe_location
from features.sources.identity_links import read_identities
from features.sources.identity_resolution import apply_links
from features.sources.quarantine import ReadReport, staged_report, sum_reports


@dataclass(frozen=True)
class Then:
    """What stored tallies were made from.

    Attributes
    ----------
    config
        The config with the files there were.
    latest
        Day number after which nothing counted as genuine.
    """

    config: Config
    latest: int


@dataclass(frozen=True)
class Earlier:
    """The files that stored tallies were made from, and the links as they were then.

    Attributes
    ----------
    connection
        The engine.
    config
        The config with those files only.
    latest
        Day number after which no event can be genuine.
    erased
        Who asked to be erased.
    before, links
        The links then, and now; null where the config names no identities.
    visitors
        Anonymous ids whose links have changed; null where none has.
    """

    connection: Any
    config: Config
    latest: int
    erased: ErasureList = NO_ERASURES
    before: Table | None = None
    links: Table | None = None
    visitors: Table | None = None

    def relinked(self, number: int) -> tuple[Table, ReadReport] | None:
        """Events of a source that count now since links told whose they are.

        Parameters
        ----------
        number
            Position of the source in the whole config.

        Returns
        -------
        Table
            As `features.sources.events.read_source`.
        ReadReport
            By how many the counts of the source change; no rows.

        Raises
        ------
        CannotExtend
            Where an event that was somebody's is now another's, or known on another day.
        """
        source = self.config.sources[number]
        if self.visitors is None or source.columns.anonymous_id is None:
            return None
        rows = self._rows(source)
        theirs = rows.filter(rows.customer_id.isnull()).semi_join(self.visitors, "anonymous_id")
        told = self._stored(f"relinked_{number}", self._judged(self._as_before(theirs), source))
        changed = (told.was != told.customer_id) | (told.was_known != told.known_day)
        moved = int(told.filter(told.was.notnull() & changed).count().execute())
        if moved:
            raise CannotExtend(f"{moved} events of linked visitors belong to others by new links")
        fresh = told.filter(told.was.isnull())
        unknown = fresh.mutate(customer_id=ibis.null("string"), known_day=fresh.own_known)
        then = staged_report(
            judge_rows(unknown, source, self.config, latest=self.latest, links=None), "then", 0
        )
        now = staged_report(fresh, describe_location(source.events), 0)
        report = sum_reports(now.source, [now, _negative(then)])
        return usable_events(fresh, source, self.config, self.links), report

    def _as_before(self, rows: Table) -> Table:
        """Rows of nobody, with whose they were by the links of then, and from which day on."""
        then = apply_links(rows.mutate(own_known=rows.known_day), self.before)
        return then.mutate(
            was=then.customer_id,
            was_known=then.known_day,
            customer_id=ibis.null("string"),
            known_day=then.own_known,
        ).drop("link_day")

    def sessions(self, config: Config) -> pa.Table | None:
        """By how much the stored tally of sessions changes; null where no source maps session_id.

        Parameters
        ----------
        config
            The config with the new files only, which were read into the connection.

        Returns
        -------
        Table or None
            As `features.aggregates.sessions.session_tally`; counts may be negative.
        """
        if all(source.columns.session_id is None for source in self.config.sources):
            return None
        now, ids = staged_pages(self.connection, config), list(self._ids(config))
        if not ids:
            return SCHEMA.empty_table()
        went_on = self._stored("sessions_that_went_on", together(ids).distinct())
        then = []
        for number, source in enumerate(self.config.sources):
            if source.columns.session_id is not None:
                rows = self._of_sessions(number, source, went_on)
                now.append(session_pages(self._judged(rows, source), self.config))
                before = judge_rows(rows, source, self.config, latest=self.latest,
                                links=self.before, erased=self.erased)  # fmt: skip
                then.append(session_pages(before, self.config))
        gone = by_day(then)
        gone = gone.mutate(**{name: -gone[name] for name in _COUNTS})
        both = by_day(now).union(gone.select("day", "named", *_COUNTS))
        days = both.group_by(["day", "named"]).agg(**{name: both[name].sum() for name in _COUNTS})
        changed = [days[name] != 0 for name in _COUNTS]
        return as_stored(days.filter(changed[0] | changed[1] | changed[2]))

    def _ids(self, config: Config) -> Iterator[Table]:
        """The sessions that new rows, or visitors with other links, have pages of."""
        for pages in staged_pages(self.connection, config):
            yield pages.select("session_id")
        if self.visitors is None:
            return
        for source in self.config.sources:
            columns = source.columns
            if columns.session_id is not None and columns.anonymous_id is not None:
                rows = self._rows(source)
                theirs = rows.filter(rows.session_id.notnull())
                yield theirs.semi_join(self.visitors, "anonymous_id").select("session_id")

    def _of_sessions(self, number: int, source: EventSource, ids: Table) -> Table:
        """Rows of some sessions, and with them all that may be copies of each other."""
        rows = self._rows(source)
        if source.event_id is not None:
            return rows
        return self._stored(f"sessions_of_{number}", rows.semi_join(ids, "session_id"))

    def _rows(self, source: EventSource) -> Table:
        return standardise(join_lookups(self.connection, source), source, self.config)

    def _judged(self, rows: Table, source: EventSource) -> Table:
        return judge_rows(
            rows, source, self.config, latest=self.latest, links=self.links, erased=self.erased
        )

    def _stored(self, name: str, rows: Table) -> Table:
        return self.connection.create_table(name, rows, temp=True)


def open_earlier(
    connection: Any,
    then: Then,
    links: Table | None,
    *,
    latest: int,
    erased: ErasureList,
    temporary: Path,
) -> Earlier:
    """What was read before.

    Parameters
    ----------
    connection, latest, erased
        As in `Earlier`.
    then
        What the stored tallies were made from.
    links
        All links there are now.
    temporary
        Folder for bad links, which the reading of all of them sets aside as well.
    """
    before, visitors = None, None
    if links is not None:
        before, _ = read_identities(
            connection,
            then.config,
            latest=then.latest,
            quarantine=temporary / "links",
            name="links_then",
        )
        assert before is not None
        other = links.anti_join(before, list(links.columns)).select("anonymous_id").distinct()
        visitors = connection.create_table("visitors_linked_anew", other, temp=True)
        if not int(visitors.count().execute()):
            visitors = None
    return Earlier(connection, then.config, latest, erased, before, links, visitors)


def _negative(report: ReadReport) -> ReadReport:
    quarantined, ignored = (
        {reason: -rows for reason, rows in counts.items()}
        for counts in (report.quarantined, report.ignored)
    )
    return ReadReport(report.source, -report.rows, quarantined, ignored)


_COUNTS = ("sessions", "one_page", "pages")
