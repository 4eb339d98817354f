"""Which stage changes only came of learning who an unknown visitor was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.arrays import Array
from features.history.day_rows import DayRows, Subject
from features.history.history import History
from features.lifecycle.stage_engine import stage_at
from features.lifecycle.taxonomy import Taxonomy
from features.sources.identity_resolution import LINK

LINKS = Subject(LINK)
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
    found = np.zeros(len(since), dtype=bool)
    links = history.subjects.get(LINKS)
    if links is None or not len(links.day):
        return found
    found[links.customer[links.day == since[links.customer] - 1]] = True
    few = np.flatnonzero(found & (previous >= 0))
    found[:] = False
    if len(few):
        needed = history.only(taxonomy.stage_subjects()).take(few)
        unheard = _without_late_news(needed, since[few] - 1)
        found[few] = stage_at(taxonomy, unheard, since[few]) == previous[few]
    return found


def _without_late_news(history: History, day: Array) -> History:
    """The history as if nothing had been learned late on one day, one day a customer."""

    def unheard(rows: DayRows) -> DayRows:
        parts = rows.parts
        if parts is None:
            return rows
        news = (parts.known_day == day[parts.customer]) & (parts.day < parts.known_day)
        never = np.where(news, NEVER, parts.known_day)
        return replace(rows, parts=replace(parts, known_day=never))

    return History(
        history.customers,
        {name: unheard(rows) for name, rows in history.roles.items()},
        {},
        {subject: unheard(rows) for subject, rows in history.subjects.items()},
    )
