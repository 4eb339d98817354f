"""Comparison of one figure of a challenger and the champion."""

from __future__ import annotations

from dataclasses import dataclass

# Relative worsening of the loss that counts as "not worse".
_TOLERANCE = 0.02


@dataclass(frozen=True)
class Comparison:
    """Challenger against champion on one task.

    Attributes
    ----------
    task, metric
        TaskName and metric; smaller is better.
    challenger, champion
        Value of the metric on the gate.
    low, high
        95 % interval of challenger minus champion, customers resampled in pairs; None for a guard
        within its tolerance.
    guard
        For a guarded figure: the tolerated worsening. None for the loss itself.
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
        """Loss: the interval lies below the tolerance. Guard: not significantly beyond it."""
        if self.guard is not None:
            return self.low is None or self.low <= 0
        assert self.high is not None
        return self.high <= _TOLERANCE * abs(self.champion) + 1e-12

    @property
    def better(self) -> bool:
        """True if the whole interval of a loss lies below zero."""
        return self.guard is None and self.high is not None and self.high < 0
