"""Messages of each customer by day, with earlier ones and answers: for the contact price."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.aggregates.tallies import Tallies
from features.arrays import Array
from features.config.config import Config
from features.contracts import CUSTOMER
from features.history.day_rows import DAYS, DayRows, Subject
from features.history.history import history
from features.history.windows import Window
from features.sources.channels import MESSAGE_CHANNELS
from features.table.customer_partitions import of_each

ANSWER_DAYS = 3  # the day of the message and the next two


@dataclass(frozen=True)
class MessageDays:
    """Days with messages, and contacts of late.

    Attributes
    ----------
    sends
        One row per customer and day with a message: customer_id, day (day number), contacts
        (messages in the days before it), answered (an open or click in a channel of messages on
        that day or the next two).
    contacts
        Messages in the last days before the date, indexed by customer id.
    """

    sends: pd.DataFrame
    contacts: pd.Series[int]


def message_days(output: Path, config: Config, *, at: int, days: int) -> MessageDays | None:
    """Read the messages that were known before a date; None where the data record none.

    Parameters
    ----------
    output, config
        Where the tallies are, and what they mean.
    at
        Day number of the date.
    days
        Days before a message, and before the date, whose messages count as contacts.
    """
    parts = of_each(output, config, _Question(config, at, days))
    recorded = [part for part in parts if part is not None]
    if not recorded:
        return None
    return MessageDays(
        pd.concat([part.sends for part in recorded], ignore_index=True),
        pd.concat([part.contacts for part in recorded]),
    )


@dataclass(frozen=True)
class _Question:
    """What is asked of the tallies of some customers."""

    config: Config
    at: int
    days: int

    def __call__(self, tallies: Tallies) -> MessageDays | None:
        answers = Subject("touch", "channel", MESSAGE_CHANNELS)
        roles = self.config.role_types()
        known = history(tallies, roles, [answers], choices=False).known_before(self.at)
        sent, touched = known.roles.get("sent"), known.rows(answers)
        if sent is None:
            return None
        names = known.customers.astype(object)
        rows = sent.firsts[sent.day[sent.firsts] < self.at] if len(sent.day) else np.array([], int)
        customer, day = sent.customer[rows], sent.day[rows]

        base = customer * DAYS

        def between(events: DayRows, first: Array, end: Array) -> Array:
            """Events of each row's customer from the first day to before the end."""
            low, high = (np.searchsorted(events.key, base + limit) for limit in (first, end))
            return events.running_count[high] - events.running_count[low]

        answered = np.zeros(len(rows), dtype=bool)
        if touched is not None:
            answered = between(touched, day, np.minimum(day + ANSWER_DAYS, self.at)) > 0
        sends = pd.DataFrame(
            {
                CUSTOMER: names[customer],
                "day": day,
                "contacts": between(sent, day - self.days, day),
                "answered": answered,
            }
        )
        recent = Window(sent, self.at - self.days, self.at).count
        return MessageDays(sends, pd.Series(recent, index=pd.Index(names)))
