"""Config blocks of the prediction tasks: horizons, truths, and grids of training snapshots."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, model_validator

from features.config.types import Name, PositiveDays, Strict


class TrainGrid(Strict):
    """Training snapshots of a task: every so many days back from the last matured one."""

    from_: dt.date | None = Field(default=None, alias="from")
    every_days: PositiveDays | None = None
    at_most: Annotated[int, Field(ge=1, le=520)] | None = None


class ChurnTask(Strict):
    """Churn risk: no purchase within the horizon, or for contracts a cancel event.

    With ``by: cancel``, cancel events of the types in `involuntary` (a payment that failed) end a
    contract without being the churn that is predicted. `calibration` is a map that has earned its
    place in a back-test of the same output folder, else probabilities are served raw.
    """

    horizon_days: PositiveDays = 90
    calibration: Literal["raw", "platt", "beta", "isotonic"] = "raw"
    by: Literal["purchase", "cancel"] = "purchase"
    involuntary: tuple[str, ...] = ()
    train: TrainGrid = TrainGrid()


class ClvTask(Strict):
    """Customer lifetime value: net spend within the horizon; `margin` is the share of it kept."""

    horizon_days: PositiveDays = 90
    margin: Annotated[float, Field(gt=0, le=1)] | None = None
    train: TrainGrid = TrainGrid()


class Tune(Strict):
    """Budget of the optional tuning: what runs out first ends the search."""

    trials: Annotated[int, Field(ge=2, le=10_000)] = 30
    minutes: Annotated[float, Field(gt=0, le=10_000)] = 5.0


class LeadTask(Strict):
    """Leads: the points table that the lead score is tested against, points an event type."""

    points: dict[str, Annotated[float, Field(ge=-1000, le=1000)]] = Field(default={})


class TransitionTask(Strict):
    """Next stage transition on a grid of periods."""

    periods: Annotated[int, Field(ge=2, le=60)] = 12
    period_days: PositiveDays = 7
    train: TrainGrid = TrainGrid()
    # Most of the trees that scoring walks are those of this model, once a fit.
    fits: Annotated[int, Field(ge=1, le=10)] = 3

    @property
    def horizon_days(self) -> int:
        """Days covered by all periods."""
        return self.periods * self.period_days


class StageTask(Strict):
    """Current stage: which truth the model learns, and what that truth needs to know.

    ``centred`` and ``naive`` are the rules with hindsight, silence confirmed for `confirm_days`;
    ``history`` is what the CRM recorded (see `features.config.crm_stages`); ``late`` is
    the rule stage itself, told from events of which the last `late_days` days are not known yet.
    """

    truth: Literal["centred", "naive", "history", "late"] = "centred"
    confirm_days: PositiveDays = 28
    late_days: Annotated[int, Field(ge=0, le=365, strict=True)] = 0
    train: TrainGrid = TrainGrid()

    @model_validator(mode="after")
    def _late_days_fit(self) -> StageTask:
        if self.truth == "late" and self.late_days == 0:
            raise ValueError(
                "`late_days` of 1 or more with truth `late`: how many days the data run behind, "
                "e.g. late_days: 7"
            )
        if self.truth != "late" and self.late_days > 0:
            raise ValueError(
                f"`late_days: 0` with truth `{self.truth}`, or `truth: late`: only that truth has "
                "late days"
            )
        return self


class Slice(Strict):
    """Customers to tell the back-test's figures for, by a feature column.

    Attributes
    ----------
    column
        A column of the feature frame, or ``stage``.
    at_least, below
        Bounds of its value.
    is_
        The one value. Without it and without bounds, every value is a slice of its own.
    """

    column: str
    at_least: float | None = None
    below: float | None = None
    is_: str | float | None = Field(default=None, alias="is")

    @model_validator(mode="after")
    def _one_condition(self) -> Slice:
        if self.is_ is not None and (self.at_least is not None or self.below is not None):
            raise ValueError("a slice with `is` and bounds; give one of them")
        return self


class Backtest(Strict):
    """Origins at which the back-test trains and evaluates, and slices that it tells apart."""

    origins: tuple[dt.date, ...] = ()
    slices: dict[Name, Slice] = Field(default={})

    @model_validator(mode="after")
    def _own_names(self) -> Backtest:
        reserved = sorted({"all", "rule_active", "movers", "new_customers"} & set(self.slices))
        if reserved:
            raise ValueError(f"a slice named {reserved[0]!r}, which every back-test tells anyway")
        return self
