"""Gates that hold on any data: the served recipes must not lose to what anybody could do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Record = Mapping[str, Any]
TRANSITION_GAIN = 0.02  # of the timer table's log loss
CHURN_ALLOWANCE = 0.003  # AUC
MOST_BIAS = 15.0  # percent


@dataclass(frozen=True)
class Gate:
    """One gate on the means over origins.

    Attributes
    ----------
    name
        What is asked for.
    model, origins
        The model and the number of dates.
    ours, limit
        The champion's mean and the most (or least) it may be.
    passed
        Whether it holds.
    difference_low, difference_high
        95 % interval of champion minus baseline; None where nothing was drawn. A gate that fails
        with zero inside may fail by chance.
    """

    name: str
    model: str
    origins: int
    ours: float
    limit: float
    passed: bool
    difference_low: float | None
    difference_high: float | None

    @property
    def sentence(self) -> str:
        """The gate in a sentence."""
        sign = "holds" if self.passed else "FAILS"
        text = f"{self.model}: {self.name}: {sign}, {self.ours:.4g} against {self.limit:.4g}"
        if self.difference_low is not None and self.difference_high is not None:
            text += (
                f" (champion - baseline, 95 %: {self.difference_low:+.3g} to "
                f"{self.difference_high:+.3g})"
            )
        return text


def gates(means: Iterable[Record]) -> list[Gate]:
    """The generic gates on the means over origins (records of ``backtest/means.json``).

    Transition: log loss at least 2 % below the timer table's, integrated Brier not above it.
    Churn: AUC not more than .003 below the one-snapshot RFM model's. Stage: log loss below the
    frequency table's. CLV: RMSE not above BTYD's; the total within 15 % (mean size over dates).

    Returns
    -------
    Those whose model was tested and whose figures are defined.
    """
    found = {
        (str(one["model"]), str(one["method"]), str(one["metric"])): one
        for one in means
        if one["subset"] == "all"
    }
    asked = [
        ("log loss 2 % below the timer table", "transition", "log_loss", "timer_table"),
        ("integrated Brier not above the timer table", "transition", "integrated_brier",
         "timer_table"),
        ("AUC not .003 below one-snapshot RFM", "churn", "auc", "rfm"),
        ("log loss below the frequency table", "stage", "log_loss", "frequency_table"),
        ("RMSE not above BTYD", "clv", "rmse", "btyd"),
    ]  # fmt: skip
    result = []
    for name, model, metric, baseline in asked:
        ours, theirs = (found.get((model, m, metric)) for m in ("champion", baseline))
        if ours is not None and theirs is not None:
            result.append(_gate(name, ours, theirs))
    total = found.get(("clv", "champion", "bias_pct"))
    if total is not None:
        value = float(total["value"])
        name, passed = "total within 15 %, or a warning", value <= MOST_BIAS
        result.append(
            Gate(name, "clv", int(total["origins"]), value, MOST_BIAS, passed, None, None)
        )
    return result


def _gate(name: str, ours: Record, theirs: Record) -> Gate:
    value, other = float(ours["value"]), float(theirs["value"])
    limit = other
    if ours["metric"] == "auc":
        limit = other - CHURN_ALLOWANCE
        passed = value >= limit
    elif "2 %" in name:
        limit = other * (1 - TRANSITION_GAIN)
        passed = value <= limit
    else:
        passed = bool(value <= limit or np.isclose(value, limit, rtol=1e-9))
    low, high = theirs.get("difference_low"), theirs.get("difference_high")
    return Gate(name, str(ours["model"]), int(ours["origins"]), value, limit, passed, low, high)


def failed(found: Sequence[Gate]) -> list[Gate]:
    """Those that do not hold."""
    return [gate for gate in found if not gate.passed]
