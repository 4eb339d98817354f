"""Config blocks of the prediction tasks: horizons, truths, and grids of training snapshots."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, field_validator

from features.config_blocks import PositiveDays, Strict


class TrainGrid(Strict):
    """Training snapshots of a task: every so many days back from the last matured one."""

    from_: dt.date | None = Field(default=None, alias="from")
    every_days: PositiveDays | None = None
    at_most: Annotated[int, Field(ge=1, le=520)] | None = None


class ChurnTask(Strict):
    """Churn risk: no purchase (or a cancel) within the horizon."""

    horizon_days: PositiveDays = 90
    train: TrainGrid = TrainGrid()


class ClvTask(Strict):
    """Customer lifetime value: net spend within the horizon."""

    horizon_days: PositiveDays = 90
    train: TrainGrid = TrainGrid()


class LeadTask(Strict):
    """Leads: the points table that the lead score is tested against, points an event type."""

    points: dict[str, Annotated[float, Field(ge=-1000, le=1000)]] = Field(default={})


class TransitionTask(Strict):
    """Next stage transition on a grid of periods."""

    periods: Annotated[int, Field(ge=2, le=60)] = 12
    period_days: PositiveDays = 7
    train: TrainGrid = TrainGrid()

    @property
    def horizon_days(self) -> int:
        """Days covered by all periods."""
        return self.periods * self.period_days


class StageTask(Strict):
    """Current stage: which truth the model learns and how long silence must be confirmed."""

    truth: Literal["centred", "naive"] = "centred"
    confirm_days: PositiveDays = 28
    late_days: int = 0
    train: TrainGrid = TrainGrid()

    @field_validator("truth", mode="before")
    @classmethod
    def _built(cls, truth: object) -> object:
        if truth in ("history", "late"):
            raise ValueError(f"the truth {truth!r} is not built yet; use centred or naive")
        return truth

    @field_validator("late_days")
    @classmethod
    def _no_late_truth(cls, days: int) -> int:
        if days != 0:
            raise ValueError("the truth from late data is not built yet, so late_days must be 0")
        return days
