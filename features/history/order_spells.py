"""Silences between orders: how long customers wait until they buy again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from features.arrays import Array
from features.errors import UserError
from features.history.history import History


@dataclass(frozen=True)
class Spells:
    """Silences: from each purchase day to the next one, or to the end of the data.

    Attributes
    ----------
    customer, days
        Of each spell: whose, and how many days from purchase day to purchase day. An open one
        counts the days up to the last day of the data: so long, and nobody knows how much longer.
    closed
        Whether a purchase ended it.
    history_days
        Days from the first purchase of anybody to the end of the data.
    """

    customer: Array
    days: Array
    closed: Array
    history_days: int

    @classmethod
    def of(cls, history: History, end: int) -> Spells:
        """Spells of all purchase days before a date.

        Raises
        ------
        UserError
            Where nobody bought.
        """
        rows = history.roles.get("purchase")
        past = None if rows is None else rows.settled.where(rows.day < end)
        if past is None or not len(past.day):
            raise UserError(
                "horizons",
                found="no purchases",
                expected="purchase days, whose gaps say how long a silence is usual",
                hint="map the event type of orders under `roles: {purchase: [...]}`",
            )
        closed = np.append(past.customer[1:] == past.customer[:-1], False)
        until = np.where(closed, np.append(past.day[1:], 0), end - 1)
        return cls(past.customer, until - past.day, closed, end - int(past.day.min()))

    @property
    def gaps(self) -> Array:
        """Days of the closed spells."""
        return self.days[self.closed]

    @cached_property
    def lasting(self) -> tuple[Array, Array]:
        """Share of spells longer than d days, and spells seen for longer than d, d = 0, 1, ...

        Kaplan and Meier's estimate: an open spell counts for as long as it was watched, so that
        those who have not come back *yet* are taken neither as returned nor as lost.
        """
        size = int(self.days.max()) + 2
        ended = np.bincount(self.gaps, minlength=size)
        seen = np.bincount(self.days, minlength=size)
        at_least = seen[::-1].cumsum()[::-1]
        share = np.cumprod(1.0 - ended / np.maximum(at_least, 1))
        return share, np.append(at_least[1:], 0)

    @property
    def weights(self) -> Array:
        """Weight of each closed spell by which every customer counts the same (sums to 1)."""
        who = self.customer[self.closed]
        each = np.bincount(who)[who] if len(who) else np.ones(0)
        return 1.0 / each / max(len(np.unique(who)), 1)
