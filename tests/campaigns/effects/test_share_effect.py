from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep

from campaigns.effects.share_effect import share_effect
from campaigns.effects.two_arms import TwoArms

counts = st.integers(1, 400)


def arms_of(*strata: tuple[int, int, int, int]) -> TwoArms:
    """Two arms from (responses, people) of treatment and control, one tuple a stratum."""
    outcome, treated, stratum = [], [], []
    for code, (treated_hits, treated_people, control_hits, control_people) in enumerate(strata):
        for arm, hits, people in (
            (True, treated_hits, treated_people),
            (False, control_hits, control_people),
        ):
            outcome += [1.0] * hits + [0.0] * (people - hits)
            treated += [arm] * people
            stratum += [code] * people
    return TwoArms.of(outcome, treated, stratum)


@given(counts, counts, st.floats(0, 1), st.floats(0, 1))
def test_one_stratum_has_newcombes_interval(
    treated: int, control: int, rate: float, other: float
) -> None:
    hits, control_hits = round(treated * rate), round(control * other)
    effect = share_effect(arms_of((hits, treated, control_hits, control)))
    low, high = confint_proportions_2indep(
        hits, treated, control_hits, control, method="newcomb", compare="diff"
    )
    assert (effect.low, effect.high) == pytest.approx((low, high))
    assert effect.low <= effect.difference <= effect.high


def test_newcombes_published_example() -> None:
    # Newcombe (1998), table II, example (a): 56/70 and 48/80, method 10.
    effect = share_effect(arms_of((56, 70, 48, 80)))
    assert (effect.low, effect.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


@given(
    st.lists(st.tuples(st.integers(2, 60), st.integers(2, 60), st.floats(0, 1)), min_size=1,
             max_size=4)
)  # fmt: skip
def test_strata_of_equal_rates_give_no_effect(strata: list[tuple[int, int, float]]) -> None:
    """Whatever the mixture of arms: customers are compared within a stratum only."""
    scaled = [(round(10 * rate), treated, control) for treated, control, rate in strata]
    effect = share_effect(arms_of(*[(hits * t, 10 * t, hits * c, 10 * c) for hits, t, c in scaled]))
    assert effect.difference == pytest.approx(0, abs=1e-12)
    assert effect.low <= 0 <= effect.high


def test_the_p_value_agrees_with_the_interval() -> None:
    for hits in range(10, 40):
        effect = share_effect(arms_of((hits, 100, 20, 100)))
        assert (effect.p_value < 0.05) == (effect.low > 0 or effect.high < 0)


def test_nobody_to_compare_gives_no_answer() -> None:
    assert np.isnan(share_effect(TwoArms.of([1.0, 0.0], [True, True])).difference)
    assert np.isnan(share_effect(TwoArms.of([], [])).low)
