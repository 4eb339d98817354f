"""Config block of the monitor: from what size on a change is an alarm, and whom to tell."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from features.config.types import PositiveDays, Strict

EnvironmentName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,99}$")]
Share = Annotated[float, Field(gt=0, lt=1)]


class Monitoring(Strict):
    """Limits of `stagecast monitor`; a change counts that is both large and no chance.

    ``psi``: population stability index of a feature or a score. ``volume_change`` and
    ``base_rate_change``: share by which a count or a rate differs from what is usual.
    ``auc_drop``, ``bias_pct``, ``coverage_gap``: matured performance against the gate.
    ``false_alarm_chance``: of any false alarm in 30 days in which nothing changes.
    ``max_age_days``: days since the last event from which the data are stale (null: never).
    ``alert_urls``: names of environment variables that hold notification URLs.
    """

    psi: Annotated[float, Field(gt=0, le=10)] = 0.25
    volume_change: Share = 0.35
    base_rate_change: Share = 0.25
    auc_drop: Share = 0.05
    bias_pct: Annotated[float, Field(gt=0, le=1000)] = 25.0
    coverage_gap: Share = 0.1
    false_alarm_chance: Share = 0.05
    max_age_days: PositiveDays | None = None
    remind_days: PositiveDays = 7
    alert_urls: tuple[EnvironmentName, ...] = ()
