"""Effects of new files on earlier ones: newly linked visitors and continued sessions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis.expr.types import Table

from features.aggregates.expressions import union_all
from features.aggregates.manifest import CannotExtend
from features.aggregates.sessions import (
    SESSION_SCHEMA,
    session_pages,
    sessions_by_day,
    staged_pages,
    stored_session_rows,
)
from features.config.config import Config
from features.config.sources import EventSource
from features.sources.erasure_list import NO_ERASURES, ErasureList
from features.sources.events import join_lookups, judge_rows, standardise, usable_events
from features.sources.identity_links import read_identities
from features.sources.identity_resolution import apply_links
from features.sources.locations import describe_location
from features.sources.quarantine import staged_report
from features.sources.read_report import ReadReport, sum_reports
from features.sources.row_reasons import with_positions


@dataclass(frozen=True)
class PreviousRead:
    """The inputs of the stored tallies.

    Attributes
    ----------
    config
        The config with the files of that time.
    latest
        Day number after which events were refused.
    """

    config: Config
    latest: int


@dataclass(frozen=True)
class EarlierFiles:
    """The files behind the stored tallies, and the identity links of that time.

    Attributes
    ----------
    connection
        The engine.
    config
        The config with those files only.
    latest
        Day number after which events are refused.
    erased
        Erased customers.
    before, links
        The links then and now; None if the config declares no identities.
    visitors
        Anonymous ids whose links have changed; None if none has.
    """

    connection: Any
    config: Config
    latest: int
    erased: ErasureList = NO_ERASURES
    before: Table | None = None
    links: Table | None = None
    visitors: Table | None = None

    def relinked(self, number: int) -> tuple[Table, ReadReport] | None:
        """Return events of a source that count now because a new link names their customer.

        Parameters
        ----------
        number
            Position of the source in the whole config.

        Returns
        -------
        Table
            As `features.sources.events.read_source`.
        ReadReport
            Changes of the source's counts; its number of rows is 0.

        Raises
        ------
        CannotExtend
            If an event moves to another customer, or becomes known on another day.
        """
        source = self.config.sources[number]
        if self.visitors is None or source.columns.anonymous_id is None:
            return None
        source_rows = self._rows(source)
        visitor_rows = source_rows.filter(source_rows.customer_id.isnull()).semi_join(
            self.visitors, "anonymous_id"
        )
        relinked_rows = self._stored(
            f"relinked_{number}", self._judged(self._as_before(visitor_rows), source)
        )
        is_changed = (relinked_rows.was != relinked_rows.customer_id) | (
            relinked_rows.was_known != relinked_rows.known_day
        )
        moved_count = int(
            relinked_rows.filter(relinked_rows.was.notnull() & is_changed).count().execute()
        )
        if moved_count:
            raise CannotExtend(
                f"{moved_count} events of linked visitors belong to others by new links"
            )
        new_rows = relinked_rows.filter(relinked_rows.was.isnull())
        unlinked = new_rows.mutate(customer_id=ibis.null("string"), known_day=new_rows.own_known)
        report_before = staged_report(
            judge_rows(unlinked, source, self.config, latest=self.latest, links=None), "then", 0
        )
        report_now = staged_report(new_rows, describe_location(source.events), 0)
        report = sum_reports(report_now.source, [report_now, _negated(report_before)])
        return usable_events(new_rows, source, self.config, self.links), report

    def _as_before(self, rows: Table) -> Table:
        """Add the customer (`was`) and known day (`was_known`) by the earlier links."""
        linked_before = apply_links(rows.mutate(own_known=rows.known_day), self.before)
        return linked_before.mutate(
            was=linked_before.customer_id,
            was_known=linked_before.known_day,
            customer_id=ibis.null("string"),
            known_day=linked_before.own_known,
        ).drop("link_day")

    def sessions(self, config: Config) -> pa.Table | None:
        """Return the changes of the stored session tally; None if no source maps session_id.

        Parameters
        ----------
        config
            The config with only the new files, which the connection has read.

        Returns
        -------
        Table or None
            As `features.aggregates.sessions.session_tally`; counts may be negative.
        """
        if all(source.columns.session_id is None for source in self.config.sources):
            return None
        pages_now, changed_ids = staged_pages(self.connection, config), list(self._ids(config))
        if not changed_ids:
            return SESSION_SCHEMA.empty_table()
        changed_sessions = self._stored("sessions_that_went_on", union_all(changed_ids).distinct())
        pages_before = []
        for number, source in enumerate(self.config.sources):
            if source.columns.session_id is not None:
                session_rows = self._of_sessions(number, source, changed_sessions)
                pages_now.append(session_pages(self._judged(session_rows, source), self.config))
                judged_before = judge_rows(session_rows, source, self.config, latest=self.latest,
                                links=self.before, erased=self.erased)  # fmt: skip
                pages_before.append(session_pages(judged_before, self.config))
        days_before = sessions_by_day(pages_before)
        days_before = days_before.mutate(
            **{count_name: -days_before[count_name] for count_name in _COUNTS}
        )
        day_changes = sessions_by_day(pages_now).union(days_before.select("day", "named", *_COUNTS))
        days = day_changes.group_by(["day", "named"]).agg(
            **{count_name: day_changes[count_name].sum() for count_name in _COUNTS}
        )
        is_changed = [days[count_name] != 0 for count_name in _COUNTS]
        return stored_session_rows(days.filter(is_changed[0] | is_changed[1] | is_changed[2]))

    def _ids(self, config: Config) -> Iterator[Table]:
        """Yield ids of sessions with new rows or with visitors whose links changed."""
        for pages in staged_pages(self.connection, config):
            yield pages.select("session_id")
        if self.visitors is None:
            return
        for source in self.config.sources:
            columns = source.columns
            if columns.session_id is not None and columns.anonymous_id is not None:
                source_rows = self._rows(source)
                session_rows = source_rows.filter(source_rows.session_id.notnull())
                yield session_rows.semi_join(self.visitors, "anonymous_id").select("session_id")

    def _of_sessions(self, number: int, source: EventSource, ids: Table) -> Table:
        """Return rows of some sessions; all rows if an event id may mark duplicates among them."""
        source_rows = self._rows(source)
        if source.event_id is not None:
            return source_rows
        return self._stored(f"sessions_of_{number}", source_rows.semi_join(ids, "session_id"))

    def _rows(self, source: EventSource) -> Table:
        rows = standardise(join_lookups(self.connection, source), source, self.config)
        return with_positions(rows, source)

    def _judged(self, rows: Table, source: EventSource) -> Table:
        return judge_rows(
            rows, source, self.config, latest=self.latest, links=self.links, erased=self.erased
        )

    def _stored(self, name: str, rows: Table) -> Table:
        return self.connection.create_table(name, rows, temp=True)


def open_earlier(
    connection: Any,
    previous: PreviousRead,
    links: Table | None,
    *,
    latest: int,
    erased: ErasureList,
    temporary: Path,
) -> EarlierFiles:
    """Open the files behind the stored tallies.

    Parameters
    ----------
    connection, latest, erased
        As in `EarlierFiles`.
    previous
        The inputs of the stored tallies.
    links
        All current links.
    temporary
        Folder for bad links, which are quarantined a second time here.
    """
    links_before, visitors = None, None
    if links is not None:
        links_before, _ = read_identities(
            connection,
            previous.config,
            latest=previous.latest,
            quarantine=temporary / "links",
            name="links_then",
        )
        assert links_before is not None
        new_links = (
            links.anti_join(links_before, list(links.columns)).select("anonymous_id").distinct()
        )
        visitors = connection.create_table("visitors_linked_anew", new_links, temp=True)
        if not int(visitors.count().execute()):
            visitors = None
    return EarlierFiles(connection, previous.config, latest, erased, links_before, links, visitors)


def _negated(report: ReadReport) -> ReadReport:
    quarantined, ignored = (
        {reason: -row_count for reason, row_count in counts.items()}
        for counts in (report.quarantined, report.ignored)
    )
    return ReadReport(report.source, -report.rows, quarantined, ignored)


_COUNTS = ("sessions", "one_page", "pages")
