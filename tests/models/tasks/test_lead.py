"""The lead score: its map, what it learns from, and the reasons it gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.baselines.lead_points import sum_points
from models.evaluation.evaluate import Test, predict
from models.explaining.lead_reasons import Events, contributions, ranked, reasons
from models.metrics import metrics
from models.registry.promotion import lead_loss
from models.scorer.clv import clv_first_purchase, lead_columns
from models.scorer.part import Part
from models.tasks.clv import fit_clv
from models.tasks.lead import fit_leads, lead_conversion_rate, score_map, select_leads
from tests.purchase_frames import HORIZON, histories, rolling

AT = 1000
ROLES = {"touch": ["page_view", "email_open"], "intent": ["cart"], "sent": ["message"]}


def snapshots(n: int = 900, *, seed: int = 1, bought: float = 1.0) -> pd.DataFrame:
    """Leads whose carts and recent visits tell who buys; every tenth customer is a buyer."""
    rng = np.random.default_rng(seed)
    carts = rng.poisson(0.4, n).astype(float)
    visits = rng.poisson(2.0, n).astype(float)
    recency = rng.integers(1, 60, n).astype(float)
    z = -3.2 + 1.3 * carts + 0.3 * visits - 0.03 * recency
    orders = (rng.random(n) < bought / (1 + np.exp(-z))).astype(float)
    buyer = np.arange(n) % 10 == 0
    return pd.DataFrame(
        {
            "customer_id": [f"c{number:04d}" for number in range(n)],
            "snapshot_at": pd.Timestamp("2021-01-01"),
            "touch__count_30d": visits,
            "touch__recency_days": recency,
            "intent__count_30d": carts,
            "sent__count_30d": rng.poisson(3.0, n).astype(float),
            "purchase__amount_first": np.where(buyer, 20.0, np.nan),
            "btyd__x": np.where(buyer, 1.0, np.nan),
            "orders": orders,
            "spend": orders * 30.0,
        }
    )


@pytest.fixture(scope="module")
def part() -> Part:
    train = snapshots(4000)
    first, boosters = fit_leads(train, snapshots(seed=2), seed=3, threads=1)
    return Part("clv", {"first_purchase": first}, boosters)


def test_leads_are_told_apart_better_than_by_points_and_with_true_chances(part: Part) -> None:
    later = select_leads(snapshots(4000, seed=9))
    y, p = (later["orders"] > 0).to_numpy(float), clv_first_purchase(part, later)
    points = later["touch__count_30d"] + 5 * later["intent__count_30d"]
    assert part.boosters
    assert metrics.auc(y, p) > metrics.auc(y, points) + 0.01
    assert metrics.ece(y, p) < 0.03
    assert metrics.log_loss(y, p) < metrics.log_loss(y, np.full(len(y), y.mean())) - 0.03


@given(st.lists(st.floats(0.0, 1.0), max_size=80), st.lists(st.floats(0.0, 1.0), min_size=2))
def test_the_score_rises_with_the_chance_and_bands_with_the_score(known, asked) -> None:
    first = score_map(np.array(known))
    p = np.sort(np.array(asked))
    out = lead_columns(first, p)
    assert (np.diff(out["lead_score"]) >= 0).all()
    assert ((out["lead_score"] >= 0) & (out["lead_score"] <= 100)).all()
    assert list(out["lead_band"]) == sorted(out["lead_band"], reverse=True)


def test_the_best_tenth_of_the_training_leads_is_band_a() -> None:
    p = np.random.default_rng(4).beta(1, 12, 5000)
    share = pd.Series(lead_columns(score_map(p), p)["lead_band"]).value_counts(normalize=True)
    np.testing.assert_allclose(share[list("ABCD")], [0.1, 0.2, 0.3, 0.4], atol=0.02)


def test_who_has_no_chance_has_no_score() -> None:
    out = lead_columns(score_map(np.array([0.1, 0.2])), np.array([np.nan, 0.2]))
    assert np.isnan(out["lead_score"][0])
    assert out["lead_band"][0] is None
    assert out["lead_band"][1] in "AB"


def test_few_buyers_give_everybody_the_share_of_all() -> None:
    train = snapshots(400, bought=0.02)
    first, boosters = fit_leads(train, train, seed=3, threads=1)
    p = clv_first_purchase(Part("clv", {"first_purchase": first}, boosters), select_leads(train))
    assert boosters == {}
    assert set(p) == {lead_conversion_rate(train)}
    assert set(lead_columns(first, p)["lead_band"]) == {"C"}  # the middle: nothing is known


def test_purchases_alone_have_no_leads_and_say_nothing_of_one() -> None:
    train = snapshots(400)
    train = train[train["btyd__x"].notna()]
    first, boosters = fit_leads(train, train, seed=3, threads=1)
    part = Part("clv", {"first_purchase": first}, boosters)
    p = clv_first_purchase(part, snapshots(5))
    assert np.isnan(p).all()
    assert list(lead_columns(first, p)["lead_band"]) == [None] * 5


def test_contributions_add_up_to_the_score(part: Part) -> None:
    rows = select_leads(snapshots(50, seed=7))
    told, p = contributions(part, rows).sum(axis=1), clv_first_purchase(part, rows)
    rest = np.log(p / (1 - p)) - told.to_numpy()
    np.testing.assert_allclose(rest, rest[0], atol=1e-9)  # what a usual lead has


def events(*rows: tuple[str, str, int, int]) -> Events:
    columns = ["customer_id", "event_type", "day", "count"]
    return Events(pd.DataFrame(rows, columns=columns), AT, ROLES)


def test_reasons_name_what_the_lead_did_and_nothing_that_was_done_to_them(part: Part) -> None:
    usual = select_leads(snapshots(seed=2))
    lead = usual.head(2).assign(
        customer_id=["hot", "cold"],
        touch__count_30d=[7.0, 0.0],
        touch__recency_days=[1.0, 59.0],
        intent__count_30d=[3.0, 0.0],
        sent__count_30d=[30.0, 0.0],
    )
    done = events(
        ("hot", "page_view", AT - 1, 4),
        ("hot", "email_open", AT - 5, 3),
        ("hot", "cart", AT - 2, 3),
        ("hot", "message", AT - 1, 30),
        ("cold", "page_view", AT - 59, 1),
    )
    hot, cold = reasons(part, lead, usual, done)
    assert hot[0] == "3 x cart in the last 30 days"
    assert hot[1] in (
        "4 x page view, 3 x email open in the last 30 days",
        "page view yesterday (4 in the last 30 days)",
    )
    assert len(hot) == 2
    assert cold == []


def test_the_list_is_ranked_by_chance_then_value_then_name() -> None:
    scores = pd.DataFrame(
        {
            "customer_id": ["d", "c", "b", "a", "buyer"],
            "p_first_purchase": [0.2, 0.2, 0.2, 0.5, np.nan],
            "clv": [5.0, 9.0, 5.0, 1.0, 99.0],
            "lead_band": ["B", "B", "B", "A", None],
        }
    )
    assert ranked(scores)["customer_id"].tolist() == ["a", "c", "b", "d"]
    assert ranked(scores, bands=["A"])["customer_id"].tolist() == ["a"]


def test_points_fade_by_half_in_ten_days() -> None:
    rows = events(("a", "cart", AT - 10, 2), ("a", "page_view", AT - 20, 4)).rows
    found = sum_points(rows, {"cart": 5.0, "page_view": 1.0}, AT, pd.Series(["b", "a"]))
    assert found.tolist() == [0.0, 2 * 5 / 2 + 4 / 4]


def test_leads_are_measured_and_compared_where_enough_of_them_bought() -> None:
    purchases = {  # half of them buy for the first time within the year
        name: [(day + 60 * (number % 8), amount) for day, amount in known]
        for number, (name, known) in enumerate(histories(4, n=900).items())
    }
    train, test = rolling(purchases)
    found = fit_clv(
        train,
        {},
        at_origin=test.drop(columns=["spend", "orders", "label_end_at"]),
        validation_at=train["snapshot_at"].max(),
        horizon_days=HORIZON,
        seed=5,
        threads=1,
    )
    leads = select_leads(test).assign(points=0.0)
    y = (leads["orders"] > 0).to_numpy(float)
    p = predict(found, leads, test)["p_first_purchase"]
    losses = lead_loss(found, Test("clv", 0, test, test, leads))
    assert losses is not None
    assert losses.mean() == pytest.approx(metrics.log_loss(y, p))
    few = Test("clv", 0, test, test, leads.head(20))
    assert lead_loss(found, few) is None
    assert lead_loss(found, Test("clv", 0, test, test)) is None
