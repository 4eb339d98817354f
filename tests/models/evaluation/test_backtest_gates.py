"""The generic gates: what holds, what fails, and what is not asked."""

from __future__ import annotations

from typing import Any

import pytest

from models.evaluation.backtest_gates import failed, gates


def mean(model: str, method: str, metric: str, value: float, **more: Any) -> dict[str, Any]:
    head = {"model": model, "method": method, "metric": metric, "value": value, "origins": 2}
    return {**head, "subset": "all", "difference_low": None, "difference_high": None, **more}


@pytest.mark.parametrize(
    ("model", "metric", "baseline", "theirs", "holds", "fails"),
    [
        ("transition", "log_loss", "timer_table", 0.50, 0.489, 0.492),
        ("transition", "integrated_brier", "timer_table", 0.20, 0.20, 0.201),
        ("churn", "auc", "rfm", 0.80, 0.798, 0.796),
        ("stage", "log_loss", "frequency_table", 0.50, 0.499, 0.501),
        ("clv", "rmse", "btyd", 30.0, 30.0, 30.1),
    ],
)
def test_a_gate_compares_with_its_baseline(
    model: str, metric: str, baseline: str, theirs: float, holds: float, fails: float
) -> None:
    for value, passed in ((holds, True), (fails, False)):
        found = gates(
            [mean(model, "champion", metric, value), mean(model, baseline, metric, theirs)]
        )
        assert [gate.passed for gate in found] == [passed]
        assert len(failed(found)) == (not passed)
        assert ("FAILS" in found[0].told) == (not passed)


def test_the_total_of_clv_and_the_interval_of_a_gate_are_told() -> None:
    base = mean("clv", "btyd", "rmse", 30.0, difference_low=-2.0, difference_high=1.0)
    found = gates([mean("clv", "champion", "rmse", 29.0), base,
                   mean("clv", "champion", "bias_pct", 16.0)])  # fmt: skip
    assert [gate.passed for gate in found] == [True, False]
    assert "-2 to +1" in found[0].told


def test_groups_and_models_that_were_not_tested_are_not_asked() -> None:
    other = mean("churn", "champion", "auc", 0.1, subset="new_customers")
    assert gates([other, mean("churn", "rfm", "auc", 0.9)]) == []
