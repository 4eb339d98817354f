"""The truth that the simulator tells is what happens in its events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import hyp2f1

from simulator import scenario
from tests.simulator.simulated_tables import frame, orders_of

HORIZON = pd.Timedelta(days=91)


# -- true to the reference scenario


def test_events_a_customer(reference: Path) -> None:
    facts = reference_facts()
    events = frame(reference, "events", ["customer_id"]).value_counts()
    assert len(events) == 20_000
    assert events.mean() == pytest.approx(facts.events_mean, rel=0.05)
    assert events.median() >= facts.events_median_at_least


def reference_facts() -> scenario.ScenarioTargets:
    found = scenario.load_scenario("reference")
    assert isinstance(found, scenario.LifecycleScenario)
    return found.facts


def test_campaign_effects_are_as_fixed(reference: Path) -> None:
    facts = reference_facts()
    effects = frame(reference, "truth/uplift")
    listed = effects[effects["listed"]]
    assert facts.uplift_mean / facts.uplift_sd == pytest.approx(0.75)
    for some in (effects, listed):
        assert some["p_control"].mean() == pytest.approx(facts.base_response, abs=0.001)
        assert some["uplift"].mean() == pytest.approx(facts.uplift_mean, abs=0.001)
        assert some["uplift"].std() == pytest.approx(facts.uplift_sd, rel=0.04)
        assert (some["uplift"] < 0).mean() == pytest.approx(0.227, abs=0.015)
        assert abs(some["uplift"].skew()) < 0.15


def test_campaigns_are_randomised_and_answered_as_the_truth_says(reference: Path) -> None:
    sends, effects = frame(reference, "experiments"), frame(reference, "truth/uplift")
    both = sends.merge(effects, on=["customer_id", "campaign_id"], validate="one_to_one")
    assert len(both) == len(sends)
    assert (both["treated"] == (both["treatment"] == 1)).all()
    assert both["treatment"].mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(both)))
    expected = both["p_control"] + both["treatment"] * both["uplift"]
    for _, arm in both.assign(expected=expected).groupby("treatment"):
        noise = np.sqrt((arm["expected"] * (1 - arm["expected"])).sum())
        assert abs(arm["responded"].sum() - arm["expected"].sum()) < 4 * noise
    # Covariates say nothing of the arm.
    for name in ("age", "distance_km", "orders_before"):
        assert abs(np.corrcoef(both[name], both["treatment"])[0, 1]) < 4 / np.sqrt(len(both))


def test_response_is_an_order_within_seven_days(reference: Path) -> None:
    sends, orders = frame(reference, "experiments"), orders_of(reference)
    sends["day"] = sends["sent_at"].dt.tz_localize(None).dt.normalize()
    both = sends.merge(orders, on="customer_id")
    within = (both["at"] >= both["day"]) & (both["at"] < both["day"] + pd.Timedelta(days=7))
    answered = both[within].groupby(["customer_id", "campaign_id"]).agg(value=("value", "sum"))
    found = sends.set_index(["customer_id", "campaign_id"]).join(answered)
    # The last campaigns' late orders are all known by the end: nothing is missing.
    assert (found["value"].notna() == (found["responded"] == 1)).all()
    assert found["value"].fillna(0).to_numpy() == pytest.approx(found["spend"].to_numpy(), abs=0.05)


def test_uplift_is_mostly_observable_and_not_churn_risk(reference: Path) -> None:
    facts = reference_facts()
    effects = frame(reference, "truth/uplift")
    one = effects[effects["campaign_id"] == "C1-autumn-sale"]
    one = one.merge(frame(reference, "customers"), on="customer_id")
    urban = np.where(one["region"].isin(["city", "suburb"]), 1.0, -1.0)
    seen = np.column_stack(
        [np.ones(len(one)), urban * one["age"], urban, np.log(one["distance_km"] + 0.1)]
    )
    left = one["uplift"] - seen @ np.linalg.lstsq(seen, one["uplift"], rcond=None)[0]
    share = left.var() / one["uplift"].var()
    assert share == pytest.approx(facts.uplift_latent_share, abs=0.03)
    assert share <= 0.5
    risks = frame(reference, "truth/snapshots", ["customer_id", "snapshot_at", "p_no_purchase"])
    for _, some in effects[effects["listed"]].groupby("campaign_id"):
        first = risks[risks["snapshot_at"] >= some["snapshot_at"].min()].drop_duplicates(
            "customer_id"
        )
        both = some.merge(first, on="customer_id")
        correlation = np.corrcoef(both["uplift"], both["p_no_purchase"])[0, 1]
        assert abs(correlation) <= facts.uplift_churn_correlation_at_most


def test_expectations_come_true(reference: Path) -> None:
    truth, orders = frame(reference, "truth/snapshots"), orders_of(reference)
    for at, some in truth.groupby("snapshot_at"):
        if at + HORIZON > pd.Timestamp("2024-12-30"):
            continue
        within = orders[(orders["at"] >= at) & (orders["at"] < at + HORIZON)]
        happened = within.groupby("customer_id")["value"].agg(["size", "sum"])
        actual = happened.reindex(some["customer_id"]).fillna(0).set_axis(some.index)
        none = (actual["size"] == 0).to_numpy()
        for expected, outcome in (
            (some["p_no_purchase"], none),
            (some["expected_orders"], actual["size"]),
            # Refunds give back 65 % of 6 % of the orders.
            (some["expected_spend"] / (1 - 0.06 * 0.65), actual["sum"]),
        ):
            error = np.asarray(outcome, dtype=float) - expected
            assert abs(error.mean()) < 4 * error.std() / np.sqrt(len(error))
        tenth = pd.qcut(some["p_no_purchase"].rank(method="first"), 10, labels=False)
        table = pd.DataFrame({"p": some["p_no_purchase"], "y": none}).groupby(tenth).mean()
        assert (table["p"] - table["y"]).abs().max() < 0.05


def test_hazards_are_probabilities_and_the_gone_stay_gone(reference: Path) -> None:
    truth = frame(reference, "truth/snapshots")
    hazards = truth[[f"hazard_{state}" for state in scenario.STATES]]
    assert hazards.min().min() >= 0
    assert hazards.sum(axis=1).to_numpy() == pytest.approx(1.0, abs=1e-5)
    gone = truth[~truth["alive"]]
    assert (gone["expected_orders"] == 0).all()
    assert (gone["hazard_gone"] == 1).all()
    assert (truth["p_alive"] <= truth["alive"] + 1e-6).all()
    left = frame(reference, "truth/customers", ["customer_id", "gone_at"]).dropna()
    last = orders_of(reference).groupby("customer_id")["at"].max()
    both = left.join(last, on="customer_id", how="inner")
    assert (both["at"] < both["gone_at"]).all()


# -- the btyd scenario


def test_purchases_match_theory(btyd: Path) -> None:
    spec = scenario.load_scenario("btyd")
    assert isinstance(spec, scenario.BtydScenario)
    r, alpha, a, b = (getattr(spec.purchases, name) for name in ("r", "alpha", "a", "b"))
    last = frame(btyd, "truth/snapshots").groupby("customer_id").last()
    x, age = last["x"].to_numpy(), last["T"].to_numpy()
    never = (alpha / (alpha + age)) ** r
    assert abs((x == 0).mean() - never.mean()) < 4 * np.sqrt(never.mean() / len(x))
    share = hyp2f1(r, b, a + b - 1, age / (alpha + age))
    expected = (a + b - 1) / (a - 1) * (1 - never * share)
    assert abs(x.mean() - expected.mean()) < 4 * x.std() / np.sqrt(len(x))


def test_money_matches_theory(btyd: Path) -> None:
    spec = scenario.load_scenario("btyd")
    assert isinstance(spec, scenario.BtydScenario)
    p, q, gamma = spec.money.p, spec.money.q, spec.money.gamma
    first = orders_of(btyd).sort_values("at").drop_duplicates("customer_id")["value"]
    mean = p * gamma / (q - 1)
    variance = p * gamma**2 * (p + q - 1) / ((q - 1) ** 2 * (q - 2))
    assert first.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / len(first)))
    assert first.quantile(0.5) < first.mean()
    assert first.std() == pytest.approx(np.sqrt(variance), rel=0.15)


def test_posterior_is_what_happens(btyd: Path) -> None:
    truth, orders = frame(btyd, "truth/snapshots"), orders_of(btyd)
    assert len(truth) > 50_000
    for at, some in truth.groupby("snapshot_at"):
        # Given the history, the posterior of what is hidden is right on average, and in each tenth.
        for guess, fact in (
            ("posterior_p_alive", "alive"),
            ("posterior_p_no_purchase", "p_no_purchase"),
            ("posterior_orders", "expected_orders"),
            ("posterior_spend", "expected_spend"),
        ):
            tenth = pd.qcut(some[guess].rank(method="first"), 10, labels=False)
            gap = some[fact].astype(float) - some[guess]
            noise = gap.groupby(tenth).std() / np.sqrt(len(some) / 10)
            assert (gap.groupby(tenth).mean().abs() < 4.5 * noise + 1e-9).all(), (at, guess)
        if at + HORIZON > pd.Timestamp("2024-07-01"):
            continue
        within = orders[(orders["at"] >= at) & (orders["at"] < at + HORIZON)]
        happened = within.groupby("customer_id")["value"].agg(["size", "sum"])
        actual = happened.reindex(some["customer_id"]).fillna(0).set_axis(some.index)
        for guess, outcome in (("posterior_orders", "size"), ("posterior_spend", "sum")):
            error = actual[outcome] - some[guess]
            assert abs(error.mean()) < 4 * error.std() / np.sqrt(len(error))


def test_effects_of_offers_are_as_fixed_and_partly_hidden(reference: Path) -> None:
    found = scenario.load_scenario("reference")
    assert isinstance(found, scenario.LifecycleScenario)
    effects, people = frame(reference, "truth/uplift"), frame(reference, "truth/customers")
    one = effects[effects["campaign_id"] == found.campaigns[-1].id].merge(people, on="customer_id")
    assert [offer.name for offer in found.offers] == ["note", "code", "gift"]
    for offer in found.offers:
        uplift = one[f"uplift_{offer.name}"]
        # Nobody orders with a chance below 0: the largest losses are cut off.
        assert uplift.mean() == pytest.approx(offer.mean, abs=0.0015)
        assert uplift.std() == pytest.approx(offer.sd, rel=0.06)
        assert (uplift >= -one["p_control"] - 1e-6).all()
        hidden_share = np.corrcoef(uplift, one["deal_score"])[0, 1] ** 2
        directions = offer.age**2 + offer.distance**2 + offer.deals**2
        assert hidden_share == pytest.approx(offer.deals**2 / directions, abs=0.08)
