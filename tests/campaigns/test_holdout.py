from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.holdout import CONTROL, arms, draw, smallest_detectable_effect

PEOPLE = [f"c{i}" for i in range(20_000)]


def test_draws_are_pinned_for_good() -> None:
    # Another number here would move people between the arms of running campaigns.
    drawn = draw(["a", "b", "ü"], salt="stagecast", campaign="win_back", wave="2018-01-01")
    assert drawn.round(12).tolist() == [0.967594373787, 0.942380802452, 0.990986367179]


def test_draws_are_uniform_and_independent_between_waves_campaigns_and_salts() -> None:
    base = draw(PEOPLE, salt="s", campaign="a", wave="1")
    tenths = np.histogram(base, bins=10, range=(0, 1))[0]
    # Chi-squared with 9 degrees of freedom: 27.9 is exceeded once in a thousand.
    assert ((tenths - 2000) ** 2 / 2000).sum() < 27.9
    for other in (
        draw(PEOPLE, salt="s", campaign="a", wave="2"),
        draw(PEOPLE, salt="s", campaign="b", wave="1"),
        draw(PEOPLE, salt="t", campaign="a", wave="1"),
    ):
        assert abs(np.corrcoef(base, other)[0, 1]) < 4 / np.sqrt(len(PEOPLE))


def test_names_that_run_together_draw_apart() -> None:
    one = draw(["x"], salt="s", campaign="ab", wave="c")
    two = draw(["x"], salt="s", campaign="a", wave="bc")
    assert one[0] != two[0]


@given(st.lists(st.text(max_size=8), unique=True, max_size=30), st.floats(0, 0.99))
def test_an_arm_depends_on_nobody_else(customers: list[str], share: float) -> None:
    together = arms(customers, salt="s", campaign="a", wave="1", control_share=share)
    alone = [
        arms([each], salt="s", campaign="a", wave="1", control_share=share)[0] for each in customers
    ]
    assert list(together) == alone
    if share == 0:
        assert CONTROL not in alone


def test_a_larger_control_share_only_adds_to_control() -> None:
    small = arms(PEOPLE, salt="s", campaign="a", wave="1", control_share=0.1) == CONTROL
    large = arms(PEOPLE, salt="s", campaign="a", wave="1", control_share=0.3) == CONTROL
    assert not (small & ~large).any()
    # Four standard errors.
    assert abs(small.mean() - 0.1) < 4 * np.sqrt(0.09 / len(PEOPLE))


def test_the_smallest_detectable_effect_solves_the_formula() -> None:
    n, p, c = 1000, 0.1, 0.2
    d = smallest_detectable_effect(n, p, c)
    assert d is not None
    assert n == pytest.approx(7.84 * p * (1 - p) / (d**2 * c * (1 - c)))
    assert smallest_detectable_effect(0, p, c) is None
    assert smallest_detectable_effect(n, p, 0.0) is None
    assert smallest_detectable_effect(n, float("nan"), c) is None
