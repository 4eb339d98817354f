from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.customer_context import CustomerContext
from campaigns.expected_value import RESPONSE_LABEL
from campaigns.holdout import in_global_holdout
from campaigns.membership import AUDIENCE_COLUMNS
from campaigns.planning import CampaignPlan
from campaigns.playbook import Playbook
from campaigns.playbook_loading import load_playbooks
from features.config.customers import Cap, ContactPolicy, GlobalHoldout
from features.errors import UserError
from tests.campaigns.campaign_examples import SNAPSHOT, TAXONOMY, plan, playbook, scores
from tests.tries import tries

FOLDER = Path(__file__).parents[2] / "configs" / "campaigns"
SHIPPED = [FOLDER / "win_back.yaml", FOLDER / "save_valuable_customers.yaml"]
FEBRUARY, MARCH = dt.date(2018, 2, 1), dt.date(2018, 3, 5)


def members(made: CampaignPlan, campaign: str = "back") -> pd.DataFrame:
    rows = made.audience
    rows = rows[(rows["campaign_id"] == campaign) & (rows["change"] != "removed")]
    return rows.set_index("customer_id")


def removed(made: CampaignPlan) -> pd.DataFrame:
    return made.audience[made.audience["change"] == "removed"].set_index("customer_id")


def last_word(*plans: CampaignPlan) -> pd.DataFrame:
    rows = pd.concat([made.audience for made in plans]).sort_values("snapshot_at")
    return rows.drop_duplicates(["campaign_id", "customer_id"], keep="last")


def test_the_shipped_playbooks_end_in_audiences_with_a_control_arm() -> None:
    made = plan(scores(2000), *load_playbooks(SHIPPED))
    table = made.table.set_index("campaign_id")
    assert (table[["treatment", "control"]] > 0).all(axis=None)
    assert (table["treatment"] + table["control"] == table["members"]).all()
    assert (table["value_label"] == RESPONSE_LABEL).all()
    assert made.plan_only
    rows = scores(2000).set_index("customer_id")
    saved = rows.loc[members(made, "save_valuable_customers").index]
    assert (saved["stage"] == "retention").all()
    assert (saved["churn_band"] == "high").all()
    assert saved["value_tier"].isin(["top", "mid"]).all()
    back = rows.loc[members(made, "win_back").index]
    assert (back["stage"] == "lapsed").all()
    recent = (pd.Timestamp(SNAPSHOT) - back["stage_since"]).dt.days <= TAXONOMY.parameters["L"]
    assert (recent | back["flags"].str.contains("reengaging")).all()
    assert not back["flags"].str.contains("unresponsive").any()


def test_rank_follows_the_product_and_ties_follow_the_id() -> None:
    frame = pd.DataFrame(
        {
            "customer_id": ["d", "a", "c", "b"],
            "stage": "lapsed",
            "p_reactivate": [0.5, 0.2, 0.25, 0.9],
            "clv": [10.0, 25.0, 20.0, None],
        }
    )
    made = plan(frame, playbook())
    assert list(members(made).index) == ["a", "c", "d", "b"]
    assert list(made.audience["rank"]) == [1, 2, 3, 4]
    # 0.2 x 25 x (1 - 20 %) - 0.5
    assert made.audience["expected_value"].iloc[0] == pytest.approx(3.5)
    assert pd.isna(made.audience["expected_value"].iloc[3])


def test_selection_comes_before_randomisation() -> None:
    free = plan(scores(), playbook())
    tight = plan(scores(), playbook(capacity=20))
    assert list(members(tight).index) == list(members(free).index[:20])
    # The same person has the same arm, whoever else is selected.
    assert list(members(tight)["arm"]) == list(members(free)["arm"][:20])
    counted = tight.exclusions.set_index("reason")["customers"]
    assert counted["capacity reached"] == len(members(free)) - 20


