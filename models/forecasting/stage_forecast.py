"""How many customers will be in each stage in the next months, with 80 % intervals.

Customers move between states (stage, silence, rhythm) in steps of 30 days. The shares that moved in
past steps, the latest weighing most, are applied again and again to the customers of today, and
newcomers join as of late. All customers of a business move together: a bad month is bad for most.
So the width of an interval comes from the errors that the same forecast would have made at past
dates, not from the chance of single customers alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features.arrays import Array
from features.calendar import day_date
from models.forecasting.forecast_intervals import (
    FEWEST_ORIGINS,
    error_weights,
    interval_widths,
    mean_error,
    past_errors,
    predict,
    width_correction,
)
from models.forecasting.stage_moves import Steps, chain_at, group_paths, past_steps, tilted
from models.forecasting.stage_states import STEP_DAYS, StageStates

_HALF_LIVES = (10.0, 20.0, 45.0, 120.0, 360.0)  # days after which a past step weighs half


@dataclass(frozen=True)
class StageForecast:
    """Forecast of the counts by stage, and the chain for other courses of events.

    Attributes
    ----------
    steps
        Past moves.
    day
        Day number of the forecast.
    mean, low, high
        Customers by month ahead and stage; 4 of 5 actual counts should lie between low and high.
    half_life
        Days after which a past step weighs half; the best one at past dates.
    origins
        Past dates whose errors the intervals come from.
    """

    steps: Steps
    day: int
    mean: Array
    low: Array
    high: Array
    half_life: float
    origins: int

    @property
    def today(self) -> Array:
        """Customers by stage on the day of the forecast."""
        return self.steps.counts(self.steps.sizes[-1])

    def what_if(self, change: float, stages: Sequence[str] | None = None) -> StageForecast:
        """The forecast if the odds of an active month change for good; as wide as this one.

        Parameters
        ----------
        change
            Factor of the odds, such as 1.2 for 20 % more.
        stages
            Stages whose customers change; None: all customers who are there.
        """
        codes = None if stages is None else [self.steps.names.index(name) for name in stages]
        rows = None if codes is None else np.isin(self.steps.stage, codes)
        chain = chain_at(self.steps, self.day, self.half_life)
        other = tilted(chain, self.steps.active, float(np.log(change)), rows)
        mean = self.steps.counts(group_paths(self.steps.sizes[-1], other, len(self.mean)))
        whole = mean.sum(axis=1, keepdims=True)
        moved = mean - self.mean
        low = np.clip(self.low + moved, 0.0, whole)
        return replace(self, mean=mean, low=low, high=np.clip(self.high + moved, 0.0, whole))

    def table(self) -> pd.DataFrame:
        """The forecast as rows.

        Returns
        -------
        DataFrame
            at (date), months (ahead; 0 today), stage, expected, low, high (customers).
        """
        rows = []
        blocks = [(0, self.today, self.today, self.today)]
        blocks += [
            (number + 1, *cells)
            for number, cells in enumerate(zip(self.mean, self.low, self.high, strict=True))
        ]
        for months, expected, low, high in blocks:
            at = day_date(self.day + months * STEP_DAYS)
            rows += [
                (at, months, stage, float(expected[code]), float(low[code]), float(high[code]))
                for code, stage in enumerate(self.steps.names)
            ]
        return pd.DataFrame(rows, columns=["at", "months", "stage", "expected", "low", "high"])


def forecast_stages(states: StageStates, *, months: int = 6) -> StageForecast | None:
    """Forecast the counts by stage from the last date of a grid.

    Parameters
    ----------
    states
        States on a grid of `GRID_DAYS`, up to the day of the forecast.
    months
        Steps of 30 days ahead.

    Returns
    -------
    StageForecast or None
        None if the past is too short to know the errors of such a forecast.

    Notes
    -----
    Errors of past dates are divided by the scale that the chance of customers, a common shock and
    the number of newcomers give. Their 80 % quantile by stage, recent dates weighing most, is the
    width. The same is done as of every past date, and by how much those widths failed, by month
    ahead, corrects today's (split conformal prediction, calibrated twice).
    """
    if not (states.cell >= 0).any():
        return None
    steps, day = past_steps(states), states.days[-1]
    origins = [int(origin) for origin in steps.grid if origin >= (steps.days.min(initial=day))]
    tested = [origin for origin in origins if origin + STEP_DAYS <= day]
    if len(tested) < FEWEST_ORIGINS:
        return None
    weights = error_weights(np.array(tested), day)
    by_half_life = {
        half_life: np.abs(past_errors(steps, tested, months, half_life))
        for half_life in _HALF_LIVES
    }
    best = min(by_half_life, key=lambda half_life: mean_error(by_half_life[half_life], weights))
    prediction = predict(steps, day, months, best)
    errors = by_half_life[best]
    widths = interval_widths(errors, weights) * width_correction(errors, np.array(tested))
    reach = widths * prediction.scale
    whole = prediction.mean.sum(axis=1, keepdims=True)
    return StageForecast(
        steps=steps,
        day=day,
        mean=prediction.mean,
        low=np.maximum(prediction.mean - reach, 0.0),
        high=np.minimum(prediction.mean + reach, whole),
        half_life=best,
        origins=len(tested),
    )
