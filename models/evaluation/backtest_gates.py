"""Gates on the back-test for any data: the served models must beat simple baselines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_Record = Mapping[str, Any]
_TRANSITION_GAIN = 0.02  # required gain, as a share of the timer table's log loss
_CHURN_ALLOWANCE = 0.003  # allowed deficit in AUC
_MOST_BIAS = 15.0  # largest mean absolute bias of the total, percent


@dataclass(frozen=True)
class GateResult:
    """Result of one gate on the means over origins.

    Attributes
    ----------
    name
        Requirement.
    model, origins
        Model and number of dates.
    ours, limit
        Mean of the champion, and its upper (or for AUC lower) limit.
    passed
        True if the requirement is met.
    difference_low, difference_high
        95 % interval of champion minus baseline; None without draws. If it contains zero, a failure
        may be due to chance.
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
        """The result as a sentence."""
        verdict = "holds" if self.passed else "FAILS"
        text = f"{self.model}: {self.name}: {verdict}, {self.ours:.4g} against {self.limit:.4g}"
        if self.difference_low is not None and self.difference_high is not None:
            text += (
                f" (champion - baseline, 95 %: {self.difference_low:+.3g} to "
                f"{self.difference_high:+.3g})"
            )
        return text


def evaluate_gates(means: Iterable[_Record]) -> list[GateResult]:
    """Evaluate the gates on the means over origins (records of ``backtest/means.json``).

    Transition: log loss at least 2 % below the timer table's, integrated Brier not above it.
    Churn: AUC not more than .003 below the one-snapshot RFM model's. Stage: log loss below the
    frequency table's. CLV: RMSE not above BTYD's; the total within 15 % (mean size over dates).

    Returns
    -------
    Results of the gates whose model was tested and whose figures are defined.
    """
    mean_of = {
        (str(mean["model"]), str(mean["method"]), str(mean["metric"])): mean
        for mean in means
        if mean["subset"] == "all"
    }
    loss_gates = [
        ("log loss 2 % below the timer table", "transition", "log_loss", "timer_table"),
        ("integrated Brier not above the timer table", "transition", "integrated_brier",
         "timer_table"),
        ("AUC not .003 below one-snapshot RFM", "churn", "auc", "rfm"),
        ("log loss below the frequency table", "stage", "log_loss", "frequency_table"),
        ("RMSE not above BTYD", "clv", "rmse", "btyd"),
    ]  # fmt: skip
    results = []
    for name, model, metric, baseline in loss_gates:
        champion, baseline_mean = (
            mean_of.get((model, method, metric)) for method in ("champion", baseline)
        )
        if champion is not None and baseline_mean is not None:
            results.append(_gate(name, champion, baseline_mean))
    total_bias = mean_of.get(("clv", "champion", "bias_pct"))
    if total_bias is not None:
        value = float(total_bias["value"])
        name, passed = "total within 15 %, or a warning", value <= _MOST_BIAS
        results.append(
            GateResult(
                name, "clv", int(total_bias["origins"]), value, _MOST_BIAS, passed, None, None
            )
        )
    return results


def _gate(name: str, champion: _Record, baseline: _Record) -> GateResult:
    value, baseline_value = float(champion["value"]), float(baseline["value"])
    limit = baseline_value
    if champion["metric"] == "auc":
        limit = baseline_value - _CHURN_ALLOWANCE
        passed = value >= limit
    elif "2 %" in name:
        limit = baseline_value * (1 - _TRANSITION_GAIN)
        passed = value <= limit
    else:
        passed = bool(value <= limit or np.isclose(value, limit, rtol=1e-9))
    low, high = baseline.get("difference_low"), baseline.get("difference_high")
    return GateResult(
        name, str(champion["model"]), int(champion["origins"]), value, limit, passed, low, high
    )


def failed_gates(results: Sequence[GateResult]) -> list[GateResult]:
    """Results of the gates that failed."""
    return [gate for gate in results if not gate.passed]