@settings(max_examples=tries(15), deadline=None)
@given(
    n=st.integers(1, 60),
    seed=st.integers(0, 10_000),
    capacity=st.none() | st.integers(1, 20),
    share=st.sampled_from([0.0, 0.2, 0.5]),
    expires=st.integers(1, 60),
    rest=st.integers(0, 60),
)
def test_invariants_of_three_snapshots_in_a_row(
    n: int, seed: int, capacity: int | None, share: float, expires: int, rest: int
) -> None:
    changes: dict[str, Any] = {
        "control_share": share,
        "capacity": capacity,
        "expires_days": expires,
        "re_entry_days": rest,
    }
    books = [
        playbook(**changes),
        playbook(campaign="next", priority=20, audience={"column": "clv", ">": 50}, **changes),
    ]
    plans: list[CampaignPlan] = []
    for step, at in enumerate((SNAPSHOT, FEBRUARY, MARCH)):
        frame = scores(n, seed=seed + step)
        previous = last_word(*plans) if plans else None
        made = plan(frame, *books, at=at, previous=previous)
        again = plan(frame.sample(frac=1, random_state=0), *books[::-1], at=at, previous=previous)
        pd.testing.assert_frame_equal(made.audience, again.audience)
        staying = made.audience[made.audience["change"] != "removed"]
        assert not staying["customer_id"].duplicated().any()
        assert set(staying["customer_id"]) <= set(frame["customer_id"])
        for book in books:
            mine = members(made, book.campaign)
            assert capacity is None or len(mine) <= capacity
            left_out = made.exclusions.set_index("campaign_id")["customers"]
            assert left_out.get(book.campaign, pd.Series([0])).sum() + len(mine) == n
            assert (mine["expires_at"] > pd.Timestamp(at)).all()
            assert (mine["entered_at"] <= pd.Timestamp(at)).all()
            if previous is not None:
                before = previous[previous["campaign_id"] == book.campaign]
                before = before[before["change"] != "removed"].set_index("customer_id")
                kept = mine[mine["change"] == "kept"]
                assert set(kept.index) <= set(before.index)
                for column in ("arm", "entered_at", "expires_at"):
                    assert (kept[column] == before.loc[kept.index, column]).all()
                gone = removed(made)
                gone = gone[gone["campaign_id"] == book.campaign]
                assert set(gone.index) | set(kept.index) == set(before.index)
        plans.append(made)


def lapsed(*customers: str, p: float = 0.5) -> pd.DataFrame:
    return pd.DataFrame(
        {"customer_id": list(customers), "stage": "lapsed", "p_reactivate": p, "clv": 10.0}
    )


def test_members_are_added_kept_and_removed_with_the_reason() -> None:
    first = plan(lapsed("a", "b", "c"), playbook())
    assert set(first.audience["change"]) == {"added"}
    now = lapsed("a", "b", "d").assign(stage=["lapsed", "retention", "lapsed"])
    second = plan(now, playbook(), at=FEBRUARY, previous=last_word(first))
    changes = second.audience.set_index("customer_id")["change"]
    assert changes.to_dict() == {"a": "kept", "d": "added", "b": "removed", "c": "removed"}
    assert members(second).loc["a", "entered_at"] == pd.Timestamp(SNAPSHOT)
    assert removed(second)["reasons"].to_dict() == {
        "b": "not in stage lapsed",
        "c": "no longer scored",
    }
    assert removed(second)["rank"].isna().all()


def test_a_membership_expires_and_the_customer_rests_before_coming_again() -> None:
    book = playbook(expires_days=31, re_entry_days=30)
    first = plan(lapsed("a"), book)
    second = plan(lapsed("a"), book, at=FEBRUARY, previous=last_word(first))
    assert removed(second).loc["a", "reasons"] == "left: membership expired"
    third = plan(lapsed("a"), book, at=dt.date(2018, 3, 2), previous=last_word(first, second))
    assert len(third.audience) == 0
    assert list(third.exclusions["reason"]) == ["left less than 30 days ago"]
    fourth = plan(
        lapsed("a"), book, at=dt.date(2018, 3, 3), previous=last_word(first, second, third)
    )
    assert list(fourth.audience["change"]) == ["added"]
    assert members(fourth).loc["a", "entered_at"] == pd.Timestamp("2018-03-03")


