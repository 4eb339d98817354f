"""Send times: the hour and weekday at which a message most likely meets each customer.

A customer's own days are drawn towards the habits of all customers, the mean of a Dirichlet
posterior, and smoothed over near hours. Both strengths are those that predict each day best from
the customer's other days (leave-one-out likelihood; Minka 2000, Habbema et al. 1974): a few days
say little and many say much. Whether own times beat the best time of all is tested on the last
four weeks; if not beyond chance, no customer gets an own time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar

FloatArray = npt.NDArray[np.float64]

WEEKDAY_NAMES = (
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
)  # fmt: skip
HOUR, WEEKDAY = "hour", "weekday"
_STRENGTHS = (0.5, 5000.0)  # days that the habits of all may count for
_KERNEL_HOURS = (0.0, 1.0, 2.0, 3.0, 4.0)
_MOST_LEARNED = 20_000  # customers from whom the strength is learned
_FEWEST = 100  # customers with an own time and later activity, for a test
_MET_HOURS = 3  # a message is read in the hour of the send or the next two
_95_PERCENT = 1.96


@dataclass(frozen=True)
class SendTimeTest:
    """Own times against the best time of all, on activity that the learning did not see.

    Attributes
    ----------
    kind
        ``hour`` or ``weekday``.
    common
        Best time of all customers: hour 0 to 23, or weekday from Monday 0.
    strength
        Days of the habits of all that count beside a customer's own days.
    people
        Customers with an own time other than that of all, and later activity.
    own_share, common_share
        Share of their later active days that a message at their own time meets (begin in the hour
        of the send or the next two; on the weekday), and that one at the time of all meets.
    gain, low, high
        Difference of the shares with its 95 % interval, by customer; NaN if too few people.
    log_gain, log_low
        Gain in the log score of all customers' later times over the habits of all, by active day,
        and the lower end of its 95 % interval.
    """

    kind: str
    common: int
    strength: float
    people: int
    own_share: float
    common_share: float
    gain: float
    low: float
    high: float
    log_gain: float
    log_low: float

    @property
    def used(self) -> bool:
        """True if own times beat the time of all beyond chance."""
        return self.low > 0

    @property
    def common_name(self) -> str:
        """Best time of all customers in words."""
        return WEEKDAY_NAMES[self.common] if self.kind == WEEKDAY else f"{self.common}:00"

    @property
    def sentence(self) -> str:
        """Say what the test showed, and what follows from it."""
        opening = f"Send {self.kind}: the best of all customers is {self.common_name}"
        if self.people < _FEWEST:
            return f"{opening}; own ones are not used: {self.people} customers to test them on"
        shares = (
            f"on the last four weeks own ones met {self.own_share:.1%} of the active days of "
            f"{self.people:,} customers, that of all {self.common_share:.1%} "
            f"({100 * self.gain:+.1f} points, {100 * self.low:+.1f} to {100 * self.high:+.1f})"
        )
        verdict = "own ones are used" if self.used else "own ones are not used"
        return f"{opening}; {verdict}: {shares}"


@dataclass(frozen=True)
class _Smoothing:
    """How a customer's days become chances.

    Attributes
    ----------
    strength
        Days of the habits of all that count beside a customer's own days.
    kernel
        Share of a day at one time (row) that counts for another (column).
    """

    strength: float
    kernel: FloatArray


def own_times(counts: FloatArray, kind: str) -> tuple[FloatArray, float]:
    """Probability of each time for each customer's next active day, and the strength.

    Parameters
    ----------
    counts
        Active days, shape (customers, times).
    kind
        ``hour``: days count for near hours, too; ``weekday``.

    Returns
    -------
    array
        Shape (customers, times), rows add up to 1.
    float
        Days of the habits of all that count beside a customer's own.
    """
    habits = common_habits(counts)
    smoothing = _learned_smoothing(counts, habits, kind)
    strength, total = smoothing.strength, counts.sum(axis=1, keepdims=True)
    return (counts @ smoothing.kernel + strength * habits) / (total + strength), strength


def common_habits(counts: FloatArray) -> FloatArray:
    """Share of each time among all active days, never 0."""
    pooled = counts.sum(axis=0) + 1 / counts.shape[1]
    shares: FloatArray = pooled / pooled.sum()
    return shares


def _learned_smoothing(counts: FloatArray, habits: FloatArray, kind: str) -> _Smoothing:
    """Smoothing that predicts each day best from the customer's other days."""
    times = counts.shape[1]
    widths = _KERNEL_HOURS if kind == HOUR else (0.0,)
    several = counts[counts.sum(axis=1) > 1]
    sample = several[:: max(len(several) // _MOST_LEARNED, 1)].astype(float)
    others = sample.sum(axis=1, keepdims=True) - 1
    best, best_loss = _Smoothing(_STRENGTHS[1], np.eye(times)), np.inf
    for width in widths:
        kernel = _kernel(times, width)
        # Less the day itself, which must not predict itself.
        own = np.maximum(sample @ kernel - kernel[0, 0], 0.0)

        def loss(log_strength: float, own: FloatArray = own) -> float:
            strength = np.exp(log_strength)
            chances = (own + strength * habits) / (others + strength)
            return -float(np.sum(sample * np.log(chances)))

        fit = minimize_scalar(loss, bounds=np.log(_STRENGTHS), method="bounded")
        if fit.fun < best_loss:
            best, best_loss = _Smoothing(float(np.exp(fit.x)), kernel), fit.fun
    return best


def _kernel(times: int, width: float) -> FloatArray:
    """Normal weights of a standard deviation on the circle of times; 0: nothing is smoothed."""
    if width == 0:
        return np.eye(times)
    apart = np.abs(np.subtract.outer(np.arange(times), np.arange(times)))
    weights = np.exp(-0.5 * (np.minimum(apart, times - apart) / width) ** 2)
    kernel: FloatArray = weights / weights.sum(axis=1, keepdims=True)
    return kernel


def send_time_test(earlier: FloatArray, later: FloatArray, kind: str) -> SendTimeTest:
    """Test own times, learned from earlier active days, on later ones of the same customers.

    Parameters
    ----------
    earlier, later
        Active days, shape (customers, times).
    kind
        ``hour`` or ``weekday``.
    """
    chances, strength = own_times(earlier, kind)
    habits = common_habits(earlier)
    own, common = _best(chances, kind), int(_best(habits[None, :], kind)[0])
    days = later.sum(axis=1).astype(float)
    judged = (own != common) & (days > 0)
    met = _met(later.astype(float), kind)
    hits = met[np.arange(len(own)), own][judged]
    common_hits = met[judged, common]
    gain, low, high = _ratio(hits - common_hits, days[judged])
    log_gains = (later * (np.log(chances) - np.log(habits))).sum(axis=1)
    log_gain, log_low, _ = _ratio(log_gains[days > 0], days[days > 0])
    people, all_days = int(judged.sum()), max(float(days[judged].sum()), 1.0)
    few = people < _FEWEST
    return SendTimeTest(
        kind=kind,
        common=common,
        strength=strength,
        people=people,
        own_share=float(hits.sum()) / all_days,
        common_share=float(common_hits.sum()) / all_days,
        gain=np.nan if few else gain,
        low=np.nan if few else low,
        high=np.nan if few else high,
        log_gain=log_gain,
        log_low=log_low,
    )


def _met(counts: FloatArray, kind: str) -> FloatArray:
    """Active days, or their chances, that a message at each time meets."""
    if kind == WEEKDAY:
        return counts
    return np.sum([np.roll(counts, -hours, axis=1) for hours in range(_MET_HOURS)], axis=0)


def _best(chances: FloatArray, kind: str) -> npt.NDArray[np.int64]:
    """Time at which a message most likely meets each customer."""
    best: npt.NDArray[np.int64] = np.argmax(_met(chances, kind), axis=1)
    return best


def _ratio(sums: FloatArray, days: FloatArray) -> tuple[float, float, float]:
    """Mean by day with a 95 % interval for customers as units (ratio estimator); NaN without."""
    if len(sums) < 2:
        return np.nan, np.nan, np.nan
    mean = float(sums.sum() / days.sum())
    error = float(np.sqrt(np.sum((sums - mean * days) ** 2)) / days.sum())
    return mean, mean - _95_PERCENT * error, mean + _95_PERCENT * error


@dataclass(frozen=True)
class SendTimes:
    """Own send times of customers, and the tests that allow them.

    Attributes
    ----------
    times
        Indexed by customer id: ``send_hour`` (0 to 23) and ``send_weekday`` (from Monday 0); NaN
        where nothing known of the customer beats the best time of all.
    tests
        The test of the hours, then that of the weekdays.
    """

    times: pd.DataFrame
    tests: tuple[SendTimeTest, ...]

    def columns(self, customers: pd.Index[str]) -> dict[str, object]:
        """Audience columns of some customers: the hour, and the name of the weekday."""
        own = self.times.reindex(customers)
        names = dict(enumerate(WEEKDAY_NAMES))
        weekday = own["send_weekday"].map(names).astype(object)
        return {
            "send_hour": own["send_hour"].to_numpy(dtype=float),
            "send_weekday": weekday.where(weekday.notna(), None).to_numpy(dtype=object),
        }


NO_SEND_TIMES = SendTimes(
    pd.DataFrame({"send_hour": [], "send_weekday": []}, index=pd.Index([], dtype=object)), ()
)


def send_times(
    customers: pd.Index[str],
    hours: Sequence[FloatArray],
    weekdays: Sequence[FloatArray],
) -> SendTimes:
    """Choose send times from all that is known, if they beat the best time of all in the test.

    Parameters
    ----------
    customers
        Customer ids.
    hours, weekdays
        Active days before the test's weeks, and in them; shapes (customers, 24 and 7).
    """
    columns, tests = {}, []
    for kind, (earlier, later) in ((HOUR, hours), (WEEKDAY, weekdays)):
        test = send_time_test(earlier, later, kind)
        own = np.full(len(customers), np.nan)
        if test.used:
            known = earlier + later
            best = _best(own_times(known, kind)[0], kind)
            common = _best(common_habits(known)[None, :], kind)
            own = np.where(best == common, np.nan, best)
        columns[f"send_{kind}"] = own
        tests.append(test)
    return SendTimes(pd.DataFrame(columns, index=customers), tuple(tests))
