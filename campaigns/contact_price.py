"""The price of one more contact: customers who opt out after it, and weaker answers to the next.

Risk and drop are learned from past messages where these are enough, else they are those that the
config states. The risk to opt out after a message that follows n others is a Poisson rate
exp(a + b n) beside the rate without messages. The drop compares messages to the same customer
within 90 days (conditional Poisson regression; Xu et al. 2012), so that lively customers who get
more messages do not count as proof. What remains is confounded: messages were not drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]

OPT_OUT_DAYS = 7  # days after a message in which a withdrawal counts as its consequence
NO_SENDS = pd.DataFrame({"customer_id": [], "day": [], "contacts": [], "answered": []})
_FEWEST_OPT_OUTS, _FEWEST_ANSWERS = 50, 1000
_BLOCK_DAYS = 90
_MOST_CONTACTS = 30
_95_PERCENT = 1.96
_STEPS = 60


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; the ends equal it where it is stated."""

    value: float
    low: float
    high: float

    @classmethod
    def stated(cls, value: float) -> Estimate:
        """Return a number that the config states."""
        return cls(value, value, value)


@dataclass(frozen=True)
class Fatigue:
    """What one more message does.

    Attributes
    ----------
    opt_out, growth
        Chance to opt out after a message without others before it, and the growth b of its
        logarithm with each earlier message.
    usual_risk
        The chance at the mean number of earlier messages.
    drop
        Share by which each earlier message lowers the chance of an answer.
    sends, opt_outs, answers
        Messages that were read, withdrawals after them, answered messages.
    learned_risk, learned_drop
        False: the config states it.
    """

    opt_out: Estimate
    growth: Estimate
    usual_risk: Estimate
    drop: Estimate
    sends: int
    opt_outs: int
    answers: int
    learned_risk: bool
    learned_drop: bool

    def risk(self, contacts: FloatArray) -> FloatArray:
        """Chance to opt out after a message, by earlier messages."""
        counts = np.minimum(contacts, _MOST_CONTACTS)
        chance: FloatArray = np.minimum(self.opt_out.value * np.exp(self.growth.value * counts), 1)
        return chance

    @property
    def sentence(self) -> str:
        """Say what the price is made of, and where it comes from."""
        risk = (
            f"{self.usual_risk.value:.2%} opt out after a message ({self.usual_risk.low:.2%} to "
            f"{self.usual_risk.high:.2%}, learned from {self.sends:,} messages with "
            f"{self.opt_outs:,} withdrawals)"
            if self.learned_risk
            else f"{self.usual_risk.value:.2%} opt out after a message (stated, not learned: "
            f"{self.opt_outs:,} withdrawals after {self.sends:,} messages)"
        )
        drop = (
            f"each one lowers the answers to the next by {self.drop.value:.1%} "
            f"({self.drop.low:.1%} to {self.drop.high:.1%}, learned from {self.answers:,} answers)"
            if self.learned_drop
            else f"each one lowers the answers to the next by {self.drop.value:.1%} (stated, not "
            f"learned: {self.answers:,} answers)"
        )
        return f"{risk}; {drop}"


def learned_fatigue(
    sends: pd.DataFrame,
    opt_outs: pd.DataFrame | None,
    *,
    at: int,
    stated_risk: float,
    stated_drop: float,
) -> Fatigue:
    """Learn what one more message does, or take what is stated where messages are too few.

    Parameters
    ----------
    sends
        One row per customer and day with a message: customer_id, day, contacts, answered.
    opt_outs
        customer_id, day of each withdrawal; None: not recorded.
    at
        Day number; the days after a message must have passed by then.
    stated_risk, stated_drop
        What counts otherwise.
    """
    rows = sends[sends["day"] <= at - OPT_OUT_DAYS].sort_values(
        ["customer_id", "day"], ignore_index=True
    )
    left, background = _withdrawals(rows, opt_outs, at)
    opt_out, growth, usual = (
        Estimate.stated(stated_risk),
        Estimate.stated(0.0),
        Estimate.stated(stated_risk),
    )
    learned_risk = int(left.sum()) >= _FEWEST_OPT_OUTS
    if learned_risk:
        opt_out, growth, usual = _rate(rows["contacts"].to_numpy(), left, background)
    answers = int(rows["answered"].sum())
    learned_drop = answers >= _FEWEST_ANSWERS
    drop = _drop(rows) if learned_drop else Estimate.stated(stated_drop)
    return Fatigue(
        opt_out=opt_out,
        growth=growth,
        usual_risk=usual,
        drop=drop,
        sends=len(rows),
        opt_outs=int(left.sum()),
        answers=answers,
        learned_risk=learned_risk,
        learned_drop=learned_drop,
    )


