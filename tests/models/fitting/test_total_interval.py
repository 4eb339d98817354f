"""The interval of a total: chance, level errors and errors of groups, drawn and counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.fitting.total_interval import (
    FEWEST_CUSTOMERS,
    PastSpend,
    PastTotal,
    level_error,
    spend_errors,
    spend_interval,
    total_interval,
)
from tests.tries import tries

START = pd.Timestamp("2023-01-01")
HORIZON = 60
ERRORS = {"level": 0.1, "origins": 8.0, "dispersion": 5.0, "group": 0.1}


def test_the_interval_holds_the_total_as_often_as_it_says():
    random, held = np.random.default_rng(2), []
    for _ in range(2000):
        level = np.exp(random.normal(0.0, 0.1))
        total = 10_000 * level + random.normal(0.0, 500)
        low, high = total_interval(10_000, variance=500.0**2, level_error=0.1)
        held.append(low <= total <= high)
    assert np.mean(held) == pytest.approx(0.8, abs=0.03)


def test_the_level_error_is_the_root_mean_square_of_logs():
    assert level_error(np.array([110.0, 90.0]), np.array([100.0, 100.0])) == pytest.approx(
        np.sqrt((np.log(1.1) ** 2 + np.log(0.9) ** 2) / 2)
    )
    assert level_error(np.array([0.0, 110.0]), np.array([100.0, 100.0])) == pytest.approx(
        np.log(1.1)
    )
    assert level_error(np.array([0.0]), np.array([0.0])) == 0.0


@given(
    expected=st.floats(0, 1e6), spread=st.floats(0, 1e4), error=st.floats(0, 1),
    more=st.floats(0, 1), origins=st.floats(1, 50),
)  # fmt: skip
@settings(max_examples=tries(50), deadline=None)
def test_the_interval_holds_what_is_expected_and_grows_with_the_error(
    expected, spread, error, more, origins
):
    low, high = total_interval(
        expected, variance=spread**2, level_error=error, origins=origins + 1.0
    )
    wider = total_interval(expected, variance=spread**2, level_error=error + more, origins=origins)
    assert 0 <= wider[0] <= low <= expected <= high <= wider[1]


# -------------------------------------------------------------------------------------- errors


def drawn_spend(random, *, customers=400, groups=2, level=0.0, group=0.0) -> PastSpend:
    """Spend whose level and whose groups are off by normal errors of these sizes (logs)."""
    expected = 20.0 * random.lognormal(0.0, 0.7, customers)
    names = np.arange(customers) % groups
    shift = random.normal(0.0, level) + random.normal(0.0, group, groups)[names]
    mean = expected * np.exp(shift)
    scale = 5.0 * np.sqrt(mean)  # gamma with variance 5 mean ** 1.5
    return PastSpend(expected, random.gamma(mean / scale, scale), (names,))


def past_totals(spends: list[PastSpend]) -> list[PastTotal]:
    return [
        PastTotal(
            START + pd.Timedelta(days=HORIZON * number), spend.expected.sum(), spend.actual.sum()
        )
        for number, spend in enumerate(spends)
    ]


def oracle(totals, predictions, horizon_days):
    """`spend_errors` in plain loops."""
    last = max(one.at for one in totals)
    weights = [0.5 ** ((last - one.at).days / 180.0) for one in totals]
    squares = [np.log(one.actual / one.expected) ** 2 for one in totals]
    mean = sum(w * s for w, s in zip(weights, squares, strict=True)) / sum(weights)
    days = (last - min(one.at for one in totals)).days
    count = sum(weights) ** 2 / sum(w * w for w in weights) / len(weights)
    count *= 1.0 + days / horizon_days
    residual, power, excess, sizes = 0.0, 0.0, [], []
    scaled = []
    for one in predictions:
        ratio = sum(one.actual) / sum(one.expected)
        rows = [(e * ratio, a, g) for e, a, g in zip(
            one.expected, one.actual, one.groupings[0], strict=True)]  # fmt: skip
        scaled.append(rows)
        residual += sum((a - e) ** 2 for e, a, _ in rows)
        power += sum(e**1.5 for e, _, _ in rows)
    for rows in scaled:
        whole = sum(e for e, _, _ in rows)
        for name in {g for _, _, g in rows}:
            inside = [(e, a) for e, a, g in rows if g == name]
            expected, actual = sum(e for e, _ in inside), sum(a for _, a in inside)
            rest = 1.0 - expected / whole
            if rest < 0.1 or len(inside) < 30:
                continue
            chance = residual / power * sum(e**1.5 for e, _ in inside) * rest / expected**2
            excess.append(((actual / expected - 1.0) ** 2 - chance) / rest**2)
            sizes.append(1.0 / (chance / rest**2 + 0.01))
    group = sum(e * s for e, s in zip(excess, sizes, strict=True)) / sum(sizes) if sizes else 0.0
    return {
        "level": np.sqrt((count * mean + 0.05**2) / (count + 1)),
        "origins": count + 1,
        "dispersion": residual / power,
        "group": np.sqrt((len(excess) * max(group, 0.0) + 2 * 0.01) / (len(excess) + 2)),
    }


@given(seed=st.integers(0, 10_000), origins=st.integers(1, 6), small=st.booleans())
@settings(max_examples=tries(30), deadline=None)
def test_errors_equal_those_of_plain_loops(seed, origins, small):
    random = np.random.default_rng(seed)
    totals = past_totals([drawn_spend(random, level=0.2) for _ in range(origins)])
    predictions = [
        drawn_spend(random, customers=50 if small else 200, level=0.1, group=0.2) for _ in range(2)
    ]
    found = spend_errors(totals, predictions, HORIZON)
    assert found == pytest.approx(oracle(totals, predictions, HORIZON))


def test_origins_within_a_horizon_count_as_one_and_old_ones_little():
    random = np.random.default_rng(1)
    predictions = [drawn_spend(random)]

    def found(days: list[int], actual: list[float]):
        totals = [
            PastTotal(START + pd.Timedelta(days=day), 100.0, spent)
            for day, spent in zip(days, actual, strict=True)
        ]
        return spend_errors(totals, predictions, HORIZON)

    assert found([0, 1, 2, 3], [100.0] * 4)["origins"] == pytest.approx(2.0, abs=0.1)
    assert found([0, 60, 120, 180], [100.0] * 4)["origins"] > 4
    recent = found([0, 720], [100.0, 150.0])["level"]
    assert recent > found([0, 720], [150.0, 100.0])["level"]


@pytest.mark.parametrize(
    "totals",
    [[], [PastTotal(START, 100.0, 0.0)], [PastTotal(START, 0.0, 100.0)]],
)
def test_there_are_no_errors_without_a_past(totals):
    spend = drawn_spend(np.random.default_rng(1))
    assert spend_errors(totals, [spend], HORIZON) is None
    silent = PastSpend(spend.expected, np.zeros(len(spend.expected)), spend.groupings)
    assert spend_errors([PastTotal(START, 1.0, 1.0)], [silent], HORIZON) is None
    assert spend_errors([PastTotal(START, 1.0, 1.0)], [], HORIZON) is None


# ------------------------------------------------------------------------------------ intervals


@given(
    clv=st.lists(st.floats(1.0, 1e3), min_size=FEWEST_CUSTOMERS, max_size=60),
    times=st.integers(2, 20),
    rest=st.floats(1.0, 1e3),
)
@settings(max_examples=tries(50), deadline=None)
def test_an_interval_holds_the_sum_and_widens_with_fewer_customers(clv, times, rest):
    few, many = np.array(clv), np.tile(clv, times)
    whole = many.sum() * rest
    large = spend_interval(ERRORS, many, whole)
    small = spend_interval(ERRORS, few, whole)
    if small is None:  # chance is too large for the few alone
        return
    assert large is not None
    assert small[0] < few.sum() < small[1]
    assert large[0] < many.sum() < large[1]
    assert (small[1] - small[0]) / few.sum() > (large[1] - large[0]) / many.sum()


@given(share=st.floats(0.05, 0.95))
@settings(max_examples=tries(20), deadline=None)
def test_a_group_is_less_certain_than_the_whole(share):
    clv = np.full(10_000, 50.0)
    whole = spend_interval(ERRORS, clv, clv.sum())
    group = spend_interval(ERRORS, clv, clv.sum() / share)
    assert group[1] - group[0] > whole[1] - whole[0]


def test_nothing_is_said_of_few_customers_or_of_an_interval_that_begins_at_zero():
    clv = np.full(FEWEST_CUSTOMERS, 1e5)
    assert spend_interval(ERRORS, clv, clv.sum()) is not None
    assert spend_interval(ERRORS, clv[1:], clv.sum()) is None
    assert spend_interval({**ERRORS, "level": 1.0}, clv, clv.sum()) is None
    assert spend_interval({**ERRORS, "dispersion": 1e5}, clv, clv.sum()) is None
    assert spend_interval(ERRORS, np.zeros(50), 100.0) is None
    with_leads = np.append(clv, [np.nan, np.nan])
    assert spend_interval(ERRORS, with_leads, clv.sum()) == spend_interval(ERRORS, clv, clv.sum())


@pytest.mark.parametrize(("level", "group"), [(0.0, 0.0), (0.15, 0.0), (0.1, 0.2), (0.25, 0.1)])
def test_intervals_hold_simulated_totals_of_all_and_of_groups(level, group):
    random, all_held, group_held = np.random.default_rng(7), [], []
    for _ in range(200):
        past = [
            drawn_spend(random, groups=6, customers=600, level=level, group=group) for _ in range(8)
        ]
        errors = spend_errors(past_totals(past), past[-2:], HORIZON)
        spend = drawn_spend(random, groups=6, customers=600, level=level, group=group)
        for inside, held in (
            (np.ones(len(spend.expected), bool), all_held),
            (spend.groupings[0] == 0, group_held),
        ):
            interval = spend_interval(errors, spend.expected[inside], spend.expected.sum())
            if interval is not None:
                held.append(interval[0] <= spend.actual[inside].sum() <= interval[1])
    for held in (all_held, group_held):
        assert len(held) > 150
        # The priors make small errors look larger: more than 80 % where there are none.
        assert 0.75 <= np.mean(held) <= (0.97 if level < 0.1 else 0.93)
