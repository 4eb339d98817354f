"""Reason codes: what they add up to, which way they point, and what they never name."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from features.table.families.feature import FeatureSpec
from models.explaining.attribution import LeafTable
from models.explaining.reasons import (
    REASON_CODES,
    REASON_SENTENCES,
    ReasonWords,
    churn_additions,
    lead_additions,
    score_reasons,
    value_additions,
)
from models.fitting.binary_ensemble import fit_logistic
from models.scorer.churn import churn_raw, predict_churn
from models.scorer.clv import clv_context, clv_sums, predict_clv
from models.scorer.derived_features import derive
from models.scorer.fast_trees import raw_score
from models.scorer.linear_model import matrix
from models.scorer.part import Part
from models.tasks.clv import fit_clv
from tests.purchase_frames import histories, rolling

CONTEXT = {"population_gap_days": 20.0}
WORDS = ReasonWords.of(
    FeatureSpec((30, 90), ("touch", "purchase"), ("brand",)), ["new", "loyal"], ()
)
COLUMNS = ["purchase__recency_days", "touch__count_30d", "preference__brand_share"]


def buyers(n: int = 3000, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Churn follows silence against one's own gap, visits, and how one-sided the brands are."""
    rng = np.random.default_rng(seed)
    gap = rng.integers(3, 40, n).astype(float)
    recency = rng.integers(1, 90, n).astype(float)
    visits = rng.poisson(3.0, n).astype(float)
    share = rng.random(n)
    z = 0.06 * (recency - 40) - 0.4 * (visits - 3) + 2.0 * (share - 0.5)
    frame = pd.DataFrame(
        {
            "customer_id": [f"c{number}" for number in range(n)],
            "snapshot_at": pd.Timestamp("2024-03-01"),
            "purchase__recency_days": recency,
            "touch__count_30d": visits,
            "preference__brand_share": share,
            "cadence__gap_median": gap,
            "cadence__gap_mean": gap,
            "cadence__days": 5.0,
            "cadence__span_days": 4 * gap,
            "btyd__x": 4.0,
            "stage__code": 1.0,
        }
    )
    return frame, (rng.random(n) < 1 / (1 + np.exp(-z))).astype(float)


def booster(x: np.ndarray, y: np.ndarray, seed: int) -> lgb.Booster:
    settings = {"objective": "binary", "num_leaves": 8, "seed": seed, "verbose": -1}
    settings |= {"feature_fraction": 0.7, "num_threads": 1, "deterministic": True}
    return lgb.train(settings, lgb.Dataset(x, y), 60)


@pytest.fixture(scope="module")
def churn() -> Part:
    frame, y = buyers()
    x = matrix(frame, COLUMNS)
    parameters = {
        "columns": COLUMNS,
        "linear": fit_logistic(frame, COLUMNS, y, strength=1.0),
        "weights": {"trees": 0.5, "logistic": 0.5},
        "activity_days": 80,
        "horizon_days": 30,
        "bands": {"base_of_all": 0.5},
    }
    return Part("churn", parameters, {f"trees_{n}": booster(x, y, n) for n in range(2)})


def test_additions_and_the_base_make_the_score() -> None:
    frame, y = buyers(seed=3)
    x = matrix(frame, COLUMNS).copy()
    x[::7, 1] = np.nan
    tree = booster(x, y, 0)
    table = LeafTable.of(tree)
    raw = raw_score(tree, x)
    np.testing.assert_allclose(table(x).sum(axis=1) + table.base, raw, atol=1e-9)
    assert table(x[:1]).shape == (1, 3)
    # The base is what an average training row scores.
    assert abs(table.base - raw.mean()) < 0.1


def test_a_stump_without_splits_adds_nothing() -> None:
    x = np.zeros((200, 2))
    tree = lgb.train({"objective": "regression", "verbose": -1}, lgb.Dataset(x, x[:, 0] + 1), 3)
    table = LeafTable.of(tree)
    assert not table(x[:5]).any()


def test_they_agree_with_shapley_values_where_it_matters() -> None:
    frame, y = buyers(seed=5)
    x = matrix(frame, COLUMNS)
    tree = booster(x, y, 0)
    exact = np.asarray(tree.predict(x, pred_contrib=True))[:, :-1]
    ours = LeafTable.of(tree)(x)
    assert np.corrcoef(exact.ravel(), ours.ravel())[0, 1] > 0.9
    clear = np.sort(np.abs(exact), axis=1)
    clear = clear[:, -1] > 1.5 * clear[:, -2]
    same = np.abs(exact).argmax(axis=1) == np.abs(ours).argmax(axis=1)
    assert same[clear].mean() > 0.9


