"""Intervals for readers who look every day: they hold at all looks together.

Whoever reads a 95 % interval daily and stops at the first that excludes zero finds an effect too
often. A confidence sequence is a little wider and may be read at any time, as often as one likes:
its multiple of the standard error is that of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
(2024, Annals of Statistics 52, theorem 2.2), in place of 1.96.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from campaigns.effects.share_effect import LEVEL
from campaigns.effects.two_arms import Effect, TwoArms

# Where the sequence is narrowest, in people of two equal arms: most campaigns read near it.
_NARROWEST_AT = 5000


@dataclass(frozen=True)
class AnyTime:
    """Width of a confidence sequence at the size that an experiment has now.

    Attributes
    ----------
    information
        Mixture variance of the sequence times the number of people.
    """

    information: float

    @classmethod
    def of(cls, arms: TwoArms) -> AnyTime:
        """Width for the people in two arms, who count as in arms of equal size."""
        treated, control = (float(size.sum()) for size in arms.sizes)
        people = 4 * treated * control / (treated + control)
        log_level = -2 * math.log(LEVEL)
        mixture = (log_level + math.log(log_level) + 1) / _NARROWEST_AT
        return cls(mixture * people)

    @property
    def multiple(self) -> float:
        """Standard errors on each side of the estimate, in place of 1.96."""
        widened = 1 + self.information
        return math.sqrt(widened / self.information * math.log(widened / LEVEL**2))

    @property
    def level(self) -> float:
        """Level at which an interval for one look is as wide."""
        return 2 * float(stats.norm.sf(self.multiple))

    def widened(self, effect: Effect) -> tuple[float, float]:
        """Interval for one look, stretched about its estimate; its skewness is kept."""
        factor = self.multiple / float(stats.norm.isf(LEVEL / 2))
        return (
            effect.difference - factor * (effect.difference - effect.low),
            effect.difference + factor * (effect.high - effect.difference),
        )

    def p_value(self, low: float, high: float, difference: float) -> float:
        """P-value that holds at all looks together, from an interval of this width."""
        distance = difference - low if difference > 0 else high - difference
        if not distance > 0:
            return float("nan")
        errors = abs(difference) / distance * self.multiple
        exponent = -(errors**2) / 2 * self.information / (1 + self.information)
        return min(1.0, math.sqrt(1 + self.information) * math.exp(exponent))
