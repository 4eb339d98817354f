"""Calendar arithmetic: whole local days as numbers, snapshot grids, and the embargo."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from features.config.tasks import TrainGrid
from features.errors import UserError

EPOCH = dt.date(1970, 1, 1)
# Below this many days of history before a snapshot nothing is worth learning from it.
MIN_HISTORY_DAYS = 28


def day_number(date: dt.date) -> int:
    """Whole days since 1970-01-01."""
    return (date - EPOCH).days


def day_date(number: int) -> dt.date:
    """The calendar date of a day number."""
    return EPOCH + dt.timedelta(days=int(number))


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
    place, step = ZoneInfo(zone), 6 * 3_600
    # A damaged cell may say any moment, which no calendar knows, and the walk to it would not end.
    first, last = (min(max(moment, EARLIEST_CLOCK), LATEST_CLOCK) for moment in (first, last))

    def offset(second: int) -> int:
        at = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=second)
        found = at.astimezone(place).utcoffset()
        return 0 if found is None else int(found.total_seconds())

    begin, end = first // 1_000_000 - 1, last // 1_000_000 + 1
    found = [(begin, offset(begin))]
    for low in range(begin, end, step):
        high = min(low + step, end)
        if offset(high) != found[-1][1]:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == found[-1][1] else (low, middle)
            found.append((high, offset(high)))
    return [(second * 1_000_000, shift * 1_000_000) for second, shift in found]


def local_days(instants: np.ndarray[Any, Any], zone: str) -> np.ndarray[Any, Any]:
    """Local day numbers of instants, given in microseconds since 1970-01-01 UTC."""
    if not len(instants):
        return np.zeros(0, dtype=np.int64)
    day_us, place = 86_400_000_000, ZoneInfo(zone)
    first = int(instants.min() // day_us) - 1
    dates = [day_date(day) for day in range(first, int(instants.max() // day_us) + 3)]
    midnights = np.array(
        [int(dt.datetime.combine(d, dt.time(), place).timestamp()) * 1_000_000 for d in dates]
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


def matured(snapshots: list[int], *, by: int, horizon_days: int, settle_days: int) -> list[int]:
    """Snapshots whose label is known in full at the start of day `by` (the embargo)."""
    return [t for t in snapshots if t + horizon_days + settle_days <= by]


def training_snapshots(
    origin: int,
    span: Span,
    grid: TrainGrid,
    *,
    horizon_days: int,
    settle_days: int,
    default_every: int,
    default_at_most: int = 52,
) -> list[int]:
    """Snapshots whose matured labels may train a model that is used at `origin`.

    The grid hangs from the last snapshot matured by the origin, and ``origin - 2 horizons`` is
    always in it where history allows, so that the same distance to the origin is seen twice.

    Parameters
    ----------
    origin
        Day number at which the model will be used or tested.
    span
        The days the data cover.
    grid
        The task's own grid; its gaps are filled by the defaults.
    horizon_days, settle_days
        Reach of the label, and the days it takes to settle.

    Returns
    -------
    list of int
        Day numbers, rising; empty where no label has matured.
    """
    earliest = span.first + MIN_HISTORY_DAYS
    if grid.from_ is not None:
        earliest = max(day_number(grid.from_), span.first + 1)
    last = origin - horizon_days - settle_days
    days = grid_back(
        last,
        every_days=grid.every_days or default_every,
        first=earliest,
        at_most=grid.at_most or default_at_most,
    )
    twice = origin - 2 * horizon_days - settle_days
    if days and twice >= earliest:
        days = sorted({*days, twice})
    return days


def require_history(span: Span, *, horizon_days: int, settle_days: int, task: str) -> None:
    """Refuse data too short to train a task and to test it on a later snapshot.

    Raises
    ------
    UserError
        With the days needed and the days there are.
    """
    needed = MIN_HISTORY_DAYS + 2 * (horizon_days + settle_days)
    there = span.last_snapshot - span.first
    if there < needed:
        raise UserError(
            f"{task}: history",
            found=f"{there} days ({day_date(span.first)} to {day_date(span.through)})",
            expected=f"at least {needed} days: {MIN_HISTORY_DAYS} of history, one horizon of "
            f"{horizon_days} days to learn from and one to test on (plus settle_days)",
            mend="bring a longer history, or shorten the horizon in the config",
        )