def test_churn_additions_are_the_score_against_a_usual_customer(churn: Part) -> None:
    frame, _ = buyers(400, seed=1)
    total = churn_additions(churn, frame, CONTEXT).sum(axis=1).to_numpy()
    p = churn_raw(churn, derive(frame, CONTEXT))
    constant = np.log(p / (1 - p)) - total
    np.testing.assert_allclose(constant, constant[0], atol=1e-9)


def test_reasons_name_what_raises_or_lowers_with_the_customers_values(churn: Part) -> None:
    frame, _ = buyers(400, seed=2)
    told = score_reasons({"churn": churn}, frame, CONTEXT, WORDS)
    p = predict_churn(
        Part("churn", {**churn.parameters, "calibration": {"kind": "raw"},
                       "bands": {"base": {}, "base_of_all": 0.5, "low": 1, "high": 2}},
             churn.boosters), frame, CONTEXT)["p_churn"]  # fmt: skip
    eligible = frame["purchase__recency_days"].to_numpy() <= 80
    first = told["reason_code_1"]
    assert first[~eligible].isna().all()
    assert first[eligible].notna().all()
    high, low = eligible & (p > 0.8), eligible & (p < 0.2)
    assert first[high].str.startswith("churn_up_").all()
    assert first[low].str.startswith("churn_down_").all()
    row = frame.index[high & (first == "churn_up_purchase_recency").to_numpy()][0]
    days, gap = frame.loc[row, ["purchase__recency_days", "cadence__gap_median"]]
    assert told.loc[row, "reason_1"] == f"no purchase for {days:.0f} days, usual gap {gap:.0f} days"
    # As many sentences as codes, the strongest first, none twice.
    for code, sentence in zip(REASON_CODES, REASON_SENTENCES, strict=True):
        assert (told[code].notna() == told[sentence].notna()).all()
    codes = told[list(REASON_CODES)].to_numpy()
    assert all(len({c for c in row if c}) == sum(c is not None for c in row) for row in codes)


def test_a_sensitive_attribute_is_never_a_reason(churn: Part) -> None:
    frame, _ = buyers(400, seed=2)
    open_ = score_reasons({"churn": churn}, frame, CONTEXT, WORDS)
    assert open_[list(REASON_CODES)].stack().str.contains("brand").any()
    words = ReasonWords(WORDS.meanings, WORDS.stages, ("brand",))
    closed = score_reasons({"churn": churn}, frame, CONTEXT, words)
    assert not closed[list(REASON_CODES)].stack().str.contains("brand").any()
    assert not closed[list(REASON_SENTENCES)].stack().str.contains("brand").any()


def test_a_row_has_the_same_reasons_alone_and_among_others(churn: Part) -> None:
    frame, _ = buyers(60, seed=2)
    whole = score_reasons({"churn": churn}, frame, CONTEXT, WORDS)
    alone = [
        score_reasons({"churn": churn}, frame.iloc[[n]], CONTEXT, WORDS) for n in range(len(frame))
    ]
    pd.testing.assert_frame_equal(pd.concat(alone), whole)


@pytest.fixture(scope="module")
def clv() -> tuple[Part, pd.DataFrame]:
    train, test = rolling(histories(1))
    contexts = {pd.Timestamp(at): {} for at in train["snapshot_at"].unique()}
    part = fit_clv(
        train,
        contexts,
        at_origin=test.drop(columns=["spend", "orders", "label_end_at"]),
        validation_at=train["snapshot_at"].max(),
        horizon_days=60,
        seed=1,
        threads=1,
    )
    return part, test


def test_value_additions_follow_the_expected_spend(clv: tuple[Part, pd.DataFrame]) -> None:
    part, test = clv
    rows = test[test["btyd__x"].notna()].reset_index(drop=True)
    context = clv_context(part, clv_sums(part, rows))
    expected = predict_clv(part, rows, context)["clv"]
    total = value_additions(part, rows).sum(axis=1)
    known = expected > 0
    assert np.corrcoef(total[known], np.log(expected[known]))[0, 1] > 0.95


def test_buyers_are_told_of_value_and_leads_of_their_chance(
    clv: tuple[Part, pd.DataFrame],
) -> None:
    part, test = clv
    told = score_reasons({"clv": part}, test, {}, WORDS)
    bought = test["btyd__x"].notna().to_numpy()
    codes = told["reason_code_1"]
    assert codes[bought].str.startswith("value_").all()
    assert not codes[~bought].dropna().str.startswith("value_").any()
    leads = test[~bought]
    assert len(lead_additions(part, leads)) == len(leads)
