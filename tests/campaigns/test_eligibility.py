"""Consent, suppression, caps, triggers, the guard: who may be in a campaign at all."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.customer_context import CustomerContext
from campaigns.entrant_guard import EntrantGuard, held_before_planning, held_for_many_entrants
from campaigns.holdout import in_global_holdout
from campaigns.planning import CampaignPlan
from campaigns.stage_set import StageSet
from features.config.customers import Cap, ContactPolicy, GlobalHoldout
from tests.campaigns.campaign_examples import SNAPSHOT, TAXONOMY, plan, playbook
from tests.tries import tries


def people(*customers: str, **columns: Any) -> pd.DataFrame:
    given = {"stage": "lapsed", "p_reactivate": 0.5, "clv": 10.0} | columns
    return pd.DataFrame({"customer_id": list(customers), **given})


def index(*customers: str) -> pd.Index:
    return pd.Index(customers, dtype=object)


def why(made: CampaignPlan, campaign: str = "back") -> dict[str, str]:
    return dict(zip(made.customers, made.why[campaign], strict=True))


def test_who_did_not_consent_to_the_channel_or_to_profiling_is_out() -> None:
    consent = pd.DataFrame(
        {"email": [True, True, False], "profiling": [True, False, True]}, index=index("a", "b", "c")
    )
    made = plan(people("a", "b", "c", "d"), playbook(), context=CustomerContext(consent=consent))
    assert why(made) == {
        "a": "",
        "b": "no consent to profiling",
        "c": "no consent for email",
        "d": "no consent to profiling",
    }
    row = made.table.iloc[0]
    assert (row["eligible"], row["barred"], row["members"]) == (4, 3, 1)


def test_each_gets_the_first_channel_they_allow() -> None:
    consent = pd.DataFrame(
        {"push": [True, False, False], "email": [True, True, False]}, index=index("a", "b", "c")
    )
    book = playbook(channel=["mobile_push", "email"])
    made = plan(people("a", "b", "c"), book, context=CustomerContext(consent=consent))
    members = made.audience.set_index("customer_id")
    assert members["channel"].to_dict() == {"a": "mobile_push", "b": "email"}
    assert why(made)["c"] == "no consent for mobile_push or email"


def test_suppression_lists_hold_everywhere_or_for_a_channel() -> None:
    listed = pd.DataFrame(
        {
            "customer_id": ["a", "b", "c"],
            "channel": [None, "email", "sms"],
            "reason": ["staff", "hard bounce", "stop"],
        }
    )
    made = plan(people("a", "b", "c"), playbook(), context=CustomerContext(suppressed=listed))
    assert why(made) == {"a": "suppressed: staff", "b": "suppressed: hard bounce", "c": ""}


def test_the_past_suppresses_promotions_and_not_service() -> None:
    past = pd.DataFrame({"suppress open complaint": [True, False]}, index=index("a", "b"))
    context = CustomerContext(past=past, sunset=pd.Series([False, True], index=index("a", "b")))
    care = playbook(campaign="care", kind="service", control_share=0)
    made = plan(people("a", "b"), playbook(), care, context=context)
    assert why(made) == {
        "a": "open complaint",
        "b": "sunset: many messages, no response",
    }
    assert why(made, "care") == {"a": "", "b": ""}


def test_discounts_wait_after_a_full_price_order() -> None:
    reason = "full-price order in the last 14 days"
    past = pd.DataFrame({f"no_discount {reason}": [True]}, index=index("a"))
    plain = playbook(campaign="plain", offer={"text": "no discount", "discount": 0})
    made = plan(people("a"), playbook(), plain, context=CustomerContext(past=past))
    assert why(made)["a"] == reason
    assert why(made, "plain")["a"] == ""


def test_contacts_made_count_against_the_caps_of_all_channels_and_of_one() -> None:
    policy = ContactPolicy(
        caps=(Cap(contacts=3, days=7), Cap(contacts=1, days=7, channel="sms")), campaigns_at_once=3
    )
    contacts = pd.DataFrame({0: [3, 0, 0], 1: [0, 1, 0]}, index=index("a", "b", "c"))
    context = CustomerContext(policy=policy, contacts=contacts)
    texts = [playbook(campaign=name, channel="text", priority=i) for i, name in enumerate("xyz", 1)]
    mails = [
        playbook(campaign=name, channel="email", priority=i) for i, name in enumerate("uvw", 10)
    ]
    made = plan(people("a", "b", "c"), *texts, *mails, context=context)
    rows = made.audience
    counted = rows.groupby("customer_id").size().to_dict()
    assert counted == {"b": 3, "c": 3}
    assert (rows[rows["channel"] == "text"].groupby("customer_id").size() <= 1).all()
    assert "b" not in set(rows.loc[rows["channel"] == "text", "customer_id"])
    assert why(made, "x")["a"] == "contact cap reached"


@pytest.mark.parametrize("objective", ["priority", "value"])
def test_capacity_and_budget_are_kept(objective: str) -> None:
    rng = np.random.default_rng(0)
    frame = people(*[f"c{i:03d}" for i in range(150)], clv=rng.gamma(2, 40, 150))
    books = [
        playbook(campaign="one", priority=1, capacity=20, offer={"text": "x", "discount": 0}),
        playbook(campaign="two", priority=2, contact_cost=2, budget=25),
    ]
    policy = ContactPolicy(objective=objective, budget=45)
    made = plan(frame, *books, context=CustomerContext(policy=policy), seed=3)
    sizes = made.audience.groupby("campaign_id").size()
    assert sizes["one"] <= 20
    assert not made.audience["customer_id"].duplicated().any()
    clv = frame.set_index("customer_id")["clv"]
    two = made.audience.loc[made.audience["campaign_id"] == "two", "customer_id"]
    spent_two = 2 * len(two) + 0.2 * 0.5 * clv[two].sum()
    assert spent_two <= 25
    assert spent_two + 0.5 * sizes["one"] <= 45
    left = made.exclusions.set_index("campaign_id")["customers"]
    for campaign in ("one", "two"):
        assert left[[campaign]].sum() + sizes[campaign] == 150
    if objective == "value":
        assert made.solution is not None
        assert made.solution.gap < 0.01


def test_ranking_by_value_beats_serving_in_order() -> None:
    rng = np.random.default_rng(1)
    frame = people(
        *[f"c{i:03d}" for i in range(200)],
        clv=rng.gamma(2, 40, 200),
        average_order_value=rng.gamma(2, 40, 200),
    )
    books = [
        playbook(campaign="one", priority=1, capacity=60),
        playbook(
            campaign="two",
            priority=2,
            capacity=60,
            value={"product": ["average_order_value"], "means": "an order"},
        ),
    ]
    total = {}
    for objective in ("priority", "value"):
        context = CustomerContext(policy=ContactPolicy(objective=objective))
        total[objective] = plan(frame, *books, context=context).audience["expected_value"].sum()
    assert total["value"] > total["priority"]


def test_members_who_withdraw_consent_are_removed() -> None:
    first = plan(people("a", "b"), playbook())
    consent = pd.DataFrame({"email": [True, False]}, index=index("a", "b"))
    later = dt.date(2018, 1, 9)
    made = plan(
        people("a", "b"), playbook(), at=later, previous=first.audience,
        context=CustomerContext(consent=consent),
    )  # fmt: skip
    rows = made.audience.set_index("customer_id")
    assert rows["change"].to_dict() == {"a": "kept", "b": "removed"}
    assert rows.loc["b", "reasons"] == "no consent for email"


def test_the_global_hold_out_reaches_every_promotion_until_it_ends() -> None:
    frame = people(*[f"c{i:04d}" for i in range(2000)])
    held = GlobalHoldout(share=0.1, until=dt.date(2018, 2, 1))
    context = CustomerContext(policy=ContactPolicy(global_holdout=held))
    made = plan(frame, playbook(), context=context, salt="s")
    drawn = in_global_holdout(list(frame["customer_id"]), held, salt="s")
    out = set(frame.loc[drawn, "customer_id"])
    assert 140 < len(out) < 260
    assert not out & set(made.audience["customer_id"])
    assert set(why(made).values()) == {"", "global hold-out until 2018-02-01"}
    after = plan(frame, playbook(), context=context, at=dt.date(2018, 2, 1), salt="s")
    assert out <= set(after.audience["customer_id"])


RANKED = StageSet(
    "recency_frequency",
    TAXONOMY.stages,
    TAXONOMY.parameters,
    TAXONOMY.silent,
    {"lapsed": 0, "conversion": 1, "retention": 2, "loyalty": 3},
)


def moved(cause: str, days: int, was: str = "retention", now: str = "lapsed") -> pd.DataFrame:
    since = pd.Timestamp(SNAPSHOT) - pd.Timedelta(days=days)
    return people("a", stage=now, stage_since=since, stage_change_cause=cause, previous_stage=was)


@pytest.mark.parametrize(
    ("cause", "days", "was", "now", "fires"),
    [
        ("clock", 0, "retention", "lapsed", False),
        ("clock", 1, "retention", "lapsed", True),
        ("clock", 0, "loyalty", "retention", False),
        ("clock", 1, "loyalty", "retention", True),
        ("clock", 0, "conversion", "retention", True),
        ("behaviour", 0, "retention", "lapsed", True),
        ("behaviour", 0, "lapsed", "retention", True),
        ("first_load", 5, "retention", "lapsed", False),
        ("definition", 5, "retention", "lapsed", False),
        ("identity", 5, "retention", "lapsed", False),
    ],
)
def test_a_step_down_by_the_clock_waits_for_a_second_equal_day(
    cause: str, days: int, was: str, now: str, fires: bool
) -> None:
    book = playbook(stages={"other": [now]}, trigger=[{"when": "stage_entered", "stage": now}])
    frame = moved(cause, days, was, now)
    made = plan(frame, book, taxonomy=RANKED)
    assert (len(made.audience) == 1) == fires
    # Held back, the plan lists everyone who matches.
    open_ = plan(
        frame,
        book,
        taxonomy=RANKED,
        context=CustomerContext(held={"back": "first run"}),
    )
    assert len(open_.audience) == 1
    assert open_.table["held"].iloc[0] == "first run"


def test_triggers_on_risen_scores_dates_flags_and_events() -> None:
    frame = people(
        "a", "b", "c", p_churn=[0.5, 0.5, 0.5], flags=['["x"]', "[]", "[]"],
        expected_next_order_at=pd.Timestamp(SNAPSHOT) - pd.to_timedelta([3, 1, 0], "D"),
    )  # fmt: skip
    before = pd.DataFrame({"customer_id": ["a", "b"], "p_churn": [0.4, 0.6]})
    asked: list[tuple[dict[str, Any], str]] = [
        ({"when": "score_risen", "column": "p_churn"}, "ac"),
        ({"when": "flag_raised", "flag": "x"}, "a"),
        ({"when": "date", "column": "expected_next_order_at", "after_days": 1}, "ab"),
        (
            {"when": "date", "column": "expected_next_order_at", "after_days": 1, "within_days": 1},
            "b",
        ),
        ({"when": "event", "role": "lead", "after_days": 7}, "b"),
    ]
    past = pd.DataFrame({"past trigger lead 7 None": [False, True]}, index=index("a", "b"))
    context = CustomerContext(previous_scores=before, past=past)
    for trigger, fired in asked:
        made = plan(frame, playbook(trigger=[trigger]), context=context)
        assert sorted(made.audience["customer_id"]) == list(fired), trigger


@pytest.mark.parametrize(
    ("every", "previous", "fires"),
    [
        ("day", "2017-12-31", True),
        ("week", "2017-12-31", True),  # SNAPSHOT is a Monday
        ("month", "2017-12-31", True),
        ("quarter", "2017-10-01", True),
        ("week", "2017-12-25", True),
        ("month", None, True),
    ],
)
def test_a_schedule_lets_newcomers_enter_at_the_first_planning_of_a_period(
    every: str, previous: str | None, fires: bool
) -> None:
    assert enters(every, previous, SNAPSHOT) == fires


@given(
    st.sampled_from(["week", "month", "quarter"]),
    st.dates(dt.date(2016, 1, 1), dt.date(2018, 12, 31)),
    st.integers(1, 120),
)
@settings(max_examples=tries(40), deadline=None)
def test_a_schedule_fires_when_a_period_has_begun_since_the_last_planning(
    every: str, previous: dt.date, days: int
) -> None:
    """Naive oracle: some day after the last planning, up to this one, begins a period."""
    at = previous + dt.timedelta(days=days)
    between = [previous + dt.timedelta(days=day) for day in range(1, days + 1)]
    begins = {
        "week": lambda day: day.weekday() == 0,
        "month": lambda day: day.day == 1,
        "quarter": lambda day: day.day == 1 and day.month % 3 == 1,
    }[every]
    assert enters(every, str(previous), at) == any(begins(day) for day in between)


def enters(every: str, previous: str | None, at: dt.date) -> bool:
    """Whether a customer enters a campaign with a schedule at a planning after another one."""
    earlier = None if previous is None else dt.date.fromisoformat(previous)
    book = playbook(trigger=[{"when": "schedule", "every": every}])
    made = plan(people("a"), book, at=at, context=CustomerContext(previous_snapshot_at=earlier))
    assert made.audience.empty == ("first planning of a" in why(made)["a"])
    return not made.audience.empty


def test_uplift_of_the_campaign_makes_the_value_incremental() -> None:
    frame = people("a", "b", uplift=['{"back": 0.1}', None], average_order_value=[50.0, 50.0])
    made = plan(frame, playbook(offer={"text": "x", "discount": 0}))
    value = made.audience.set_index("customer_id")["expected_value"]
    assert value["a"] == pytest.approx(0.1 * 50 - 0.5)
    assert value["b"] == pytest.approx(0.5 * 10 - 0.5)
    # Of b nobody knows what the message changes, and the plan says so.
    assert made.table["value_label"].iloc[0] == "uplift; response where it is unknown"
    only = plan(frame.head(1), playbook(offer={"text": "x", "discount": 0}))
    assert only.table["value_label"].iloc[0] == "uplift"


def test_lists_have_a_second_list_of_those_to_leave_out_and_site_rules_have_nobody() -> None:
    seed = playbook(
        kind="list", control_share=0, value=None, channel="paid_social",
        exclude={"column": "clv", ">": 20},
    )  # fmt: skip
    site = playbook(campaign="pop_up", kind="site_rule", value=None)
    made = plan(people("a", "b", clv=[10.0, 30.0]), seed, site)
    rows = made.audience.groupby("campaign_id")["customer_id"].agg(list).to_dict()
    assert rows == {"back": ["b", "a"], "back_exclude": ["b"]}
    assert set(made.audience["arm"]) == {"treatment"}


def test_restocked_goods_find_those_who_like_that_type_and_brand_together() -> None:
    products = pd.DataFrame(
        {
            "product_type": ["shoes", "coat", "shoes"],
            "brand": ["north", "south", "south"],
            "restocked_at": pd.to_datetime(["2017-12-30", "2017-12-30", "2017-11-01"]),
        }
    )
    frame = people(
        "a", "b", "c", "d",
        preferred_product_type=["shoes", "shoes", None, "coat"],
        preferred_brand=["north", "south", None, "north"],
        interest_product_type=[None, None, "coat", "coat"],
        interest_brand=[None, None, "south", "north"],
    )  # fmt: skip
    rule = {"restocked": {"within_days": 7, "match": ["product_type", "brand"]}}
    made = plan(frame, playbook(audience=rule), context=CustomerContext(products=products))
    assert sorted(made.audience["customer_id"]) == ["a", "c"]
    assert plan(frame, playbook(audience=rule)).audience.empty


def test_the_guard_holds_exports_after_changes_of_ours() -> None:
    def held(before: EntrantGuard | None, **changes: Any) -> dict[str, str]:
        given: dict[str, Any] = {"taxonomy": "t", "scorer_version": "1", "confirmed": None}
        return held_before_planning(["x", "y"], before, **{**given, **changes})

    calm = EntrantGuard("t", "1", {}, ("x", "y"))
    assert held(None) == {
        "x": "first run",
        "y": "first run",
    }
    assert held(calm) == {}
    assert set(held(calm, taxonomy="u")) == set(held(calm, scorer_version="2")) == {"x", "y"}
    assert held(EntrantGuard("t", "1", {}, ("x",))) == {"y": "new campaign"}
    # It stays held until somebody has looked.
    waiting = EntrantGuard("t", "1", {"x": "first run"}, ("x", "y"))
    assert held(waiting) == {"x": "first run"}
    assert held(waiting, confirmed=["x"]) == {}
    assert EntrantGuard.from_manifest({"guard": waiting.to_manifest()}) == waiting


def test_three_times_the_usual_entrants_are_held() -> None:
    history = pd.DataFrame({"x": [20, 22, 18, 21], "y": [1, 1, 1, 1], "z": [None, None, 5, 5]})
    now = {"x": 62, "y": 9, "z": 1000, "new": 500}
    assert held_for_many_entrants(now, history, confirmed=None) == {
        "x": "62 entrants, 20.5 is usual"
    }
    assert held_for_many_entrants({**now, "x": 61}, history, confirmed=None) == {}
    assert held_for_many_entrants(now, history, confirmed=["x"]) == {}
