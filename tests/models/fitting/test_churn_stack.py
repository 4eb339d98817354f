"""The stack of the churn methods: its weights, and when a single method is served."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.fitting.binary_ensemble import TwoClassRecipe, varying_columns
from models.fitting.churn_methods import TestedOrigin, rfm_share, test_origins
from models.fitting.churn_stack import (
    BLEND,
    LatestSnapshot,
    choose_stack,
    mixed_logits,
    prior_weights,
    trusted_share,
)
from models.metrics import metrics
from models.scorer.churn import METHODS
from models.scorer.linear_model import sigmoid
from tests.models.tasks.test_churn import DATES, HORIZON, feature_frame, history

PRIOR = {"logistic": 0.2, "rfm": 0.8}
HALF = np.arange(2_000) % 2.0
LATEST = LatestSnapshot(HALF, {name: np.zeros(2_000) for name in ("logistic", "rfm", "mean")})
QUICK = TwoClassRecipe(learning_rate=0.1, max_rounds=60, patience=10)


def origins(noise: dict[str, float], rows: int = 2_000, number: int = 3) -> list[TestedOrigin]:
    """Origins at which every method sees the truth through its own noise (inf: nothing)."""
    generator = np.random.default_rng(7)
    tested = []
    for month in range(number):
        truth = generator.normal(0.5, 1.2, rows)
        target = (generator.random(rows) < sigmoid(truth)).astype(float)
        logits = {
            name: truth + generator.normal(0, size, rows)
            if np.isfinite(size)
            else generator.normal(0, 1, rows)
            for name, size in noise.items()
        }
        logits["mean"] = np.full(rows, np.log(0.6 / 0.4))
        customers = np.array([f"c{n}" for n in range(rows)])
        at = pd.Timestamp("2024-01-01") + pd.DateOffset(months=month)
        tested.append(TestedOrigin(at, customers, target, logits, rows))
    return tested


def test_better_methods_weigh_more_and_the_blend_beats_each() -> None:
    tested = origins({"trees": 0.7, "logistic": 0.8, "rfm": 1.5, "btyd": 1.5})
    stack = choose_stack(tested, METHODS, prior=PRIOR, latest=LATEST)
    assert stack.served == BLEND
    assert stack.weights["trees"] > stack.weights.get("rfm", 0.0)
    assert stack.losses[BLEND] < min(loss for name, loss in stack.losses.items() if name != BLEND)
    fresh = origins({"trees": 0.7, "logistic": 0.8, "rfm": 1.5, "btyd": 1.5}, number=4)[-1]
    loss = metrics.log_loss(fresh.target, sigmoid(mixed_logits(fresh.logits, stack.weights)))
    assert loss < metrics.log_loss(fresh.target, sigmoid(fresh.logits["trees"]))


def test_the_mean_is_served_where_nothing_tells_who_stays() -> None:
    tested = origins(dict.fromkeys(["trees", "logistic", "rfm", "btyd"], np.inf), rows=300)
    stack = choose_stack(tested, METHODS, prior=PRIOR, latest=LATEST)
    assert (stack.served, stack.weights) == ("mean", {"mean": 1.0})


def test_a_single_method_is_served_where_it_knows_all() -> None:
    tested = origins({"trees": np.inf, "logistic": np.inf, "rfm": np.inf, "btyd": 0.0}, rows=150)
    stack = choose_stack(tested, METHODS, prior=PRIOR, latest=LATEST)
    assert stack.served == "btyd"


def test_contracts_are_served_by_their_model_unless_the_blend_is_clearly_better() -> None:
    tested = origins({"trees": 0.6, "rfm": 0.9, "contract": 0.35}, rows=200)
    assert choose_stack(tested, METHODS, prior=PRIOR, latest=LATEST).served == "contract"
    tested = origins({"trees": 0.6, "rfm": 0.9, "contract": 2.0})
    assert choose_stack(tested, METHODS, prior=PRIOR, latest=LATEST).served == BLEND


def test_a_method_that_cannot_be_fitted_today_has_no_weight() -> None:
    tested = origins({"trees": 0.5, "logistic": 0.9, "rfm": 0.9, "btyd": 0.2})
    stack = choose_stack(tested, ["trees", "logistic", "rfm", "mean"], prior=PRIOR, latest=LATEST)
    assert "btyd" not in stack.weights


def test_a_level_that_always_moved_one_way_is_followed_a_varying_one_is_not() -> None:
    tested = origins(dict.fromkeys(["trees", "logistic", "rfm", "btyd"], 0.4), rows=4_000)

    def told(*moves: float) -> list[TestedOrigin]:
        return [
            replace(origin, logits={name: z - move for name, z in origin.logits.items()})
            for origin, move in zip(tested, moves, strict=True)
        ]

    assert choose_stack(
        told(0.4, 0.2, 0.3), METHODS, prior=PRIOR, latest=LATEST
    ).shift == pytest.approx(0.2, abs=0.1)
    assert choose_stack(told(0.4, -0.2, 0.3), METHODS, prior=PRIOR, latest=LATEST).shift == 0.0


def test_without_earlier_origins_the_prior_is_served() -> None:
    stack = choose_stack([], METHODS, prior=PRIOR, latest=LATEST)
    assert stack.weights == PRIOR
    assert stack.losses == {}


def test_few_customers_draw_all_methods_towards_the_mean() -> None:
    assert [round(trusted_share(number), 2) for number in (0, 100, 200, 1_000)] == [0, 0.5, 0.8, 1]
    few = LatestSnapshot(HALF[:100], {name: z[:100] for name, z in LATEST.logits.items()})
    stack = choose_stack([], METHODS, prior=PRIOR, latest=few)
    assert stack.weights == pytest.approx({"logistic": 0.1, "rfm": 0.4, "mean": 0.5})
    tested = origins({"trees": np.inf, "rfm": np.inf, "btyd": 0.0}, rows=150)
    stack = choose_stack(tested, METHODS, prior=PRIOR, latest=few)
    assert (stack.served, stack.weights) == ("btyd", {"btyd": 0.5, "mean": 0.5})


def test_the_mean_is_served_where_the_level_has_just_changed_and_nothing_was_tested() -> None:
    # Nine in ten stayed away before, half of them at the latest snapshot.
    moved = LatestSnapshot(HALF, {**LATEST.logits, "rfm": np.full(len(HALF), 2.2)})
    stack = choose_stack([], METHODS, prior=PRIOR, latest=moved)
    assert (stack.served, stack.weights) == ("mean", {"mean": 1.0})
    assert "just changed" in stack.reason


def test_models_of_an_earlier_origin_see_no_label_that_was_open() -> None:
    # Labels after an origin are turned round: what its models say must not change.
    purchases = history(400)
    frame = pd.concat([feature_frame(purchases, at) for at in DATES], ignore_index=True)
    frame = frame.drop(columns=["always__one", "stage"])

    def tested(rows: pd.DataFrame) -> list[TestedOrigin]:
        counts = {at: part for at, part in rows.groupby("snapshot_at")}
        settings = {"horizon_days": HORIZON, "seed": 1, "threads": 1}
        return test_origins(rows, counts, varying_columns(rows), QUICK, **settings)

    turned = frame.copy()
    is_open = turned["label_end_at"] > DATES[1]
    turned.loc[is_open, "no_purchase"] = 1 - turned.loc[is_open, "no_purchase"]
    before, after = tested(frame)[-1], tested(turned)[-1]
    assert before.at == DATES[1]
    assert set(before.logits) == set(METHODS) - {"contract"}
    for name, logits in before.logits.items():
        np.testing.assert_array_equal(logits, after.logits[name], err_msg=name)


@pytest.mark.parametrize(("days", "share"), [(30, 2 / 3), (100, 1 / 4), (180, 0.0)])
def test_a_short_span_of_snapshots_leans_on_recency_frequency_and_value(
    days: int, share: float
) -> None:
    at = pd.to_datetime(["2021-01-01", "2021-01-01"]) + pd.to_timedelta([0, days], unit="D")
    frame = pd.DataFrame({"snapshot_at": at})
    assert rfm_share(frame, 90) == share
    for with_trees in (True, False):
        available = ["rfm", "btyd", *(["trees"] if with_trees else [])]
        weights = prior_weights(frame, 90, available)
        assert sum(weights.values()) == pytest.approx(1.0)
        assert weights.get("rfm", 0.0) == weights.get("btyd", 0.0)
    assert prior_weights(frame, 90, ["rfm"])["rfm"] == 0.8
    assert prior_weights(frame, 90, ["rfm", "btyd", "contract"]) == {
        "mean": pytest.approx(0.2), "rfm": 0.4, "contract": 0.4
    }  # fmt: skip