def _withdrawals(
    rows: pd.DataFrame, opt_outs: pd.DataFrame | None, at: int
) -> tuple[FloatArray, FloatArray]:
    """Withdrawals after each message before the next one, and how many come without a message."""
    zeros = np.zeros(len(rows))
    if opt_outs is None or not len(opt_outs) or not len(rows):
        return zeros, zeros
    codes, customers = pd.factorize(rows["customer_id"], sort=True)
    day = rows["day"].to_numpy(dtype=np.int64)
    span = at + 1
    key = codes.astype(np.int64) * span + day
    is_last = np.append(codes[1:] != codes[:-1], True)
    until_next = np.where(is_last, at, np.append(day[1:], at)) - day
    # The day of the message, and those after it up to the next one.
    window = np.minimum(until_next, OPT_OUT_DAYS + 1)
    position = pd.Index(customers).get_indexer(pd.Index(opt_outs["customer_id"]))
    out_day = opt_outs["day"].to_numpy(dtype=np.int64)
    message = np.searchsorted(key, position * span + out_day, side="right") - 1
    # A message of the same customer must come before.
    follows = (position >= 0) & (message >= 0) & (codes[message] == position)
    out_day, message = out_day[follows], message[follows]
    is_answer = out_day - day[message] <= OPT_OUT_DAYS
    left = np.bincount(message[is_answer], minlength=len(rows)).astype(float)
    # Withdrawals by day outside these days, while customers could withdraw.
    first_days = day[np.append(True, is_last[:-1])]
    end = np.full(len(customers), at)
    np.minimum.at(end, position[follows], out_day)
    before = day < end[codes]
    quiet_days = float(np.sum(end - first_days) - window[before].sum())
    is_first = out_day == end[position[follows]]
    rate = float((~is_answer & is_first).sum()) / max(quiet_days, 1.0)
    return np.minimum(left, 1.0), rate * window


def _rate(
    contacts: FloatArray, left: FloatArray, background: FloatArray
) -> tuple[Estimate, Estimate, Estimate]:
    """Fit rate = background + exp(a + b n) by Fisher scoring; return exp(a), b, and the usual."""
    counts = np.minimum(contacts, _MOST_CONTACTS).astype(float)
    usual = float(counts.mean())
    design = np.stack([np.ones(len(counts)), counts - usual], axis=1)
    excess = max(float(left.mean() - background.mean()), float(left.mean()) / 20)
    beta = np.array([np.log(excess), 0.0])
    information = np.eye(2)
    for _ in range(_STEPS):
        own = np.exp(design @ beta)
        mean = own + background
        score = design.T @ (own * (left / mean - 1))
        information = (design * (own**2 / mean)[:, None]).T @ design
        step = np.linalg.solve(information + 1e-9 * np.eye(2), score)
        beta = beta + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-8:
            break
    covariance = np.linalg.inv(information + 1e-9 * np.eye(2))

    def estimate(weights: FloatArray, *, exponent: bool) -> Estimate:
        value = float(weights @ beta)
        error = _95_PERCENT * float(np.sqrt(weights @ covariance @ weights))
        ends = np.array([value, value - error, value + error])
        return Estimate(*(np.exp(ends) if exponent else ends).tolist())

    return (
        estimate(np.array([1.0, -usual]), exponent=True),
        estimate(np.array([0.0, 1.0]), exponent=False),
        estimate(np.array([1.0, 0.0]), exponent=True),
    )


def _drop(rows: pd.DataFrame) -> Estimate:
    """Share by which an earlier message lowers the answers, within customers and 90 days."""
    block = rows["day"] // _BLOCK_DAYS
    group = rows.groupby(["customer_id", block], sort=False).ngroup().to_numpy()
    counts = np.minimum(rows["contacts"].to_numpy(dtype=float), _MOST_CONTACTS)
    answered = rows["answered"].to_numpy(dtype=float)
    by_group = np.bincount(group, answered)
    beta, information = 0.0, 1.0
    for _ in range(_STEPS):
        weight = np.exp(beta * counts)
        total = np.bincount(group, weight)
        mean = np.bincount(group, weight * counts) / total
        square = np.bincount(group, weight * counts**2) / total
        score = float(answered @ counts - by_group @ mean)
        information = max(float(by_group @ (square - mean**2)), 1e-9)
        step = float(np.clip(score / information, -1, 1))
        beta += step
        if abs(step) < 1e-10:
            break
    error = _95_PERCENT / np.sqrt(information)
    low, value, high = (1 - np.exp(beta + end) for end in (error, 0.0, -error))
    return Estimate(float(value), float(low), float(high))


def contact_prices(
    fatigue: Fatigue,
    scores: pd.DataFrame,
    contacts: pd.Series[int] | None,
    *,
    margin: FloatArray,
    lost_share: float,
    days: int,
) -> pd.Series[float]:
    """Price of one more contact of each customer, in money; 0 where the spend is unknown.

    The price is what messages bring (a share of the margin on the expected spend) times the
    chance to opt out, plus the drop of the answers for as long as contacts count.

    Parameters
    ----------
    fatigue
        What one more message does.
    scores
        Scored rows: customer_id, clv, clv_horizon_days.
    contacts
        Messages of late by customer id; None: not recorded.
    margin
        Margin of each customer, shape (customers,).
    lost_share
        Share of the expected spend that messages bring.
    days
        Days that a contact counts.
    """
    customers = pd.Index(scores["customer_id"])
    if "clv" not in scores:
        return pd.Series(0.0, index=customers)
    recent = np.zeros(len(customers))
    if contacts is not None:
        recent = contacts.reindex(customers).fillna(0).to_numpy(dtype=float)
    horizon = scores.get("clv_horizon_days", pd.Series(np.nan, index=scores.index))
    share = np.minimum(days / horizon.fillna(days).to_numpy(dtype=float), 1.0)
    at_stake = lost_share * margin * scores["clv"].fillna(0).to_numpy(dtype=float)
    loss = fatigue.risk(recent) + max(fatigue.drop.value, 0.0) * share
    return pd.Series(at_stake * loss, index=customers)