@settings(max_examples=tries(4), deadline=None)
@given(seed=st.integers(0, 10_000))
def test_over_months_of_nights_a_customer_has_one_arm_in_a_campaign(seed: int) -> None:
    """Audiences change, shares change, ids disappear in others: who is held out stays so."""
    rng = np.random.default_rng(seed)
    people = [f"c{i}" for i in range(120)]
    last_rows: pd.DataFrame | None = None
    arm_of: dict[tuple[str, str], str] = {}
    holdout = GlobalHoldout(share=0.1, until=dt.date(2019, 1, 1))
    kept_out = set(np.array(people)[in_global_holdout(people, holdout, salt="s")])
    assert kept_out
    policy = ContactPolicy(global_holdout=holdout)
    for night in range(0, 120, 2):
        share = 0.5 if night < 60 else 0.1
        if night % 30 == 0:  # a CRM joins two ids: the one goes, the other stays
            people.remove(str(rng.choice(people)))
        here = [name for name in people if rng.random() < 0.8]
        frame = lapsed(*here).assign(
            stage=rng.choice(["lapsed", "retention"], len(here), p=[0.7, 0.3]),
            p_reactivate=rng.uniform(0, 1, len(here)),
        )
        books = [
            playbook(control_share=share, expires_days=9, re_entry_days=3, capacity=60),
            playbook(campaign="next", priority=20, control_share=0.2, expires_days=20),
        ]
        at = SNAPSHOT + dt.timedelta(days=night)
        context = CustomerContext(policy=policy)
        made = plan(frame, *books, at=at, previous=last_rows, context=context)
        for row in made.audience.itertuples():
            assert arm_of.setdefault((row.campaign_id, row.customer_id), row.arm) == row.arm
            assert row.customer_id not in kept_out
        parts = [made.audience] if last_rows is None else [last_rows, made.audience]
        last_rows = pd.concat(parts).drop_duplicates(["campaign_id", "customer_id"], keep="last")
    assert set(arm_of.values()) == {"treatment", "control"}
    assert len(arm_of) > 100


def test_a_campaign_that_gives_up_its_control_arm_reaches_who_was_held_out() -> None:
    book = playbook(control_share=0.9, expires_days=31, re_entry_days=0)
    first = plan(lapsed(*"abcdefgh"), book)
    held = set(members(first).query("arm == 'control'").index)
    assert held
    later = {"at": dt.date(2018, 2, 3), "previous": last_word(first)}
    left = plan(lapsed(*"abcdefgh").assign(stage="retention"), book, at=FEBRUARY,
                previous=last_word(first))  # fmt: skip
    later["previous"] = last_word(first, left)
    again = plan(lapsed(*"abcdefgh"), book, **later)
    assert set(members(again).query("arm == 'control'").index) == held
    rolled_out = plan(lapsed(*"abcdefgh"), book.model_copy(update={"control_share": 0.0}), **later)
    assert set(members(rolled_out)["arm"]) == {"treatment"}


def test_with_an_exit_rule_a_member_may_waver_about_the_entry_rule() -> None:
    book = playbook(exit_on={"column": "p_reactivate", "<": 0.01})
    first = plan(lapsed("a", "b"), book)
    now = lapsed("a", "b").assign(p_reactivate=[0.05, 0.001])
    second = plan(now, book, at=FEBRUARY, previous=last_word(first))
    assert list(members(second).index) == ["a"]
    assert list(removed(second).index) == ["b"]


