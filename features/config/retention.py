"""Config block of how long runs are kept."""

from __future__ import annotations

from features.config.types import PositiveDays, Strict


class Retention(Strict):
    """Ages in days before the current snapshot; null: kept for ever.

    ``exports_days``: of audience files, exports and reports. ``history_days``: of whole runs.
    """

    exports_days: PositiveDays | None = None
    history_days: PositiveDays | None = None
