"""Predictions against what came, by group: equal to counting by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.monitoring.realised_accuracy import compared_predictions, realised_accuracy
from tests.tries import tries


def people(n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scored customers, a third without a prediction, and labels of most of them."""
    rng = np.random.default_rng(seed)
    names = [f"c{i}" for i in range(n)]
    scores = pd.DataFrame(
        {
            "customer_id": names,
            "p_churn": np.where(rng.random(n) < 0.3, np.nan, rng.random(n)),
            "churn_band": rng.choice(["high", "low"], n),
            "value_tier": rng.choice(["top", "mid", "low"], n),
            "stage": rng.choice(["active", "rare"], n, p=[0.97, 0.03]),
        }
    )
    labels = pd.DataFrame(
        {"customer_id": names, "no_purchase": (rng.random(n) < 0.4).astype(float)}
    )
    return scores, labels.sample(frac=0.9, random_state=seed)


@settings(max_examples=tries(20))
@given(st.integers(0, 400), st.integers(0, 10**6))
def test_groups_are_those_counted_by_hand(n: int, seed: int) -> None:
    scores, labels = people(n, seed)
    found = realised_accuracy("churn", scores, labels)
    said = scores.set_index("customer_id")
    came = labels.set_index("customer_id")["no_purchase"].to_dict()
    expected = {}
    for by in ("all", "churn_band", "value_tier", "stage"):
        groups = {"all"} if by == "all" else set(said[by])
        for group in groups:
            inside = [
                name
                for name, row in said.iterrows()
                if name in came and row["p_churn"] == row["p_churn"]
                and (by == "all" or row[by] == group)
            ]  # fmt: skip
            if by == "all" or len(inside) >= 30:
                expected[(by, group)] = (
                    len(inside),
                    sum(said.loc[name, "p_churn"] for name in inside) / max(len(inside), 1),
                    sum(came[name] for name in inside) / max(len(inside), 1),
                )
    assert {(row.by, row.group_name) for row in found.itertuples()} == set(expected)
    for row in found.itertuples():
        customers, predicted, actual = expected[(row.by, row.group_name)]
        assert row.customers == customers
        if customers:
            assert row.predicted == pytest.approx(predicted)
            assert row.actual == pytest.approx(actual)
        if customers > 1:
            assert row.low <= row.actual <= row.high


def test_the_interval_holds_a_prediction_that_is_right() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        chance = rng.beta(1, 3, 300)
        names = [f"c{i}" for i in range(300)]
        scores = pd.DataFrame({"customer_id": names, "p_churn": chance})
        labels = pd.DataFrame(
            {"customer_id": names, "no_purchase": (rng.random(300) < chance).astype(float)}
        )
        row = realised_accuracy("churn", scores, labels).iloc[0]
        held += row["low"] <= row["predicted"] <= row["high"]
    assert 180 <= held <= 199


def test_amounts_are_means_and_chances_are_shares() -> None:
    names = [f"c{i}" for i in range(40)]
    scores = pd.DataFrame(
        {
            "customer_id": names, "clv": 10.0, "p_any_order": 0.5,
            "p_first_purchase": [0.1] * 10 + [np.nan] * 30, "value_tier": "mid", "stage": "active",
        }
    )  # fmt: skip
    labels = pd.DataFrame(
        {"customer_id": names, "spend": np.arange(40.0), "orders": [0.0] * 30 + [3.0] * 10}
    )
    found = realised_accuracy("clv", scores, labels).set_index(["prediction", "by"])
    assert found.loc[("clv", "all"), "actual"] == pytest.approx(19.5)
    assert found.loc[("p_any_order", "stage"), "actual"] == pytest.approx(0.25)
    assert found.loc[("p_first_purchase", "all"), "customers"] == 10
    assert ("p_first_purchase", "stage") not in found.index  # ten leads are too few for a group
    assert compared_predictions("clv") == {"clv", "p_any_order", "p_first_purchase"}
    assert not compared_predictions("stage")