def test_members_hold_their_places_against_better_newcomers() -> None:
    book = playbook(capacity=1)
    first = plan(lapsed("a"), book)
    now = lapsed("a", "b").assign(clv=[1.0, 1000.0])
    second = plan(now, book, at=FEBRUARY, previous=last_word(first))
    assert list(members(second).index) == ["a"]


def test_one_promotional_campaign_a_person_and_service_beside_it() -> None:
    books = [
        playbook(campaign="late", priority=30),
        playbook(campaign="early", priority=5, capacity=1),
        playbook(campaign="care", priority=40, kind="service", control_share=0),
    ]
    made = plan(lapsed("a", "b"), *books)
    assert list(members(made, "early").index) == ["a"]
    assert list(members(made, "late").index) == ["b"]
    assert list(members(made, "care").index) == ["a", "b"]
    assert (members(made, "care")["arm"] == "treatment").all()
    reasons = made.exclusions.set_index("campaign_id")["reason"]
    assert reasons["late"] == "in campaign early"


def test_nobody_eligible_gives_an_empty_typed_audience() -> None:
    made = plan(lapsed("a", p=0.0), playbook())
    assert made.audience.dtypes.astype(str).to_dict() == AUDIENCE_COLUMNS
    assert len(made.audience) == 0
    assert made.table["smallest_detectable_effect"].isna().all()
    none: list[Playbook] = []
    assert len(plan(lapsed("a"), *none).table) == 0


def test_missing_scores_shut_nobody_out_in_silence() -> None:
    made = plan(lapsed("a", "b").drop(columns="p_reactivate"), playbook())
    assert list(made.exclusions["reason"]) == [
        "rule not met: chance of coming back is at least 10 %"
    ]
    assert list(made.exclusions["customers"]) == [2]


def test_wrong_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        plan(lapsed("a", "a"), playbook())
    first = plan(lapsed("a"), playbook())
    with pytest.raises(ValueError, match="previous"):
        plan(lapsed("a"), playbook(), previous=first.audience)
    with pytest.raises(UserError, match="numbers"):
        plan(lapsed("a").assign(clv="much"), playbook())


def told(*effects: float | None) -> list[str | None]:
    """The scored column `uplift` with what is known of the campaign `back`."""
    return [None if effect is None else json.dumps({"back": effect}) for effect in effects]


def test_where_uplift_is_known_it_ranks_and_who_is_not_moved_stays_out() -> None:
    frame = lapsed("a", "b", "c", "d").assign(
        average_order_value=[100.0, 100.0, 100.0, None],
        clv=[1.0, 2.0, 3.0, 4.0],
        uplift=told(0.02, 0.10, -0.01, 0.05),
    )
    book = playbook(offer={"text": "come back"}, contact_cost=0.5)
    made = plan(frame, book, context=CustomerContext(policy=ContactPolicy(margin=0.4)))
    found = members(made)
    # 0.4 x uplift x order value - 0.5; who never ordered is taken for the average.
    assert found["expected_value"].to_dict() == pytest.approx({"b": 3.5, "d": 1.5, "a": 0.3})
    assert list(found.index) == ["b", "d", "a"]
    assert made.why["back"][2] == "the message would earn less than it costs (by uplift)"
    assert list(made.table["value_label"]) == ["uplift"]


def test_where_it_is_known_of_some_the_others_follow_and_the_plan_says_so() -> None:
    frame = lapsed("a", "b", "c").assign(
        average_order_value=10.0, clv=[1.0, 900.0, 90.0], uplift=told(0.2, None, None)
    )
    made = plan(frame, playbook())
    assert list(members(made).index) == ["a", "b", "c"]
    assert list(made.table["value_label"]) == ["uplift; response where it is unknown"]
    unknown = plan(frame.assign(uplift=told(None, None, None)), playbook())
    assert list(members(unknown).index) == ["b", "c", "a"]
    assert list(unknown.table["value_label"]) == [RESPONSE_LABEL]


