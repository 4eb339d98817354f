"""The monitor: what drifts is found, what merely varies is not, and nobody hears of it twice."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from models.metrics.metrics import auc
from models.monitoring.alarms import Alarm, followed, marked_told, to_tell
from models.monitoring.drift import (
    MISSING,
    OTHER,
    Distribution,
    distributions,
    drift,
    psi,
    same_shares,
)
from models.monitoring.findings import Finding
from models.monitoring.performance import BaseRate, Matured, auc_error, base_rate_drift, judged
from models.monitoring.volume import buyers_rate, freshness, volume

THROUGH = 18_400
COUNTS = st.lists(st.integers(0, 500), min_size=3, max_size=8)


@given(COUNTS)
def test_psi_is_zero_for_equal_shares_and_symmetric(counts: list[int]) -> None:
    one = np.array(counts) + 1
    other = one[::-1]
    assert psi(one, one) == pytest.approx(0.0, abs=1e-12)
    assert psi(one, other) >= 0
    assert psi(one, other) == pytest.approx(psi(other, one))


def test_psi_of_a_known_table() -> None:
    then, now = np.array([500_000, 500_000]), np.array([700_000, 300_000])
    by_hand = 0.2 * np.log(0.7 / 0.5) - 0.2 * np.log(0.3 / 0.5)
    assert psi(then, now) == pytest.approx(by_hand, rel=1e-4)


@given(COUNTS)
def test_the_test_is_pearsons(counts: list[int]) -> None:
    then = np.array(counts) + 5
    now = then[::-1].copy()
    expected = chi2_contingency(np.array([then, now]), correction=False).pvalue
    assert same_shares(then, now) == pytest.approx(expected)


def test_a_distribution_survives_json_and_names_its_bins() -> None:
    frame = pd.DataFrame(
        {
            "spend": [0.0, 0.0, 0.0, 1.0, 2.0, 5.0, np.nan, 9.0],
            "stage": ["a", "a", "b", "b", "b", "a", None, "a"],
            "same": [3.0] * 8,
            "none": [np.nan] * 8,
        }
    )
    made = distributions(frame, {30: frame.iloc[:4]})
    again = [Distribution.read(json.loads(json.dumps(each.as_dict()))) for each in made]
    assert again == made
    for each in made:
        assert sum(each.counts) == len(frame)
        assert len(each.labels) == len(each.counts)
        assert each.labels[-1] == MISSING
    stage = made[1]
    new = stage.count(pd.Series(["a", "unheard of", None, None]))
    assert dict(zip(stage.labels, new.tolist(), strict=True)) == {
        "a": 1, "b": 0, OTHER: 1, MISSING: 2,
    }  # fmt: skip


def test_shifted_columns_are_found_and_the_others_are_not() -> None:
    random = np.random.default_rng(1)
    then = pd.DataFrame(random.gamma(2, 1, size=(4000, 30))).add_prefix("f")
    now = pd.DataFrame(random.gamma(2, 1, size=(4000, 30))).add_prefix("f")
    now["f0"], now["f1"] = now["f0"] * 1.9, now["f1"].where(random.random(4000) < 0.7)
    found = drift("input", distributions(then), now, days=1, limit=0.25, level=1e-5)
    assert {f.subject for f in found if f.alarm} == {"f0", "f1"}


def test_few_customers_make_no_alarm_by_accident() -> None:
    """Of 40 customers a PSI over .25 is common; the test knows."""
    random = np.random.default_rng(2)
    then = pd.DataFrame(random.normal(size=(40, 200))).add_prefix("f")
    now = pd.DataFrame(random.normal(size=(40, 200))).add_prefix("f")
    found = drift("input", distributions(then), now, days=1, limit=0.25, level=0.05 / 30 / 200)
    assert sum(f.value is not None and f.value > 0.25 for f in found) > 20
    assert not any(f.alarm for f in found)


def test_what_moves_by_nature_is_judged_by_how_it_has_moved() -> None:
    random = np.random.default_rng(3)
    tenure = random.uniform(0, 1000, 5000)
    earlier = {
        days: pd.DataFrame({"tenure": tenure[tenure > days] - days}) for days in (60, 120, 180)
    }
    references = distributions(pd.DataFrame({"tenure": tenure}), earlier)
    later = pd.DataFrame({"tenure": tenure + 120})
    assert psi(np.array(references[0].counts), references[0].count(later["tenure"])) > 0.1
    aged = drift("input", references, later, days=120, limit=0.1, level=1e-5)
    assert not aged[0].alarm
    jumped = drift("input", references, later, days=1, limit=0.1, level=1e-5)
    assert jumped[0].alarm


def events(rate: np.ndarray, name: str, *, seed: int, late: float = 0.0) -> pd.DataFrame:
    """Daily counts up to `THROUGH`, a share of them known a day late, as known by then."""
    random = np.random.default_rng(seed)
    day = np.arange(THROUGH - len(rate) + 1, THROUGH + 1)
    count = random.poisson(rate)
    behind = random.binomial(count, late)
    rows = pd.concat(
        [
            pd.DataFrame({"day": day, "known_day": day + lag, "count": n})
            for lag, n in ((0, count - behind), (1, behind))
        ]
    )
    rows["event_type"] = name
    return rows[(rows["known_day"] <= THROUGH) & (rows["count"] > 0)]


def weekly(level: float, days: int = 160) -> np.ndarray:
    day = np.arange(THROUGH - days + 1, THROUGH + 1)
    return level * np.array([1.2, 1.0, 1.0, 1.0, 1.3, 1.7, 0.3])[day % 7]


def test_a_halved_volume_is_found_on_the_first_day_and_a_sunday_is_no_alarm() -> None:
    halved = weekly(900)
    halved[-1] /= 2
    counts = pd.concat([events(weekly(900), "view", seed=1), events(halved, "click", seed=2)])
    found = volume(counts, THROUGH, limit=0.35, level=1e-5)
    alarms = [f for f in found if f.alarm]
    assert {(f.subject, f.measure) for f in alarms} == {("click", "change of 1 day")}
    assert alarms[0].value == pytest.approx(-0.5, abs=0.1)


@pytest.mark.parametrize("last", range(7))
def test_whatever_the_weekday_nothing_is_found_where_nothing_is(last: int) -> None:
    rate = weekly(400, days=170)[: 170 - last]
    counts = events(rate, "view", seed=last)
    assert not any(f.alarm for f in volume(counts, THROUGH, limit=0.2, level=1e-4))


def test_events_that_are_still_to_come_are_no_loss() -> None:
    counts = events(weekly(800), "order", seed=4, late=0.6)
    one_day = volume(counts, THROUGH, limit=0.35, level=1e-5)[0]
    assert one_day.value == pytest.approx(0.0, abs=0.15)


def test_a_type_that_ceases_is_found_though_it_has_no_row() -> None:
    rate = weekly(50)
    rate[-2:] = 0
    found = volume(events(rate, "survey", seed=5), THROUGH, limit=0.35, level=1e-5)
    assert any(f.alarm and f.value is not None and f.value < -0.9 for f in found)


def test_growth_is_usual() -> None:
    rate = weekly(300) * 1.006 ** np.arange(160)  # doubles in four months
    assert not any(
        f.alarm for f in volume(events(rate, "view", seed=6), THROUGH, limit=0.2, level=1e-4)
    )


def test_a_short_history_says_so() -> None:
    found = volume(events(weekly(300, days=20), "view", seed=7), THROUGH, limit=0.35, level=1e-5)
    assert all(f.value is None and "too short" in f.note for f in found)


def test_buyers_are_counted_against_the_customers_there_are() -> None:
    """Twice the customers and twice the buyers is no drift; half more buyers is."""
    customers = np.full(160, 10_000)
    customers[-1] = 20_000
    rate = weekly(500)
    rate[-1] *= 2
    buyers = events(rate, "buyers", seed=8)
    found = buyers_rate(buyers, customers, THROUGH, limit=0.25, level=1e-5)
    assert not any(f.alarm for f in found)
    found = buyers_rate(buyers, np.full(160, 10_000), THROUGH, limit=0.25, level=1e-5)
    assert any(f.alarm for f in found)


def test_freshness_knows_how_long_a_type_is_silent_at_times() -> None:
    days = [*range(THROUGH - 90, THROUGH - 7, 3)]
    rows = pd.DataFrame({"event_type": "survey", "day": days, "known_day": days, "count": 1})
    silent = THROUGH - days[-1]
    found = freshness(rows, THROUGH, age_days=5, max_age_days=3)
    assert [(f.subject, f.value, f.alarm) for f in found] == [
        ("all events", 5, True),
        ("survey", silent, silent > 7),
    ]
    calm = freshness(rows[rows["day"] <= THROUGH], days[-1] + 6, age_days=5, max_age_days=None)
    assert not any(f.alarm for f in calm)


def test_a_matured_base_rate_is_judged_by_how_rates_vary() -> None:
    before = [
        BaseRate("bought", day, rate, 5000) for day, rate in enumerate([0.4, 0.42, 0.38, 0.41])
    ]
    same, more = (BaseRate("bought", 500, rate, 5000) for rate in (0.43, 0.6))
    assert not base_rate_drift([same], before, limit=0.25, chance=0.02)[0].alarm
    assert base_rate_drift([more], before, limit=0.25, chance=0.02)[0].alarm
    wild = [
        dataclasses.replace(b, rate=r) for b, r in zip(before, (0.2, 0.6, 0.3, 0.5), strict=True)
    ]
    assert not base_rate_drift([more], wild, limit=0.25, chance=0.02)[0].alarm


def test_the_error_of_an_auc_is_how_far_it_varies() -> None:
    """For exponential scores the formula is exact."""
    random = np.random.default_rng(9)
    y = np.repeat([0.0, 1.0], [150, 50])
    values = [auc(y, random.exponential(1 + 2 * y)) for _ in range(500)]
    assert auc_error(float(np.mean(values)), 50, 150) == pytest.approx(np.std(values), rel=0.1)


def test_performance_is_told_of_each_version_at_its_latest_run() -> None:
    def figure(version: str, day: str, value: float, n: int = 3000) -> Matured:
        return Matured("r", version, day, "churn", "auc", value, 0.01, n)

    limits = {"auc_drop": 0.05, "bias_pct": 25.0, "coverage_gap": 0.1, "chance": 0.01}
    figures = [figure("1", "2024-01-01", 0.5), figure("1", "2024-02-01", 0.79)]
    figures += [figure("2", "2024-02-01", 0.65), figure("3", "2024-02-01", 0.65, n=20)]
    found = {f.subject: f.alarm for f in judged(figures, {"churn.auc": 0.8}, **limits)}
    assert found == {
        "churn auc of version 1": False,
        "churn auc of version 2": True,
        "churn auc of version 3": False,
    }


DAY = dt.date(2024, 3, 1)
BAD = Finding("volume", "view", "change of 1 day", -0.5, alarm=True)


def later(days: int) -> dt.date:
    return DAY + dt.timedelta(days=days)


def mornings(days: list[int], *, remind_days: int = 7) -> list[int]:
    """Days on which a person is told, given those on which the alarm is there."""
    alarms: list[Alarm] = []
    told = []
    for day in range(max(days) + 1):
        findings = [BAD] if day in days else []
        alarms = followed(alarms, findings, later(day), remind_days=remind_days)
        news = to_tell(alarms, later(day), remind_days=remind_days)
        if news:
            told.append(day)
            alarms = marked_told(alarms, news, later(day))
    return told


def test_an_alarm_is_told_once_and_again_after_a_week() -> None:
    assert mornings(list(range(16))) == [0, 7, 14]


def test_one_that_flickers_is_the_same_and_one_after_long_is_new() -> None:
    assert mornings([0, 2, 3, 5]) == [0]
    assert mornings([0, 20]) == [0, 20]


def test_the_same_day_twice_tells_once_unless_it_did_not_arrive() -> None:
    once = followed([], [BAD], DAY, remind_days=7)
    assert to_tell(followed(once, [BAD], DAY, remind_days=7), DAY, remind_days=7)
    heard = marked_told(once, once, DAY)
    assert not to_tell(followed(heard, [BAD], DAY, remind_days=7), DAY, remind_days=7)
    assert [Alarm.read(json.loads(json.dumps(a.as_dict()))) for a in heard] == heard
