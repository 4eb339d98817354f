"""One figure of a challenger beside that of the champion."""

from __future__ import annotations

from dataclasses import dataclass

# Relative worsening of the loss that counts as "not worse".
TOLERANCE = 0.02


@dataclass(frozen=True)
class Comparison:
    """Challenger against champion on one task.

    Attributes
    ----------
    task, metric
        What was compared; the smaller the better.
    challenger, champion
        The metric of each on the gate.
    low, high
        95 % interval of challenger minus champion, customers drawn again in pairs; None for a guard
        that is within its tolerance.
    guard
        Of a guarded figure: the worsening that is tolerated. None for the loss itself.
    """

    task: str
    metric: str
    challenger: float
    champion: float
    low: float | None
    high: float | None
    guard: float | None = None

    @property
    def not_worse(self) -> bool:
        """Loss: the worst end of the interval is tolerable. Guard: not surely beyond tolerance."""
        if self.guard is not None:
            return self.low is None or self.low <= 0
        assert self.high is not None
        return self.high <= TOLERANCE * abs(self.champion) + 1e-12

    @property
    def better(self) -> bool:
        """Whether the whole interval of a loss lies below zero."""
        return self.guard is None and self.high is not None and self.high < 0
