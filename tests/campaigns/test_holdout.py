from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.holdout import (
    CONTROL,
    TREATMENT,
    assign_arms,
    in_global_holdout,
    people_needed,
    smallest_detectable_effect,
    suggested_control_share,
    uniform_draws,
)
from features.config.customers import GlobalHoldout

PEOPLE = [f"c{i}" for i in range(20_000)]


def test_draws_are_pinned_for_good() -> None:
    # Another number here would move people between the arms of running campaigns.
    drawn = uniform_draws(["a", "b", "ü"], salt="stagecast", campaign="win_back", wave="2018-01-01")
    assert drawn.round(12).tolist() == [0.967594373787, 0.942380802452, 0.990986367179]


def test_half_a_sign_pair_is_a_name_like_any_other() -> None:
    # Such ids come from files that cut a text in two; no encoding knows them strictly.
    half = "\ud83d"
    drawn = uniform_draws([half, "a"], salt=half, campaign=half, wave="1")
    assert drawn.round(12).tolist() == [0.348931373249, 0.513892252692]


def test_draws_are_uniform_and_independent_between_waves_campaigns_and_salts() -> None:
    base = uniform_draws(PEOPLE, salt="s", campaign="a", wave="1")
    tenths = np.histogram(base, bins=10, range=(0, 1))[0]
    # Chi-squared with 9 degrees of freedom: 27.9 is exceeded once in a thousand.
    assert ((tenths - 2000) ** 2 / 2000).sum() < 27.9
    for other in (
        uniform_draws(PEOPLE, salt="s", campaign="a", wave="2"),
        uniform_draws(PEOPLE, salt="s", campaign="b", wave="1"),
        uniform_draws(PEOPLE, salt="t", campaign="a", wave="1"),
    ):
        assert abs(np.corrcoef(base, other)[0, 1]) < 4 / np.sqrt(len(PEOPLE))


def test_names_that_run_together_draw_apart() -> None:
    one = uniform_draws(["x"], salt="s", campaign="ab", wave="c")
    two = uniform_draws(["x"], salt="s", campaign="a", wave="bc")
    assert one[0] != two[0]


@given(st.lists(st.text(max_size=8), unique=True, max_size=30), st.floats(0, 0.99))
def test_an_arm_depends_on_nobody_else(customers: list[str], share: float) -> None:
    together = assign_arms(customers, salt="s", campaign="a", wave="1", control_share=share)
    alone = [
        assign_arms([each], salt="s", campaign="a", wave="1", control_share=share)[0]
        for each in customers
    ]
    assert list(together) == alone
    if share == 0:
        assert CONTROL not in alone


def test_control_is_below_the_share_and_all_others_are_treated() -> None:
    people = PEOPLE[:50]
    drawn = np.sort(uniform_draws(people, salt="s", campaign="a", wave="1"))
    given = assign_arms(people, salt="s", campaign="a", wave="1", control_share=float(drawn[20]))
    assert (given == CONTROL).sum() == 20  # whoever drew the share itself is treated
    assert (given == TREATMENT).sum() == 30


def test_the_global_holdout_is_a_draw_of_its_own_in_each_wave() -> None:
    people = PEOPLE[:50]
    drawn = uniform_draws(people, salt="s", campaign="*global", wave="2018")
    held = GlobalHoldout(share=float(np.sort(drawn)[20]), wave="2018", until=dt.date(2018, 7, 1))
    assert in_global_holdout(people, held, salt="s").tolist() == (drawn < held.share).tolist()


def test_a_larger_control_share_only_adds_to_control() -> None:
    small = assign_arms(PEOPLE, salt="s", campaign="a", wave="1", control_share=0.1) == CONTROL
    large = assign_arms(PEOPLE, salt="s", campaign="a", wave="1", control_share=0.3) == CONTROL
    assert not (small & ~large).any()
    # Four standard errors.
    assert abs(small.mean() - 0.1) < 4 * np.sqrt(0.09 / len(PEOPLE))


def test_the_smallest_detectable_effect_solves_the_formula() -> None:
    n, p, c = 1000, 0.1, 0.2
    d = smallest_detectable_effect(n, p, c)
    assert d is not None
    assert n == pytest.approx(7.84 * p * (1 - p) / (d**2 * c * (1 - c)))
    assert smallest_detectable_effect(0, p, c) is None
    for share in (0.0, 1.0, 1.5, -0.1):
        assert smallest_detectable_effect(n, p, share) is None
    for rate in (-0.1, 1.1):
        assert smallest_detectable_effect(n, rate, c) is None
    # Where everybody or nobody does it anyway, any difference shows.
    assert smallest_detectable_effect(n, 0.0, c) == smallest_detectable_effect(n, 1.0, c) == 0.0
    assert smallest_detectable_effect(n, float("nan"), c) is None


@given(st.integers(500, 100_000), st.floats(0.01, 0.5), st.floats(0.005, 0.1), st.floats(0.2, 1))
def test_the_suggested_share_is_the_smallest_that_detects_the_effect(
    customers: int, rate: float, effect: float, variance_left: float
) -> None:
    share = suggested_control_share(customers, rate, effect, variance_left=variance_left)
    half = smallest_detectable_effect(customers, rate, 0.5)
    assert half is not None
    if share is None:
        assert half * np.sqrt(variance_left) > effect
        return
    detectable = smallest_detectable_effect(customers, rate, share)
    assert detectable is not None
    assert detectable * np.sqrt(variance_left) <= effect * 1.0001
    needed = people_needed(share)
    assert needed is not None
    assert needed <= customers


def test_no_answer_is_possible_below_thirty_people_in_an_arm() -> None:
    assert [people_needed(share) for share in (0.5, 0.1, 0.9, 0.0)] == [60, 300, 300, None]
    assert suggested_control_share(59, 0.1, 0.5) is None
