"""Calendar arithmetic: whole local days as numbers, zones, and grids of snapshots."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

_EPOCH = dt.date(1970, 1, 1)


def day_number(date: dt.date) -> int:
    """Whole days since 1970-01-01."""
    return (date - _EPOCH).days


def day_date(number: int) -> dt.date:
    """The calendar date of a day number."""
    return _EPOCH + dt.timedelta(days=int(number))


# Between 1900 and 2100 clocks are followed (microseconds); beyond, the nearest offset holds.
EARLIEST_CLOCK, LATEST_CLOCK = -2_208_988_800_000_000, 4_102_444_800_000_000


def offsets(zone: str, first: int, last: int) -> list[tuple[int, int]]:
    """A zone's offsets from UTC between two instants, all in microseconds.

    Returns
    -------
    list
        The instant from which each offset holds, and the offset; rising, the first at or before
        `first`.
    """
    zone_info, step_seconds = ZoneInfo(zone), 6 * 3_600
    # A damaged cell may say any moment, which no calendar knows, and the walk to it would not end.
    first, last = (min(max(moment, EARLIEST_CLOCK), LATEST_CLOCK) for moment in (first, last))

    def offset(second: int) -> int:
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=second)
        utc_offset = moment.astimezone(zone_info).utcoffset()
        return 0 if utc_offset is None else int(utc_offset.total_seconds())

    first_second, last_second = first // 1_000_000 - 1, last // 1_000_000 + 1
    offset_changes = [(first_second, offset(first_second))]
    for low_second in range(first_second, last_second, step_seconds):
        high_second = min(low_second + step_seconds, last_second)
        if offset(high_second) != offset_changes[-1][1]:
            while high_second - low_second > 1:
                middle = (low_second + high_second) // 2
                low_second, high_second = (
                    (middle, high_second)
                    if offset(middle) == offset_changes[-1][1]
                    else (low_second, middle)
                )
            offset_changes.append((high_second, offset(high_second)))
    return [(second * 1_000_000, shift * 1_000_000) for second, shift in offset_changes]


def local_days(instants: np.ndarray[Any, Any], zone: str) -> np.ndarray[Any, Any]:
    """Local day numbers of instants, given in microseconds since 1970-01-01 UTC."""
    if not len(instants):
        return np.zeros(0, dtype=np.int64)
    day_us, zone_info = 86_400_000_000, ZoneInfo(zone)
    first = int(instants.min() // day_us) - 1
    dates = [day_date(day) for day in range(first, int(instants.max() // day_us) + 3)]
    midnights = np.array(
        [int(dt.datetime.combine(d, dt.time(), zone_info).timestamp()) * 1_000_000 for d in dates]
    )
    return first - 1 + np.searchsorted(midnights, instants, side="right")


@dataclass(frozen=True)
class Span:
    """The days that the data cover.

    Attributes
    ----------
    first
        Day number of the first event.
    through
        Day number of the last day known in full; a snapshot may stand at most one day later.
    """

    first: int
    through: int

    @property
    def last_snapshot(self) -> int:
        """Day number of the latest snapshot: the day after `through`."""
        return self.through + 1


def grid_back(last: int, *, every_days: int, first: int, at_most: int | None = None) -> list[int]:
    """Day numbers ``last, last - every_days, ...`` not before `first`, in rising order."""
    days = list(range(last, first - 1, -every_days))
    return sorted(days[:at_most] if at_most is not None else days)
