from __future__ import annotations

from typing import Any

import pytest

from models.evaluation.warnings import backtest_warnings, training_warnings


def record(model: str, method: str, metric: str, value: float | None) -> dict[str, Any]:
    return {
        "model": model,
        "method": method,
        "metric": metric,
        "value": value,
        "subset": "all",
        "snapshot_at": "2021-06-01",
    }


def test_a_refused_total_comes_first():
    figures = [record("clv", "champion", "coverage", 0.5)]
    alarms = ["clv: the expected spend was refused"]
    assert training_warnings({"figures": figures, "alarms": alarms}) == [
        *alarms,
        *backtest_warnings(figures),
    ]
    assert training_warnings({"figures": []}) == []  # by an earlier version


def test_all_well_says_nothing():
    assert backtest_warnings([]) == []
    good = [("clv", "bias_pct", -15.0), ("clv", "coverage", 0.7), ("churn", "bias_pct", 10.0)]
    assert backtest_warnings([record(model, "champion", *rest) for model, *rest in good]) == []
    assert backtest_warnings([record("clv", "champion", "coverage", None)]) == []


@pytest.mark.parametrize(
    ("btyd", "why"),
    [(-25.0, "bought more than before"), (3.0, "correction learned from earlier dates")],
)
def test_a_total_far_off_is_told_with_its_cause(btyd, why):
    (told,) = backtest_warnings(
        [record("clv", "champion", "bias_pct", -20.0), record("clv", "btyd", "bias_pct", btyd)]
    )
    assert "2021-06-01" in told
    assert "20 % below the actual total" in told
    assert why in told


def test_interval_and_churn_rate_are_watched_too():
    told = backtest_warnings(
        [
            record("clv", "champion", "coverage", 0.55),
            record("churn", "champion", "bias_pct", 30.0),
            record("churn", "rfm", "bias_pct", 90.0),
        ]
    )
    assert ["55%" in told[1], "30 % above" in told[0], len(told)] == [True, True, 2]


def figure(metric: str, value: float, **more: Any) -> dict[str, Any]:
    """A record of the champion's churn model with whatever else it says."""
    return record("churn", "champion", metric, value) | {"n": 400} | more


def rates(actual: float, *, low: float, high: float) -> list[dict[str, Any]]:
    known = {"known_rate": 0.12, "known_rate_least": 0.09, "known_rate_most": 0.15, "rate": 0.118}
    return [
        figure("actual_rate", actual, low=low, high=high),
        *(figure(name, value) for name, value in known.items()),
    ]


def test_a_base_rate_that_drifts_is_told_with_the_figures():
    (told,) = backtest_warnings(rates(0.20, low=0.17, high=0.23))
    for figure_said in ("20.0% left", "12.0%", "9.0% to 15.0%", "11.8%", "2021-06-01"):
        assert figure_said in told
    assert backtest_warnings(rates(0.14, low=0.11, high=0.17)) == []  # 17 % more, and within chance
    assert backtest_warnings(rates(0.13, low=0.121, high=0.14)) == []  # beyond chance, and 8 % more


def test_a_miss_of_the_model_is_not_put_on_the_base_rate():
    steady = rates(0.12, low=0.10, high=0.14)
    (told,) = backtest_warnings([*steady, figure("bias_pct", 40.0)])
    assert "had about the actual rate" in told
    moved = rates(0.20, low=0.17, high=0.23)
    told_too = backtest_warnings([*moved, figure("bias_pct", -41.0)])
    assert "the base rate moved" in told_too[0]
    assert "drifts" in told_too[1]


def test_mean_coverage_over_dates_has_a_rule_of_its_own():
    def at(date: str, share: float) -> dict[str, Any]:
        return record("clv", "champion", "coverage", share) | {"snapshot_at": date}

    assert backtest_warnings([at("2021-06-01", 0.74), at("2021-07-01", 0.77)]) == []
    (told,) = backtest_warnings([at("2021-06-01", 0.71), at("2021-07-01", 0.72)])
    assert "72%" in told
    (told,) = backtest_warnings([at("2021-06-01", 0.89), at("2021-07-01", 0.88)])
    assert "88%" in told


@pytest.mark.parametrize(
    ("change", "warned"),
    [
        ({}, True),
        ({"n": 49}, False),
        ({"low": 10.0}, False),  # it may be by chance
        ({"value": 24.0}, False),
        ({"subset": "movers"}, False),  # chosen by what came later
    ],
)
def test_a_slice_far_off_is_told(change: dict[str, Any], warned: bool):
    group = figure("bias_pct", 40.0, subset="new_customers", low=20.0, high=60.0)
    told = backtest_warnings([figure("bias_pct", 2.0), group | change])
    assert bool(told) == warned
    if warned:
        assert "new_customers" in told[0]
        assert "+40 %" in told[0]


def test_a_slice_that_shares_the_miss_of_all_is_not_told_again():
    group = figure("bias_pct", 40.0, subset="new_customers", low=20.0, high=60.0)
    told = backtest_warnings([figure("bias_pct", 35.0), group])
    assert [("new_customers" in each) for each in told] == [False]


def test_a_slice_where_the_baseline_wins_is_told():
    own = figure("log_loss", 0.50, subset="big")
    base = own | {"method": "rfm", "value": 0.40, "difference_low": 0.02}
    (told,) = backtest_warnings([own, base])
    assert "0.5 against 0.4" in told
    assert backtest_warnings([own, base | {"difference_low": -0.01}]) == []
    assert backtest_warnings([own, base | {"value": 0.495}]) == []
