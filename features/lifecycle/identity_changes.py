"""Which stage changes only came of learning who an unknown visitor was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.arrays import Array
from features.contracts import IDENTITY_LINK
from features.history.day_rows import DayRows, Subject
from features.history.history import History
from features.lifecycle.stage_engine import stage_at
from features.lifecycle.taxonomy import Taxonomy

LINKS = Subject(IDENTITY_LINK)
NEVER = 1 << 19  # a day number that no snapshot reaches


def caused_by_link(taxonomy: Taxonomy, history: History, since: Array, previous: Array) -> Array:
    """Whether each customer would still be in the previous stage had no link become known.

    Parameters
    ----------
    taxonomy, history
        The rules and the events; the history holds the rows of `LINKS` where there are identities.
    since
        Day number of the stage change of every customer: what moved them was learned the day
        before. All that was learned late that day counts as learned by the link.
    previous
        Code of the stage before; -1 where there was none.

    Returns
    -------
    bool array
        One value a customer.
    """
    by_link = np.zeros(len(since), dtype=bool)
    links = history.subjects.get(LINKS)
    if links is None or not len(links.day):
        return by_link
    by_link[links.customer[links.day == since[links.customer] - 1]] = True
    candidates = np.flatnonzero(by_link & (previous >= 0))
    by_link[:] = False
    if len(candidates):
        stage_history = history.only(taxonomy.stage_subjects()).take(candidates)
        without_news = _without_late_news(stage_history, since[candidates] - 1)
        by_link[candidates] = (
            stage_at(taxonomy, without_news, since[candidates]) == previous[candidates]
        )
    return by_link


def _without_late_news(history: History, day: Array) -> History:
    """The history as if nothing had been learned late on one day, one day a customer."""

    def without_news_of(rows: DayRows) -> DayRows:
        parts = rows.parts
        if parts is None:
            return rows
        is_late_news = (parts.known_day == day[parts.customer]) & (parts.day < parts.known_day)
        known_day = np.where(is_late_news, NEVER, parts.known_day)
        return replace(rows, parts=replace(parts, known_day=known_day))

    return History(
        history.customers,
        {name: without_news_of(rows) for name, rows in history.roles.items()},
        {},
        {subject: without_news_of(rows) for subject, rows in history.subjects.items()},
    )
