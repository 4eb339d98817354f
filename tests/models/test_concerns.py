from __future__ import annotations

from typing import Any

import pytest

from models.concerns import concerns


def record(model: str, method: str, metric: str, value: float | None) -> dict[str, Any]:
    return {
        "model": model,
        "method": method,
        "metric": metric,
        "value": value,
        "subset": "all",
        "snapshot_at": "2021-06-01",
    }


def test_all_well_says_nothing():
    assert concerns([]) == []
    good = [("clv", "bias_pct", -15.0), ("clv", "coverage", 0.7), ("churn", "bias_pct", 10.0)]
    assert concerns([record(model, "champion", *rest) for model, *rest in good]) == []
    assert concerns([record("clv", "champion", "coverage", None)]) == []


@pytest.mark.parametrize(
    ("btyd", "why"),
    [(-25.0, "bought more than before"), (3.0, "correction learned from earlier dates")],
)
def test_a_total_far_off_is_told_with_its_cause(btyd, why):
    (told,) = concerns(
        [record("clv", "champion", "bias_pct", -20.0), record("clv", "btyd", "bias_pct", btyd)]
    )
    assert "2021-06-01" in told
    assert "-20 %" in told
    assert why in told


def test_interval_and_churn_rate_are_watched_too():
    told = concerns(
        [
            record("clv", "champion", "coverage", 0.55),
            record("churn", "champion", "bias_pct", 30.0),
            record("churn", "rfm", "bias_pct", 90.0),
        ]
    )
    assert ["55%" in told[1], "+30 %" in told[0], len(told)] == [True, True, 2]
