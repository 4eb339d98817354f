"""Playbooks with several offers: who gets which, by priority and by value."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from campaigns.customer_context import CustomerContext
from campaigns.planning import CampaignPlan
from campaigns.playbook import Playbook
from campaigns.playbook_loading import load_playbook
from features.config.customers import ContactPolicy
from features.errors import UserError
from tests.campaigns.campaign_examples import SNAPSHOT, plan, playbook, scores
from tests.campaigns.offer_examples import OFFERS, facts, offers_playbook, with_places
from tests.tries import tries

LATER = SNAPSHOT + dt.timedelta(days=7)


def three(**columns: Any) -> pd.DataFrame:
    """Three lapsed customers whose next order would be worth 400, 100 and 20."""
    return pd.DataFrame(
        {
            "customer_id": ["a", "b", "c"],
            "stage": "lapsed",
            "p_reactivate": 1.0,
            "clv": [400.0, 100.0, 20.0],
            "average_order_value": [40.0, 10.0, 2.0],
            "p_any_order": 0.5,
            "clv_horizon_days": 60.0,
            **columns,
        }
    )


def offer_of(planned: CampaignPlan) -> dict[str, str]:
    members = planned.audience[planned.audience["change"] != "removed"]
    return dict(zip(members["customer_id"], members["offer_name"], strict=True))


def value_policy(**changes: Any) -> CustomerContext:
    return CustomerContext(policy=ContactPolicy.model_validate({"objective": "value", **changes}))


def test_each_customer_gets_the_offer_that_earns_most_or_nothing() -> None:
    book = offers_playbook(control_share=0, exploration_share=0, contact_cost=0.5)
    # note 5 % - .5; code 30 % - half an order's tenth - .5; gift 40 % - 4
    worth = {"a": (19.5, 117.5, 156.0), "b": (4.5, 29.0, 36.0), "c": (0.5, 5.4, 4.0)}
    for context in (None, value_policy()):
        planned = plan(three(), book, context=context)
        assert offer_of(planned) == {"a": "gift", "b": "gift", "c": "code"}
        expected = planned.audience.set_index("customer_id")["expected_value"]
        for customer, best in (("a", 2), ("b", 2), ("c", 1)):
            assert expected[customer] == pytest.approx(worth[customer][best])
        assert set(planned.audience["channel"]) == {"letter", "email"}
    costly = offers_playbook(
        contact_cost=50.0, offers=OFFERS[:2], control_share=0, exploration_share=0
    )
    planned = plan(three(), costly)
    assert offer_of(planned) == {"a": "code"}
    assert planned.why["back"].tolist() == ["", *["expected value not positive"] * 2]


def test_a_scarce_offer_goes_by_rank_or_to_those_who_gain_most() -> None:
    book = offers_playbook(offers=with_places(gift=1), control_share=0, exploration_share=0)
    assert offer_of(plan(three(), book)) == {"a": "gift", "b": "code", "c": "code"}
    # By value: the gift is worth 38.5 more than the code to a, and 7 more to b.
    planned = plan(three(), book, context=value_policy())
    assert offer_of(planned) == {"a": "gift", "b": "code", "c": "code"}
    gift = planned.offers.set_index("offer_name").loc["gift"]
    assert (gift["members"], gift["capacity"]) == (1, 1)
    assert gift["place_price"] == pytest.approx(7.0, abs=0.1)
    alone = offers_playbook(offers=[with_places(gift=1)[2]], control_share=0, exploration_share=0)
    planned = plan(three(), alone)
    assert offer_of(planned) == {"a": "gift"}
    assert planned.why["back"].tolist() == ["", "capacity reached", "capacity reached"]


def test_a_member_keeps_the_offer_and_its_propensity_and_leaves_if_it_may_not_be_sent() -> None:
    book = offers_playbook(control_share=0.4, exploration_share=0.5)
    frame = pd.concat([three().assign(customer_id=[f"{n}{x}" for x in "abc"]) for n in range(9)])
    first = plan(frame, book)
    again = plan(frame, book, at=LATER, previous=first.audience)
    columns = ["customer_id", "arm", "offer_name", "propensity", "channel"]
    treated = first.audience[first.audience["arm"] == "treatment"]
    kept = again.audience[again.audience["arm"] == "treatment"]
    pd.testing.assert_frame_equal(
        treated[columns].sort_values("customer_id", ignore_index=True),
        kept[columns].sort_values("customer_id", ignore_index=True),
    )
    fewer = offers_playbook(offers=OFFERS[:2], control_share=0.4, exploration_share=0)
    planned = plan(frame, fewer, at=LATER, previous=first.audience)
    had_gift = treated.loc[treated["offer_name"] == "gift", "customer_id"]
    rows = planned.audience.set_index("customer_id").loc[had_gift]
    assert len(had_gift)
    assert set(rows["change"]) == {"removed"}
    assert rows["reasons"].str.contains("no longer in the playbook").all()
    assert set(rows["offer_name"]) == {"gift"}


@settings(max_examples=tries(12), deadline=None)
@given(
    seed=st.integers(0, 10_000),
    gifts=st.one_of(st.none(), st.integers(1, 20)),
    capacity=st.one_of(st.none(), st.integers(1, 60)),
    budget=st.one_of(st.none(), st.floats(0, 200)),
)
def test_by_priority_each_in_turn_takes_the_best_that_is_left(
    seed: int, gifts: int | None, capacity: int | None, budget: float | None
) -> None:
    frame = scores(120, seed=seed).assign(p_any_order=0.5, clv_horizon_days=60.0)
    frame = frame.sort_values("customer_id", ignore_index=True)
    context = facts(list(frame["customer_id"]), seed)
    book = offers_playbook(
        offers=with_places(gift=gifts, code=15),
        capacity=capacity,
        budget=budget,
        control_share=0,
        exploration_share=0,
    )
    planned = plan(frame, book, context=context)
    assert offer_of(planned) == in_turn(frame, book, context)


def in_turn(frame: pd.DataFrame, book: Playbook, context: CustomerContext) -> dict[str, str]:
    """The same plan by a loop over customers, best first."""
    consent, past, contacts = (
        table.to_dict("index") for table in (context.consent, context.past, context.contacts)
    )
    places = {named.name: named.capacity or 10**9 for named in book.offers}
    people = []
    for row in frame.itertuples():
        if row.stage != "lapsed" or np.isnan(row.p_reactivate):
            continue
        people.append((-row.p_reactivate * row.clv, row))
    spent, taken = 0.0, {}
    for _, row in sorted(people, key=lambda pair: (pair[0], pair[1].customer_id)):
        best: tuple[float, str, float] | None = None
        for named in book.offers:
            channel = str(named.channel or "email")
            full_price = next(iter(past[row.customer_id].values()))
            planned = contacts[row.customer_id]
            if (
                not consent[row.customer_id]["direct_mail" if channel == "letter" else channel]
                or (named.discount and full_price)
                or planned[0] >= 2
                or (channel == "letter" and planned[1] >= 1)
                or not places[named.name]
            ):
                continue
            cost = named.discount * 0.5 * row.average_order_value
            cost += book.contact_cost if named.contact_cost is None else named.contact_cost
            worth = (named.incremental_share or 0) * row.p_reactivate * row.clv - cost
            if worth > 0 and (best is None or worth > best[0]):
                best = (worth, named.name, cost)
        if best is None:
            continue
        if book.capacity is not None and len(taken) >= book.capacity:
            break
        spent += best[2]
        if book.budget is not None and spent > book.budget * (1 + 1e-9):
            break
        taken[row.customer_id] = best[1]
        places[best[1]] -= 1
    return taken


def test_by_value_the_assignment_is_at_least_that_of_any_single_offer() -> None:
    frame = scores(400, seed=3).assign(p_any_order=0.5, clv_horizon_days=60.0)
    context = facts(list(frame["customer_id"]), 3, objective="value", budget=120.0)
    book = offers_playbook(control_share=0, exploration_share=0)
    total = plan(frame, book, context=context).solution
    assert total is not None
    for number in range(3):
        single = offers_playbook(offers=[OFFERS[number]], control_share=0, exploration_share=0)
        alone = plan(frame, single, context=context).solution
        assert alone is not None
        assert total.value >= alone.value - 1e-6
    assert total.gap < 1e-4


def test_the_plan_says_per_offer_what_it_takes_and_by_which_knowledge() -> None:
    book = offers_playbook(control_share=0.3, exploration_share=0.4)
    frame = scores(600, seed=5).assign(p_any_order=0.5, clv_horizon_days=60.0)
    planned = plan(frame, book)
    table, members = planned.offers.set_index("offer_name"), planned.audience
    assert list(table.index) == ["note", "code", "gift", "nothing"]
    assert table["members"].to_dict() == members["offer_name"].value_counts().reindex(
        table.index, fill_value=0
    ).to_dict()  # fmt: skip
    row = planned.table.iloc[0]
    assert (table.loc["nothing", "members"], table["members"].sum()) == (
        row["control"],
        row["members"],
    )
    assert table["expected_value"].sum() == pytest.approx(row["expected_value"])
    assert set(table.loc[["note", "code", "gift"], "value_label"]) == {
        "an assumed share of the response"
    }
    assert "note 5%, code 30%, gift 40%" in row["value_means"]
    assert table["exploration_cost"].sum() > 0
    costs = {"note": 0.5, "code": 0.5, "gift": 4.0}
    assert row["cost"] == pytest.approx(sum(table.loc[n, "members"] * c for n, c in costs.items()))


def test_known_effects_of_offers_replace_their_assumed_shares() -> None:
    frame = three(uplift=['{"note@back": 0.5, "gift@back": -0.1}', None, None])
    book = offers_playbook(control_share=0, exploration_share=0)
    planned = plan(frame, book)
    # a: .5 x 40 - .5 by the note; the code is only assumed to bring 30 % of 400.
    assert offer_of(planned)["a"] == "code"
    dear = offers_playbook(control_share=0, exploration_share=0, offers=[OFFERS[0], OFFERS[2]])
    assert offer_of(plan(frame, dear)) == {"a": "note", "b": "gift", "c": "gift"}
    labels = plan(frame, dear).offers.set_index("offer_name")["value_label"]
    assert labels["note"] == "uplift"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offer": {"text": "x"}}, "either `offer` or `offers`"),
        ({"offers": []}, "either `offer` or `offers`"),
        ({"offers": [OFFERS[0], OFFERS[0]]}, "a name of its own"),
        ({"offers": [{**OFFERS[0], "name": "nothing"}]}, "other than 'nothing'"),
        ({"control_share": 0}, "exploring needs a control arm"),
        ({"offers": [{"name": "x", "text": "x"}]}, "offer 'x' needs `incremental_share`"),
        ({"kind": "service", "control_share": 0}, "belong to promotional campaigns"),
        ({"offers": (), "offer": {"text": "x"}}, "`exploration_share` belongs to"),
    ],
)
def test_a_playbook_whose_offers_do_not_fit_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        offers_playbook(**changes)


def test_a_misspelt_key_of_an_offer_is_named_with_the_keys_there_are(tmp_path: Any) -> None:
    content = playbook().model_dump(mode="json", exclude_none=True, exclude={"offer", "offers"})
    content["audience"] = {"column": "p_reactivate", ">=": 0.1}
    content["offers"] = [{"name": "note", "text": "A note", "txt": "", "incremental_share": 0.1}]
    file = tmp_path / "book.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"offers\.0\.txt: found an unknown key[^$]*capacity"):
        load_playbook(file)


def test_a_campaign_with_one_of_its_offers_alone_plans_as_without_names() -> None:
    frame = scores(300, seed=8).assign(p_any_order=0.5, clv_horizon_days=60.0)
    for objective, number in itertools.product(("priority", "value"), range(3)):
        context = facts(list(frame["customer_id"]), 8, objective=objective, budget=150.0)
        named = OFFERS[number]
        one = offers_playbook(offers=[named], exploration_share=0)
        value = {"product": ["p_reactivate", "clv"], "means": "an order",
                 "incremental_share": named["incremental_share"]}  # fmt: skip
        plain = offers_playbook(
            offers=(),
            exploration_share=0,
            offer={"text": named["text"], "discount": named.get("discount", 0)},
            channel=named.get("channel", "email"),
            contact_cost=named.get("contact_cost", 0.5),
            value=value,
        )
        left, right = (plan(frame, book, context=context).audience for book in (one, plain))
        # Only offers that earn their cost are planned; a single offer by priority goes to all.
        right = right[(right["expected_value"] > 0) | (objective == "value")]
        shared = ["customer_id", "arm", "channel", "expected_value"]
        if objective == "value":
            pd.testing.assert_frame_equal(left[shared], right[shared])
        else:
            assert set(right["customer_id"]) <= set(left["customer_id"])


def test_entering_a_stage_and_a_rising_risk_start_a_campaign_with_the_best_offer() -> None:
    book = offers_playbook(
        trigger=[
            {"when": "stage_entered", "stage": "lapsed", "within_days": 7},
            {"when": "score_risen", "column": "p_churn"},
        ],
        control_share=0,
        exploration_share=0,
        contact_cost=0.5,
    )
    now = pd.Timestamp(SNAPSHOT)
    since = [now - pd.Timedelta(days=2), now - pd.Timedelta(days=90), now - pd.Timedelta(days=90)]
    frame = three(
        stage_since=since, stage_change_cause="clock", previous_stage="retention", p_churn=0.6
    )
    before = pd.DataFrame({"customer_id": ["a", "b", "c"], "p_churn": [0.6, 0.4, 0.6]})
    context = CustomerContext(previous_scores=before)
    planned = plan(frame, book, context=context)
    # a has just lapsed, the risk of b has risen, nothing happened to c.
    assert offer_of(planned) == {"a": "gift", "b": "gift"}
    risen = planned.offer_choices["back"].sentences(1)
    assert risen[0].startswith("Expected value of a contact")
    assert "gift 36.00, code 29.00, note 4.50, nothing 0.00" in risen[0]
    assert risen[1] == "gift is expected to earn most"
    # The next day b is worth less: the offer is chosen at that moment, from what is known then.
    poorer = three(
        stage_since=since, stage_change_cause="clock", previous_stage="retention", p_churn=0.6,
        clv=[20.0, 20.0, 20.0], average_order_value=2.0,
    )  # fmt: skip
    assert offer_of(plan(poorer, book, context=context)) == {"a": "code", "b": "code"}


def test_why_names_draws_missing_places_and_forbidden_offers() -> None:
    customers = [f"c{number:05d}" for number in range(200)]
    planned = plan(
        scores(),
        offers_playbook(offers=with_places(gift=3, code=10, note=None)),
        context=facts(customers, 1),
    )
    choice = planned.offer_choices["back"]
    spoken = {}
    for row in planned.audience.itertuples():
        position = planned.customers.get_loc(row.customer_id)
        sentence = choice.sentences(position)[1]
        spoken[sentence.split(":")[0].split(",")[0]] = sentence
        if row.arm == "control":
            assert sentence.startswith("Held out at random")
        elif choice.explored[position]:
            assert sentence.startswith(f"{row.offer_name} was drawn at random")
        else:
            assert sentence.startswith(str(row.offer_name))
    assert any("no place is left" in sentence for sentence in spoken.values())
    texts = [choice.sentences(position)[0] for position in range(len(planned.customers))]
    assert any("not allowed" in text for text in texts)
