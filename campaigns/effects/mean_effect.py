"""Effect on a mean or a ratio of money: a studentised permutation test, inverted to an interval.

Revenue per person is mostly zero and otherwise skewed, and control arms are small: intervals by
the normal distribution then find gains that are none. Permuting the arms within strata is exact
without an effect, whatever the distribution (Pitman 1937), and holds with one because the
statistic is divided by its standard error (Janssen 1997; Chung and Romano 2013). Covariates are
regressed out without a look at the arms, which keeps the test exact (Rosenbaum 2002).

A ratio of two means, such as revenue per order, is compared through y - r x: x are the orders, r is
the ratio of both arms together. Its mean is zero in both arms if their ratios are equal, and its
variance is that of the delta method (Deng, Knoblich and Lu 2018, Applying the delta method in
metric analytics, KDD). A person is one draw, with all orders. A mean is the ratio with x = 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from campaigns.effects.share_effect import LEVEL
from campaigns.effects.two_arms import Effect, Floats, Integers, TwoArms

FEWEST_BUYERS = 20  # in each arm; below, no interval holds
PERMUTATIONS = 999
_GROUPS, _PACKS = 1000, 10_000
_DRAWS_OF_ONE_DEAL = 111
_DRAWS, _DEALS = 1, 2  # ends of seeds: deals and draws share no random numbers
_BISECTIONS = 40


def too_few_buyers(arms: TwoArms) -> bool:
    """True if an arm has fewer than 20 people with an amount other than zero."""
    bought = arms.outcome != 0
    return min(int((bought & arms.treated).sum()), int((bought & ~arms.treated).sum())) < (
        FEWEST_BUYERS
    )


def mean_effect(
    arms: TwoArms, *, seed: int, alpha: float = LEVEL, permutations: int = PERMUTATIONS
) -> Effect:
    """Difference of two means, or ratios, with the interval of a studentised permutation test.

    Parameters
    ----------
    arms
        The outcome (money), its denominator, the strata, and covariates known at the draw.
    seed
        Of the permutations.
    alpha
        Chance of missing the true difference, both sides together.
    permutations
        Number of permutations; the p-value is at least 2 / (permutations + 1).

    Returns
    -------
    Effect
        NaN for interval and p-value below 20 buyers in an arm; all NaN if an arm's denominators
        sum to zero.
    """
    if not len(arms.outcome):
        return Effect(*[float("nan")] * 6)
    divided_by = arms.denominator
    mean_counts = [
        float(arms.weights @ means) for means in replace(arms, outcome=divided_by).arm_means()
    ]
    if min(mean_counts) <= 0:
        return Effect(*[float("nan")] * 6)
    treated, control = (
        float(arms.weights @ means) / mean_count
        for means, mean_count in zip(arms.arm_means(), mean_counts, strict=True)
    )
    effect = Effect(treated, control, treated - control, *[float("nan")] * 3)
    if too_few_buyers(arms):
        return effect
    # Of both arms together: the ratio, and the treatment arm's share of the denominators. They do
    # not depend on the draw, which keeps the test exact.
    pooled = (arms.weights / np.bincount(arms.stratum))[arms.stratum]
    mean_count = float(pooled @ divided_by)
    ratio = float(pooled @ arms.outcome) / mean_count
    treated_share = float(pooled @ (divided_by * arms.treated)) / mean_count
    error = arms.outcome - ratio * divided_by
    arm = _residuals((arms.treated - treated_share) * divided_by, arms)
    outcome = _residuals(error, arms)
    plain = _residuals(error, replace(arms, covariates=arms.covariates[:, :0]))
    variance_left = float(outcome @ outcome / (plain @ plain)) if arms.covariates.size else 1.0
    test = _PermutationTest.of(arms, outcome, arm, seed=seed, permutations=permutations)
    estimate = test.estimate
    low, high = test.interval(alpha)
    return Effect(
        control + estimate, control, estimate, low, high, test.p_value(0.0), variance_left
    )


def _residuals(values: Floats, arms: TwoArms) -> Floats:
    """What strata and covariates do not explain (least squares, both arms together)."""
    centred = _centred(values, arms)
    if not arms.covariates.shape[1]:
        return centred
    columns = np.column_stack(
        [_centred(np.nan_to_num(column), arms) for column in arms.covariates.T]
        + [_centred(np.isnan(column).astype(float), arms) for column in arms.covariates.T]
    )
    spread = np.sqrt((columns**2).mean(axis=0))
    columns = columns[:, spread > 0] / spread[spread > 0]
    slopes = np.linalg.lstsq(columns, centred, rcond=1e-9)[0]
    return centred - columns @ slopes


def _centred(values: Floats, arms: TwoArms) -> Floats:
    """Values minus the mean of their stratum."""
    size = np.bincount(arms.stratum)
    return values - (np.bincount(arms.stratum, weights=values) / size)[arms.stratum]


@dataclass(frozen=True)
class _PermutationTest:
    """Sums by stratum of the actual and the permuted arms, from which every test follows.

    For a supposed effect d the outcome is y - d a (a: the arm). Its sums and sums of squares over
    an arm are polynomials in d of the sums of y, a, y^2, ya, a^2: these five are computed once,
    and the number of people.

    Attributes
    ----------
    small, large
        Shape (1 + permutations, strata, 6): sums over the smaller and the larger arm; the first
        row holds the actual arms.
    weights
        Shape (strata,).
    sign
        Shape (strata,): 1 if the smaller arm is the treatment arm, else -1.
    """

    small: Floats
    large: Floats
    weights: Floats
    sign: Floats

    @classmethod
    def of(
        cls, arms: TwoArms, outcome: Floats, arm: Floats, *, seed: int, permutations: int
    ) -> _PermutationTest:
        columns = np.column_stack(
            [outcome, arm, outcome**2, outcome * arm, arm**2, np.ones(len(arm))]
        )
        treated_sizes, control_sizes = arms.sizes
        sign = np.where(treated_sizes <= control_sizes, 1.0, -1.0)
        small_size = np.minimum(treated_sizes, control_sizes)
        small = np.empty((1 + permutations, len(sign), columns.shape[1]))
        totals = np.empty((len(sign), columns.shape[1]))
        for stratum in range(len(sign)):
            inside = arms.stratum == stratum
            in_small_arm = inside & (arms.treated == (sign[stratum] > 0))
            small[0, stratum] = columns[in_small_arm].sum(axis=0)
            small[1:, stratum] = _permuted_sums(
                columns[inside], int(small_size[stratum]), permutations, (seed, stratum)
            )
            totals[stratum] = columns[inside].sum(axis=0)
        return cls(small, totals - small, arms.weights, sign)

    @property
    def estimate(self) -> float:
        """Effect for which the arms do not differ."""
        difference = self.small[0] / self.small[0][:, 5:] - self.large[0] / self.large[0][:, 5:]
        weighted = (self.weights * self.sign) @ difference
        return float(weighted[0] / weighted[1])

    def statistics(self, effect: float) -> Floats:
        """Studentised differences, shape (1 + permutations,), for a supposed effect."""
        difference, variance = np.zeros(len(self.small)), np.zeros(len(self.small))
        for sums, sign in ((self.small, self.sign), (self.large, -self.sign)):
            size = sums[..., 5]
            first = sums[..., 0] - effect * sums[..., 1]
            second = sums[..., 2] - 2 * effect * sums[..., 3] + effect**2 * sums[..., 4]
            spread = np.maximum(second - first**2 / size, 0) / np.maximum(size - 1, 1)
            difference = difference + (first / size * sign) @ self.weights
            variance = variance + (spread / size) @ self.weights**2
        statistics: Floats = difference / np.sqrt(np.maximum(variance, 1e-300))
        return statistics

    def tails(self, effect: float) -> tuple[float, float]:
        """One-sided p-values: the actual effect is above, and below, the supposed one."""
        values = self.statistics(effect)
        slack = 1e-9 * (1 + abs(values[0]))
        above = int((values >= values[0] - slack).sum())
        below = int((values <= values[0] + slack).sum())
        return above / len(values), below / len(values)

    def p_value(self, effect: float) -> float:
        """Two-sided p-value for a supposed effect."""
        return min(1.0, 2 * min(self.tails(effect)))

    def interval(self, alpha: float) -> tuple[float, float]:
        """Effects that the test does not reject; zero is inside exactly if it is not rejected."""
        low, high = (self._end(side, alpha / 2) for side in (0, 1))
        above, below = self.tails(0.0)
        return (
            min(low, 0.0) if above > alpha / 2 else low,
            max(high, 0.0) if below > alpha / 2 else high,
        )

    def _end(self, side: int, level: float) -> float:
        """End of the interval: bisection between a rejected effect and the estimate."""
        inside = self.estimate
        error = self._standard_error(inside)
        step = error if side else -error
        outside = inside + 4 * step
        for _ in range(_BISECTIONS):
            if self.tails(outside)[side] <= level:
                break
            inside, step = outside, 2 * step
            outside = inside + step
        for _ in range(_BISECTIONS):
            middle = (inside + outside) / 2
            if self.tails(middle)[side] <= level:
                outside = middle
            else:
                inside = middle
            if abs(outside - inside) < 1e-4 * error:
                break
        return inside

    def _standard_error(self, effect: float) -> float:
        """Standard error of the actual difference at a supposed effect."""
        difference = self.estimate + 1.0 - effect
        statistic = float(self.statistics(effect - 1.0)[0])
        return abs(difference / statistic) if statistic else 1.0


def _permuted_sums(columns: Floats, size: int, permutations: int, seed: tuple[int, int]) -> Floats:
    """Column sums over random subsets of about a size, shape (permutations, columns).

    More than 1,000 people are dealt into 1,000 groups, anew for every 111 permutations, and groups
    are drawn instead of people: each subset remains a uniform draw, for a fraction of the work.
    People are shuffled once, into 10,000 packs; a deal shuffles the packs.
    """
    if len(columns) <= _GROUPS:
        return columns[_subsets(len(columns), size, permutations, seed)].sum(axis=1)
    rng = np.random.default_rng((*seed, _DEALS))
    packs = columns
    if len(columns) > _PACKS:
        packs = _summed(columns[rng.permutation(len(columns))], _PACKS)
    drawn = min(max(round(size / len(columns) * _GROUPS), 1), _GROUPS - 1)
    subsets = _subsets(_GROUPS, drawn, permutations, seed)
    sums = np.empty((permutations, columns.shape[1]))
    for first in range(0, permutations, _DRAWS_OF_ONE_DEAL):
        deal = slice(first, first + _DRAWS_OF_ONE_DEAL)
        groups = _summed(packs[rng.permutation(len(packs))], _GROUPS)
        sums[deal] = groups[subsets[deal]].sum(axis=1)
    return sums


@lru_cache(maxsize=16)
def _subsets(units: int, drawn: int, permutations: int, seed: tuple[int, int]) -> Integers:
    """Random subsets of so many units, shape (permutations, drawn).

    They are kept: every outcome of the same people is tested by the same permutations.
    """
    rng = np.random.default_rng((*seed, _DRAWS))
    subsets = np.empty((permutations, drawn), dtype=np.int64)
    for first in range(0, permutations, _DRAWS_OF_ONE_DEAL):
        rows = subsets[first : first + _DRAWS_OF_ONE_DEAL]
        ranks = np.broadcast_to(np.arange(units), (len(rows), units))
        rows[:] = rng.permuted(ranks, axis=1)[:, :drawn]
    subsets.setflags(write=False)
    return subsets


def _summed(rows: Floats, groups: int) -> Floats:
    """Sums of successive rows in so many groups of nearly equal size."""
    starts = np.arange(groups) * len(rows) // groups
    sums: Floats = np.add.reduceat(rows, starts, axis=0)
    return sums