def test_each_customers_own_margin_counts_and_a_playbooks_own_holds_for_all() -> None:
    margins = pd.Series({"a": 0.5, "b": 0.1})
    context = CustomerContext(policy=ContactPolicy(margin=0.2), margins=margins)
    free = {"offer": {"text": "hello"}, "contact_cost": 0}
    made = plan(lapsed("a", "b", "c"), playbook(**free), context=context)
    assert members(made)["expected_value"].to_dict() == pytest.approx(
        {"a": 2.5, "b": 0.5, "c": 1.0}
    )
    value = {"product": ["p_reactivate", "clv"], "means": "spend", "margin": 0.6}
    own = plan(lapsed("a", "b"), playbook(value=value, **free), context=context)
    assert set(members(own)["expected_value"]) == {3.0}


def test_the_last_contact_of_a_channel_may_be_used_and_no_more() -> None:
    frame = lapsed("a", "b")
    for contacts, expected in ((1, {"a", "b"}), (0, set())):
        policy = ContactPolicy(caps=(Cap(contacts=contacts, days=7, channel="sms"),))
        made = plan(frame, playbook(channel="sms"), context=CustomerContext(policy=policy))
        assert set(members(made).index) == expected


@pytest.mark.parametrize(("at_once", "second"), [(2, {"a", "b"}), (1, set())])
def test_who_is_in_as_many_campaigns_as_allowed_stays_in_the_first(
    at_once: int, second: set[str]
) -> None:
    frame = lapsed("a", "b")
    books = (playbook(), playbook(campaign="next", priority=20))
    two = CustomerContext(policy=ContactPolicy(campaigns_at_once=2))
    before = plan(frame, *books, context=two)
    assert set(members(before, "next").index) == {"a", "b"}
    now = CustomerContext(policy=ContactPolicy(campaigns_at_once=at_once))
    made = plan(frame, *books, at=FEBRUARY, previous=before.audience, context=now)
    assert set(members(made).index) == {"a", "b"}
    assert set(members(made, "next").index) == second


@pytest.mark.parametrize("objective", ["priority", "value"])
def test_the_money_of_a_run_is_for_as_many_as_it_pays(objective: str) -> None:
    policy = ContactPolicy(objective=objective, budget=10.0)
    book = playbook(offer={"text": "hello"}, contact_cost=4)
    frame = lapsed("a", "b", "c").assign(clv=[100.0, 200.0, 300.0])
    made = plan(frame, book, context=CustomerContext(policy=policy))
    assert set(members(made).index) == {"b", "c"}


@pytest.mark.parametrize("objective", ["priority", "value"])
def test_money_that_pays_just_so_many_pays_all_of_them(objective: str) -> None:
    # 30 times 0.1 is more than 3 in the last digits of the sum.
    frame = lapsed(*(f"c{number:02d}" for number in range(40))).assign(clv=100.0)
    free = {"offer": {"text": "hello"}, "contact_cost": 0.1}
    common = CustomerContext(policy=ContactPolicy(objective=objective, budget=3.0))
    assert len(members(plan(frame, playbook(**free), context=common))) == 30
    own = CustomerContext(policy=ContactPolicy(objective=objective))
    assert len(members(plan(frame, playbook(**free, budget=3.0), context=own))) == 30


def test_by_value_too_members_stay_and_hold_their_places() -> None:
    context = CustomerContext(policy=ContactPolicy(objective="value"))
    book = playbook(capacity=2)
    first = plan(lapsed("a"), book, context=context)
    now = lapsed("a", "b", "c").assign(clv=[1.0, 100.0, 1000.0])
    made = plan(now, book, at=FEBRUARY, previous=last_word(first), context=context)
    assert members(made)["change"].to_dict() == {"c": "added", "a": "kept"}
    assert list(made.exclusions["reason"]) == ["no capacity, contact cap or budget left"]
