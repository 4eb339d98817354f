"""Thompson sampling: chances of the draws of explorers, and draws within all limits."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from campaigns.draw_chances import equal_chances, thompson_chances
from campaigns.expected_value import offer_uplift_name, uplift_error_name
from campaigns.playbook import Playbook
from tests.campaigns.campaign_examples import plan, playbook, scores
from tests.campaigns.offer_examples import (
    assert_within_limits,
    facts,
    offers_playbook,
    with_places,
)
from tests.tries import tries

EFFECTS = {"note": 0.02, "code": 0.2, "gift": 0.3}


def people(count: int, seed: int, *, error: float | None = 0.05) -> pd.DataFrame:
    """Scored rows with learned effects of the three offers, and their errors if known."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(count):
        effects = {}
        for offer, mean in EFFECTS.items():
            name = offer_uplift_name("back", offer)
            effects[name] = mean + rng.normal(0, 0.1)
            if error is not None:
                effects[uplift_error_name(name)] = error
        texts.append(json.dumps(effects))
    frame = scores(count, seed=seed)
    return frame.assign(
        p_any_order=0.5, clv_horizon_days=60.0, average_order_value=60.0, uplift=texts
    )


def thompson_playbook(**changes: object) -> Playbook:
    return offers_playbook(
        **{"exploration": "thompson", "exploration_share": 0.5, "exploration_floor": 0.1, **changes}
    )


@settings(max_examples=tries(50), deadline=None)
@given(seed=st.integers(0, 10_000), offers=st.integers(1, 5), floor=st.floats(0.001, 0.2))
def test_chances_add_up_stay_above_the_floor_and_equal_a_plain_count(
    seed: int, offers: int, floor: float
) -> None:
    rng = np.random.default_rng(seed)
    count = 30
    expected, error = rng.normal(0, 1, (count, offers)), rng.gamma(1.0, 0.5, (count, offers))
    error[rng.random((count, offers)) < 0.05] = np.nan
    could_get = rng.random((count, offers)) < 0.7
    could_get[np.arange(count), rng.integers(0, offers, count)] = True
    normal = rng.normal(size=(offers, 64))
    chances = thompson_chances(expected, error, could_get, normal=normal, floor=floor)
    assert chances.sum(axis=1) == pytest.approx(1.0)
    assert (chances[~could_get] == 0).all()
    assert (chances[could_get] >= floor - 1e-12).all()
    for row in range(count):
        possible = np.flatnonzero(could_get[row])
        if np.isnan(error[row, possible]).any():
            assert chances[row] == pytest.approx(equal_chances(could_get)[row])
            continue
        wins: Counter[int] = Counter()
        for draw in range(64):
            values = {k: expected[row, k] + error[row, k] * normal[k, draw] for k in possible}
            wins[max(values, key=lambda k: values[k])] += 1
        for k in possible:
            plain = floor + (1 - floor * len(possible)) * wins[k] / 64
            assert chances[row, k] == pytest.approx(plain)


def test_a_certain_effect_gets_all_but_the_floor_and_an_uncertain_one_its_share() -> None:
    normal = np.random.default_rng(1).normal(size=(2, 20_000))
    could_get = np.ones((2, 2), dtype=bool)
    expected, error = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 1.0]])
    chances = thompson_chances(expected, error, could_get, normal=normal, floor=0.05)
    assert chances[0] == pytest.approx([0.95, 0.05])
    # The difference is normal with mean 1 and variance 2: above zero with probability 0.760.
    assert chances[1, 0] == pytest.approx(0.05 + 0.9 * 0.7602, abs=0.01)


@settings(max_examples=tries(15), deadline=None)
@given(
    seed=st.integers(0, 10_000),
    objective=st.sampled_from(["priority", "value"]),
    gifts=st.integers(1, 30),
    budget=st.one_of(st.none(), st.floats(20, 200)),
)
def test_thompson_draws_keep_consent_caps_arms_places_and_budget(
    seed: int, objective: str, gifts: int, budget: float | None
) -> None:
    frame = people(240, seed)
    context = facts(sorted(frame["customer_id"]), seed, objective=objective, budget=budget)
    book = thompson_playbook(offers=with_places(gift=gifts), capacity=90)
    planned = plan(frame, book, context=context, consent="recorded")
    members = planned.audience.set_index("customer_id")
    assert_within_limits(members, context, gifts=gifts)
    assert planned.offers["cost"].sum() <= (budget or np.inf) * (1 + 1e-9) + 1e-9
    for row in members.itertuples():
        chances = json.loads(row.propensities)
        assert sum(chances.values()) == pytest.approx(1.0)
        assert chances[row.offer_name] == row.propensity
        # Control 0.25, exploration 0.5, floor 0.1.
        assert min(chances.values()) >= 0.75 * 0.5 * 0.1 - 1e-12


def test_logged_probabilities_are_how_often_each_offer_is_drawn() -> None:
    frame, book = people(60, 2), thompson_playbook(control_share=0.2)
    weights: Counter[tuple[str, str]] = Counter()
    squares: Counter[tuple[str, str]] = Counter()
    salts = 150
    for number in range(salts):
        audience = plan(frame, book, salt=str(number)).audience
        for row in audience.itertuples():
            weights[row.customer_id, row.offer_name] += 1 / row.propensity
            squares[row.customer_id, row.offer_name] += 1 / row.propensity**2
    customers = sorted({customer for customer, _ in weights})
    for offer in ("nothing", *EFFECTS):
        means = np.array([weights[customer, offer] / salts for customer in customers])
        second = np.array([squares[customer, offer] / salts for customer in customers])
        # 1 / propensity averages 1 for every offer that a customer could get.
        spread = np.sqrt((second - means**2).mean() / salts / len(customers))
        assert abs(means.mean() - 1) < 4 * spread


def test_without_learned_errors_the_draws_are_those_of_uniform_exploration() -> None:
    frame = people(300, 4, error=None)
    by_thompson = plan(frame, thompson_playbook()).audience
    uniform = plan(frame, offers_playbook(exploration_share=0.5)).audience
    pd.testing.assert_frame_equal(by_thompson, uniform)


def test_better_offers_are_drawn_more_often_so_exploration_gives_up_less() -> None:
    given_up = {}
    for name, book in (
        ("uniform", offers_playbook(exploration_share=0.5)),
        ("thompson", thompson_playbook()),
    ):
        given_up[name] = sum(
            plan(people(300, 5), book, salt=str(salt)).offers["exploration_cost"].sum()
            for salt in range(10)
        )
    assert 0 < given_up["thompson"] < given_up["uniform"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exploration_floor": 0.4}, "at most 1 / number of offers"),
        ({"exploration_share": 0.0}, "needs an `exploration_share` above 0"),
        ({"exploration": "uniform"}, "belongs to `exploration: thompson`"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        thompson_playbook(**changes)


def test_exploration_belongs_to_playbooks_with_offers() -> None:
    with pytest.raises(ValidationError, match="belongs to playbooks with `offers`"):
        playbook(exploration="thompson")
