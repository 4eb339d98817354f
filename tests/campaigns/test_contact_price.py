"""The price of one more contact: recovered where it is known, stated where messages are few."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.contact_price import Estimate, Fatigue, contact_prices, learned_fatigue
from campaigns.customer_context import CustomerContext
from features.config.customers import ContactPolicy
from tests.campaigns.campaign_examples import plan, scores
from tests.campaigns.offer_examples import offers_playbook

RISK, GROWTH, DROP, NATURAL = 0.003, 0.25, 0.06, 0.0001
DAYS = 30


def history(people: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Messages drawn day by day, with answers, and withdrawals with and without them."""
    rng = np.random.default_rng(seed)
    at, end = 400, 390
    liveliness = rng.gamma(2.0, 0.1, people)
    # Lively customers get more messages: a naive comparison would see answers rise.
    pace = 0.03 + 0.25 * liveliness
    sends, withdrawals = [], []
    for person in range(people):
        days: list[int] = []
        gone = rng.geometric(NATURAL)
        for day in range(end):
            if day >= gone:
                withdrawals.append((person, day))
                break
            if rng.random() >= pace[person]:
                continue
            contacts = sum(day - earlier <= DAYS for earlier in days)
            answer = rng.random() < liveliness[person] * (1 - DROP) ** contacts
            sends.append((person, day, contacts, answer))
            days.append(day)
            if rng.random() < RISK * np.exp(GROWTH * contacts):
                withdrawals.append((person, day + int(rng.integers(0, 3))))
                break
    return (
        pd.DataFrame(sends, columns=["customer_id", "day", "contacts", "answered"]),
        pd.DataFrame(withdrawals, columns=["customer_id", "day"]),
        at,
    )


def learned(people: int, seed: int) -> Fatigue:
    sends, withdrawals, at = history(people, seed)
    return learned_fatigue(sends, withdrawals, at=at, stated_risk=0.5, stated_drop=0.5)


def covers(estimate: Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


def test_risk_growth_and_drop_are_recovered_within_their_intervals() -> None:
    runs = [learned(1500, seed) for seed in range(100, 112)]
    assert all(run.learned_risk and run.learned_drop for run in runs)
    # 95 % intervals: of 12, all but two at most.
    assert sum(covers(run.opt_out, RISK) for run in runs) >= 10
    assert sum(covers(run.growth, GROWTH) for run in runs) >= 10
    assert sum(covers(run.drop, DROP) for run in runs) >= 10
    assert np.mean([run.growth.value for run in runs]) == pytest.approx(GROWTH, abs=0.04)
    assert np.mean([run.drop.value for run in runs]) == pytest.approx(DROP, abs=0.02)
    assert "learned from" in runs[0].sentence


def test_few_messages_take_what_is_stated() -> None:
    sends, withdrawals, at = history(20, 1)
    few = learned_fatigue(sends, withdrawals, at=at, stated_risk=0.002, stated_drop=0.03)
    assert (few.learned_risk, few.learned_drop) == (False, False)
    assert few.risk(np.array([0.0, 9.0])).tolist() == [0.002, 0.002]
    assert few.drop == Estimate.stated(0.03)
    assert few.sentence.count("stated, not learned") == 2
    nothing = learned_fatigue(sends.iloc[:0], None, at=at, stated_risk=0.002, stated_drop=0.03)
    assert nothing.sends == nothing.opt_outs == 0


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0, 1e4), st.floats(0.01, 1))
def test_a_price_rises_with_contacts_and_with_what_is_at_stake(
    few: int, more: int, clv: float, share: float
) -> None:
    fatigue = Fatigue(
        Estimate.stated(0.002), Estimate.stated(0.1), Estimate.stated(0.002), Estimate.stated(0.02),
        0, 0, 0, True, True,
    )  # fmt: skip
    rows = pd.DataFrame(
        {"customer_id": ["a", "b"], "clv": [clv, clv], "clv_horizon_days": [60.0, 60.0]}
    )
    contacts = pd.Series([min(few, more), max(few, more)], index=["a", "b"])
    low, high = contact_prices(
        fatigue, rows, contacts, margin=np.ones(2), lost_share=share, days=DAYS
    )
    assert 0 <= low <= high
    # share x clv x (risk + drop of the answers for half of the horizon)
    expected = share * clv * (0.002 * np.exp(0.1 * min(few, more)) + 0.02 / 2)
    assert low == pytest.approx(expected)


def test_the_plan_takes_the_price_off_each_contact_and_not_off_the_budget() -> None:
    frame = scores()
    book = offers_playbook(exploration_share=0)
    prices = pd.Series(0.75, index=pd.Index(frame["customer_id"]))
    policy = ContactPolicy.model_validate({"suppress": {}})
    free = plan(frame, book, context=CustomerContext(policy=policy))
    priced = plan(frame, book, context=CustomerContext(policy=policy, contact_prices=prices))
    both = free.audience.merge(priced.audience, on="customer_id", suffixes=("", "_priced"))
    assert len(both)
    same = both[both["offer_name"] == both["offer_name_priced"]]
    difference = same["expected_value"] - same["expected_value_priced"]
    assert difference.to_numpy() == pytest.approx(0.75)
    costs = [planned.offers.set_index("offer_name")["cost"] for planned in (free, priced)]
    if len(both) == len(free.audience) == len(priced.audience):
        pd.testing.assert_series_equal(*costs)
    assert priced.contact_price == pytest.approx(0.75)
    assert free.contact_price is None


def test_a_price_above_the_value_leaves_nothing_to_send() -> None:
    frame = scores()
    prices = pd.Series(1e6, index=pd.Index(frame["customer_id"]))
    context = CustomerContext(
        policy=ContactPolicy.model_validate({"suppress": {}, "objective": "value"}),
        contact_prices=prices,
    )
    assert plan(frame, offers_playbook(exploration_share=0), context=context).audience.empty
