"""Which snapshots may train a model: grids, matured labels, and the embargo."""

from __future__ import annotations

from features.calendar import Span, day_date, day_number, grid_back
from features.config.tasks import TrainGrid
from features.errors import UserError

# Below this many days of history before a snapshot nothing is worth learning from it.
MIN_HISTORY_DAYS = 28


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
    two_horizons_back = origin - 2 * horizon_days - settle_days
    if days and two_horizons_back >= earliest:
        days = sorted({*days, two_horizons_back})
    return days


def require_history(span: Span, *, horizon_days: int, settle_days: int, task: str) -> None:
    """Refuse data too short to train a task and to test it on a later snapshot.

    Raises
    ------
    UserError
        With the days needed and the days there are.
    """
    needed = MIN_HISTORY_DAYS + 2 * (horizon_days + settle_days)
    days_available = span.last_snapshot - span.first
    if days_available < needed:
        raise UserError(
            f"{task}: history",
            found=f"{days_available} days ({day_date(span.first)} to {day_date(span.through)})",
            expected=f"at least {needed} days: {MIN_HISTORY_DAYS} of history, one horizon of "
            f"{horizon_days} days to learn from and one to test on (plus settle_days)",
            hint="bring a longer history, or shorten the horizon in the config",
        )
