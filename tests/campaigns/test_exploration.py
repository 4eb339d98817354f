"""Exploration: random offers within all limits, with the probabilities they were drawn with."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.planning import CampaignPlan
from tests.campaigns.campaign_examples import plan, scores
from tests.campaigns.offer_examples import (
    OFFERS,
    assert_within_limits,
    facts,
    offers_playbook,
    with_places,
)
from tests.tries import tries

COSTS = {"note": 0.5, "code": 0.5, "gift": 4.0}


def people(count: int, seed: int) -> pd.DataFrame:
    return scores(count, seed=seed).assign(p_any_order=0.5, clv_horizon_days=60.0)


@settings(max_examples=tries(20), deadline=None)
@given(
    seed=st.integers(0, 10_000),
    objective=st.sampled_from(["priority", "value"]),
    share=st.floats(0, 0.99),
    gifts=st.integers(1, 30),
    budget=st.one_of(st.none(), st.floats(20, 200)),
)
def test_nobody_is_explored_on_against_consent_caps_arms_places_or_budget(
    seed: int, objective: str, share: float, gifts: int, budget: float | None
) -> None:
    frame = people(240, seed)
    context = facts(sorted(frame["customer_id"]), seed, objective=objective, budget=budget)
    book = offers_playbook(
        exploration_share=share, offers=with_places(gift=gifts), capacity=90, budget=150.0
    )
    planned = plan(frame, book, context=context, consent="recorded")
    members = planned.audience.set_index("customer_id")
    treated = assert_within_limits(members, context, gifts=gifts)
    control = members["arm"] == "control"
    assert (members.loc[control, "propensity"] == book.control_share).all()
    assert treated["offer_name"].isin(COSTS).all()
    by_letter = treated["offer_name"] == "gift"
    assert (treated["channel"] == np.where(by_letter, "letter", "email")).all()
    assert len(members) <= 90
    spent = planned.offers["cost"].sum()
    assert spent <= min(150.0, budget or 150.0) * (1 + 1e-9) + 1e-9
    assert treated["propensity"].between(0, 0.75, inclusive="right").all()


@settings(max_examples=tries(8), deadline=None)
@given(seed=st.integers(0, 1_000))
def test_without_exploration_members_are_the_same_and_get_the_assigned_offer(seed: int) -> None:
    frame = people(200, seed)
    context = facts(sorted(frame["customer_id"]), seed)
    with_draws = plan(frame, offers_playbook(), context=context)
    without = plan(frame, offers_playbook(exploration_share=0), context=context)
    key = ["customer_id", "arm", "rank", "change"]
    pd.testing.assert_frame_equal(with_draws.audience[key], without.audience[key])
    treated = without.audience[without.audience["arm"] == "treatment"]
    assert (treated["propensity"] == 0.75).all()
    explored = with_draws.offers["explored"].sum()
    changed = (with_draws.audience["offer_name"] != without.audience["offer_name"]).sum()
    assert changed <= explored
    lost = without.offers["expected_value"].sum() - with_draws.offers["expected_value"].sum()
    assert with_draws.offers["exploration_cost"].sum() == pytest.approx(lost)


def test_the_same_salt_gives_the_same_draws_and_another_one_others() -> None:
    frame, book = people(400, 1), offers_playbook()
    first, again, other = (plan(frame, book, salt=salt).audience for salt in ("s", "s", "t"))
    pd.testing.assert_frame_equal(first, again)
    assert (first["offer_name"] != other.set_index("customer_id").loc[
        first["customer_id"], "offer_name"
    ].to_numpy()).any()  # fmt: skip


def drawn_with(salt: str, **changes: object) -> CampaignPlan:
    return plan(people(80, 2), offers_playbook(**changes), salt=salt)


@pytest.mark.parametrize("gifts", [None, 6])
def test_logged_probabilities_are_those_of_the_draw(gifts: int | None) -> None:
    changes = {"offers": with_places(gift=gifts), "control_share": 0.2, "exploration_share": 0.5}
    weights: Counter[tuple[str, str]] = Counter()
    squares: Counter[tuple[str, str]] = Counter()
    salts = 400
    for number in range(salts):
        audience = drawn_with(str(number), **changes).audience
        for row in audience.itertuples():
            weights[row.customer_id, row.offer_name] += 1 / row.propensity
            squares[row.customer_id, row.offer_name] += 1 / row.propensity**2
    customers = sorted({customer for customer, _ in weights})
    assert len(customers) == len(audience)
    # 1 / propensity averages 1 for every offer that everybody could get at any time.
    for offer in ("nothing", "note", "code") + (("gift",) if gifts is None else ()):
        errors = []
        for customer in customers:
            mean = weights[customer, offer] / salts
            deviation = np.sqrt(squares[customer, offer] / salts - mean**2) / np.sqrt(salts)
            errors.append((mean - 1) / deviation)
        assert np.abs(errors).max() < 4.5
        assert abs(np.mean(errors)) < 4 / np.sqrt(len(customers))


def test_a_member_keeps_the_probabilities_of_all_offers_that_could_be_drawn() -> None:
    frame = people(300, 6)
    context = facts(sorted(frame["customer_id"]), 6)
    book = offers_playbook(offers=with_places(gift=12), control_share=0.2, exploration_share=0.5)
    planned = plan(frame, book, context=context)
    assert context.consent is not None
    for row in planned.audience.itertuples():
        chances = json.loads(row.propensities)
        assert sum(chances.values()) == pytest.approx(1.0)
        assert chances[row.offer_name] == row.propensity
        assert chances["nothing"] == 0.2
        assert ("gift" not in chances) or context.consent.loc[row.customer_id, "direct_mail"]
    again = plan(frame, book, context=context, previous=planned.audience, at=dt.date(2018, 1, 3))
    key, kept = ["customer_id", "propensities"], again.audience["change"] == "kept"
    pd.testing.assert_frame_equal(
        planned.audience[key].sort_values("customer_id", ignore_index=True),
        again.audience.loc[kept, key].sort_values("customer_id", ignore_index=True),
    )


def test_explorers_get_all_open_offers_equally_often() -> None:
    counts: Counter[str] = Counter()
    explored = 0
    for number in range(60):
        planned = plan(people(400, 3), offers_playbook(exploration_share=0.4), salt=str(number))
        counts.update(
            dict(zip(planned.offers["offer_name"], planned.offers["explored"], strict=True))
        )
        explored += int(planned.offers["explored"].sum())
    for offer in OFFERS:
        share = counts[str(offer["name"])] / explored
        assert share == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / explored))
