from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import UserError
from models.baselines import clv_baselines
from models.fitting.clv_distribution import (
    BTYD_COLUMNS,
    BuyerSnapshot,
    buyer_snapshots,
    clv_tail,
)
from models.fitting.clv_interval import conformal_offsets
from models.fitting.clv_level import guard_level, level_correction, spend_limit
from models.fitting.clv_shapes import fit_shapes
from models.fitting.total_interval import spend_interval
from models.metrics import metrics
from models.scorer.clv import _clv_interval, clv_context, clv_sums, predict_clv
from models.scorer.derived_features import model_columns
from models.scorer.feature_rows import FeatureRows
from models.scorer.part import Part
from models.scorer.score_columns import clv_columns
from models.tasks import clv
from models.tasks.clv import fit_clv, predict_snapshot
from tests.purchase_frames import HORIZON, START, histories, rolling

MONEY = ["clv", "clv_low", "clv_high", "expected_orders", "p_any_order", "average_order_value"]


def fitted(train: pd.DataFrame, test: pd.DataFrame, *, seed: int = 5) -> Part:
    return fit_clv(
        train,
        {},
        at_origin=test.drop(columns=["spend", "orders", "label_end_at"]),
        validation_at=train["snapshot_at"].max(),
        horizon_days=HORIZON,
        seed=seed,
        threads=1,
    )


@pytest.fixture(scope="module")
def frames():
    return rolling(histories(11, n=600))


@pytest.fixture(scope="module")
def part(frames):
    return fitted(*frames)


def check_row(out: dict[str, np.ndarray]) -> None:
    for name in MONEY:
        assert np.isfinite(out[name]).all(), name
    assert (out["clv_low"] >= 0).all()
    assert (out["clv_low"] <= out["clv"] + 1e-9).all()
    assert (out["clv"] <= out["clv_high"] + 1e-9).all()
    assert ((out["p_any_order"] >= 0) & (out["p_any_order"] <= 1)).all()
    assert set(out["value_tier"]) <= {"top", "mid", "low"}


def test_it_forecasts_a_later_snapshot_better_than_the_naive_ways(frames, part):
    train, test = frames
    out = predict_snapshot(part, test)
    check_row(out)
    y = test["spend"].to_numpy()
    naive = [
        clv_baselines.repeat_spend(test, HORIZON),
        clv_baselines.mean_spend(train, test),
    ]
    for other in naive:
        assert metrics.rmse(y, out["clv"]) < metrics.rmse(y, other["clv"])
    assert abs(metrics.bias_pct(y, out["clv"])) < 15
    assert 0.7 <= metrics.coverage(y, out["clv_low"], out["clv_high"]) <= 0.9


def test_the_baselines_are_complete(frames, part):
    train, test = frames
    for out in (
        clv_baselines.btyd_spend(part, test),
        clv_baselines.repeat_spend(test, 45),
        clv_baselines.plain_gbm(train, test, seed=1, threads=1),
    ):
        assert out["clv"].shape == (len(test),)
        assert (out["clv"] >= 0).all()
    assert clv_baselines.plain_gbm(train.assign(spend=0.0), test, seed=1) is None


def test_the_total_is_the_level_that_btyd_expects(frames, part):
    _, test = frames
    buyers = test[test["btyd__x"].notna()]
    level = clv_baselines.btyd_spend(part, buyers)["clv"].sum()
    level *= np.exp(part.parameters["level_correction"])
    assert predict_snapshot(part, buyers)["clv"].sum() == pytest.approx(level, rel=1e-6)


def test_prediction_is_row_wise_given_the_context(frames, blended):
    _, test = frames
    sums = clv_sums(blended, test)
    pieces = [clv_sums(blended, test.iloc[at : at + 97]) for at in range(0, len(test), 97)]
    for name, total in sums.items():
        assert sum(piece[name] for piece in pieces) == pytest.approx(total, rel=1e-12)
    context = json.loads(json.dumps(clv_context(blended, sums)))
    whole = predict_clv(blended, test, context)
    for size in (1, 7):
        rows = test.iloc[: 7 * size]
        batches = [
            predict_clv(blended, rows.iloc[at : at + size], context)
            for at in range(0, len(rows), size)
        ]
        for name, values in whole.items():
            found = np.concatenate([batch[name] for batch in batches])
            np.testing.assert_array_equal(found, values[: len(rows)])


def test_the_part_is_json_and_boosters_and_repeatable(frames, part, tmp_path):
    _, test = frames
    part.save(tmp_path)
    loaded = predict_snapshot(Part.load(tmp_path), test)
    again = predict_snapshot(fitted(*frames), test)
    for name, values in predict_snapshot(part, test).items():
        np.testing.assert_array_equal(loaded[name], values)
        np.testing.assert_array_equal(again[name], values)


def test_column_order_and_extra_columns_do_not_matter(frames, blended):
    _, test = frames
    mixed = test[sorted(test.columns)].assign(other__thing=1.0)
    np.testing.assert_array_equal(
        predict_snapshot(blended, mixed)["clv"], predict_snapshot(blended, test)["clv"]
    )


def test_tiers_hold_a_fifth_and_a_half_of_the_buyers_on_the_training_date(frames, part):
    _, test = frames
    buyers = test[test["btyd__x"].notna()]
    tier = pd.Series(predict_snapshot(part, buyers)["value_tier"])
    assert (tier == "top").mean() == pytest.approx(0.2, abs=0.01)
    assert (tier == "low").mean() == pytest.approx(0.5, abs=0.01)


def test_past_origins_tell_how_far_a_total_can_be_off(frames, part):
    _, test = frames
    errors = part.parameters["total_errors"]
    assert json.loads(json.dumps(errors)) == errors
    expected = predict_snapshot(part, test)["clv"]
    low, high = spend_interval(errors, expected, expected.sum())
    assert low < test["spend"].sum() < high
    assert (high - low) / expected.sum() < 0.6
    for stage, rows in test.groupby("stage"):
        members = expected[rows.index]
        interval = spend_interval(errors, members, expected.sum())
        if stage == "active":
            assert interval is not None
            assert interval[0] < rows["spend"].sum() < interval[1]
            assert interval[1] - interval[0] > (high - low) * members.sum() / expected.sum()


def test_a_business_that_has_just_begun_has_no_interval_of_its_total():
    train, test = rolling(histories(11, n=300), last=110, snapshots=1)
    assert fitted(train, test).parameters["total_errors"] is None


def test_a_refused_total_has_no_interval(monkeypatch):
    train, test = rolling(histories(11, n=300), snapshots=1)
    assert fitted(train, test).parameters["total_errors"] is not None
    refused = {"correction": 0.0, "from": "refused", "alarm": "refused"}
    monkeypatch.setattr(clv, "guard_level", lambda *_: (refused, {"mean": 1.0}))
    assert fitted(train, test).parameters["total_errors"] is None


def test_the_guard_serves_btyd_where_the_past_misleads(frames):
    train, test = frames
    mislead = train.copy()
    past = mislead["snapshot_at"] < mislead["snapshot_at"].max()
    mislead.loc[past, "spend"] = np.where(mislead.loc[past, "purchase__sum_90d"] > 50, 0.0, 100.0)
    found = fitted(mislead, test)
    report = found.parameters["report"]
    served = report["served"]
    assert served != "blend"
    assert f"not clearly better than {served}" in report["why"]
    assert report["deviances"][served] <= report["deviances"]["btyd"]
    assert sorted(found.parameters["weights"]) == [served]
    check_row(predict_snapshot(found, test))


def one_time(purchases):
    return {name: known[:1] for name, known in purchases.items()}


def free(purchases):
    return {name: [(day, 0.0) for day, _ in known] for name, known in purchases.items()}


def whale(purchases):
    big = [(day, 1e7) for day in range(30, 480, 3)]
    return {**purchases, "whale": big}


def fixed_price(purchases):
    return {name: [(day, 9.99) for day, _ in known] for name, known in purchases.items()}


def few(purchases):
    return {name: purchases[name] for name in sorted(purchases)[:6]}


@pytest.mark.parametrize("change", [one_time, free, whale, fixed_price, few])
@pytest.mark.parametrize("snapshots", [1, 4])
def test_strange_histories_still_give_a_result(change, snapshots):
    train, test = rolling(change(histories(3, n=200)), snapshots=snapshots)
    found = fitted(train, test)
    out = predict_snapshot(found, test)
    check_row(out)
    assert json.loads(json.dumps(found.parameters, allow_nan=False)) == found.parameters
    if snapshots == 1:
        assert found.parameters["report"]["weights"] == {"btyd": 2 / 3, "same_again": 1 / 3}
    if change is few:
        assert found.parameters["btyd"]["fallback"]


def test_nobody_to_validate_on_is_the_users_error(frames):
    train, test = frames
    with pytest.raises(UserError, match="no buyer with a matured label"):
        fit_clv(
            train,
            {},
            at_origin=test,
            validation_at=pd.Timestamp("2031-01-01"),
            horizon_days=HORIZON,
            seed=1,
        )


def test_leads_get_the_chance_of_a_first_purchase_times_what_new_buyers_spend():
    purchases = histories(4, n=500)
    purchases = {  # half of them buy for the first time within the year
        name: [(day + 60 * (number % 8), amount) for day, amount in known]
        for number, (name, known) in enumerate(purchases.items())
    }
    train, test = rolling(purchases)
    found = fitted(train, test)
    first = found.parameters["first_purchase"]
    out = predict_snapshot(found, test)
    lead = test["btyd__x"].isna().to_numpy()
    assert lead.sum() > 10
    assert np.isfinite(out["p_first_purchase"][lead]).all()
    assert np.isnan(out["p_first_purchase"][~lead]).all()
    np.testing.assert_allclose(out["clv"][lead], out["p_first_purchase"][lead] * first["spend"])
    assert first["linear"] is not None
    bought = test["orders"].to_numpy()[lead] > 0
    assert metrics.auc(bought, out["p_first_purchase"][lead]) > 0.7


def at(day: int, error: float) -> BuyerSnapshot:
    """A snapshot whose actual total is exp(error) times BTYD's."""
    moment = START + pd.Timedelta(days=day)
    rows = pd.DataFrame({"spend": [np.exp(error)], "btyd__clv": [1.0], "btyd__T": [90.0]})
    rows["label_end_at"] = moment + pd.Timedelta(days=HORIZON)
    return BuyerSnapshot(moment, {}, rows)


def correction(snapshots: list[BuyerSnapshot], day: int) -> float:
    return level_correction(snapshots, START + pd.Timedelta(days=day), HORIZON)["correction"]


def test_the_level_is_corrected_only_by_what_had_matured():
    steady = [at(day, 0.2) for day in (0, 30, 60)]
    assert correction(steady[:2], 300) == 0
    assert correction(steady, 119) == 0  # the third matures on day 120
    assert correction(steady, 120) == pytest.approx(0.75 * 0.2)
    assert correction([at(day, 3.0) for day in (0, 30, 60)], 300) == pytest.approx(np.log(1.5))


def test_the_same_season_a_year_ago_comes_first():
    history = [at(0, -0.3), *(at(day, 0.2) for day in (30, 60, 90, 290))]
    assert correction(history, 366) == pytest.approx(0.75 * -0.3)


@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), min_size=5, max_size=200),
)
def test_one_in_ten_at_most_lies_beyond_either_end_of_a_bin(pairs):
    prediction, spend = np.array(pairs).T
    offsets = conformal_offsets(prediction, spend)
    assert offsets["roots"] == sorted(offsets["roots"])
    bins = np.array_split(np.argsort(prediction, kind="stable"), len(offsets["roots"]))
    for rows, low, high in zip(bins, offsets["low"], offsets["high"], strict=True):
        residual = np.sqrt(spend[rows]) - np.sqrt(prediction[rows])
        most = max(0.1 * (len(rows) + 1), 1)
        assert (residual < low).sum() < most
        assert (residual > high).sum() < most


def test_the_interval_holds_for_small_and_large_buyers_with_equal_tails():
    rng = np.random.default_rng(1)

    def drawn():
        expected = rng.gamma(0.7, 1.4, 8000)
        return expected, rng.poisson(4 * expected) / 4 * rng.gamma(4, 1 / 4, 8000)

    prediction, spend = drawn()
    offsets = conformal_offsets(prediction, spend)
    prediction, spend = drawn()
    has_bought = np.full(len(spend), True)
    low, high = _clv_interval({"buyers": offsets, "never": offsets}, has_bought, prediction, 1.0)
    fifth = pd.qcut(prediction, 5, labels=False)
    for number in (2, 3, 4):  # the smaller buyers mostly spend nothing, which no end can divide
        assert 0.72 < np.mean((spend >= low) & (spend <= high), where=fifth == number) < 0.88
        assert np.mean(spend > high, where=fifth == number) == pytest.approx(0.1, abs=0.04)


def test_a_next_order_beyond_three_horizons_has_no_date():
    frame = FeatureRows({"snapshot_at": np.array(["2021-01-01"] * 3, dtype="datetime64[s]")}, 3)
    out = {
        "next_order_days": np.array([10.0, 3 * 30 + 1, np.nan]),
        "clv_horizon_days": np.full(3, 30.0),
        "p_any_order": np.full(3, 0.5),
    }
    stage = np.array(["retention"] * 3, dtype=object)
    columns = clv_columns(out, frame, stage, {"lapsed_stage": "lapsed"})
    dates = columns["expected_next_order_at"]
    assert dates[0] == np.datetime64("2021-01-11")
    assert np.isnat(dates[1:]).all()


@pytest.fixture(scope="module")
def blended(frames, part):
    """The part with a blend of equal weights, whatever is served."""
    train, _ = frames
    snapshots = buyer_snapshots(train, HORIZON)
    names = ["btyd", "same_again", "glm", "gbm", "gbm_on_btyd", "hurdle"]
    rounds = {"gbm_": 20, "start_": 20, "any_": 20, "amount_": 20}
    columns = [*model_columns(train), *BTYD_COLUMNS]
    models = fit_shapes(
        snapshots, columns, names, rounds=rounds, horizon_days=HORIZON, seed=1, threads=1
    )
    parameters = part.parameters | models.parameters | {"weights": dict.fromkeys(names, 1 / 6)}
    return Part("clv", parameters, models.boosters | part.boosters)


def test_a_blend_is_the_weighted_sum_of_its_shapes_at_one_level(frames, blended):
    _, test = frames

    def clv(**weights):
        parameters = {**blended.parameters, "weights": weights, "tail": None}
        return predict_snapshot(Part("clv", parameters, blended.boosters), test)["clv"]

    btyd, trees, half = clv(btyd=1.0), clv(gbm=1.0), clv(btyd=0.5, gbm=0.5)
    np.testing.assert_allclose(half, (btyd + trees) / 2)
    assert half.sum() == pytest.approx(btyd.sum(), rel=1e-6)


def test_a_total_far_beyond_any_past_horizon_is_refused(frames):
    _, test = frames
    origin = test.drop(columns=["spend", "orders", "label_end_at"])
    limit = spend_limit([], origin, HORIZON)
    rows = pd.DataFrame({"btyd__clv": [limit * 3, limit * 5], "spend": [limit / 3, limit / 3]})
    snapshot = BuyerSnapshot(START, {}, rows)
    plain = {"correction": 0.0, "from": "none"}
    level, weights = guard_level(plain, {"btyd": 1.0}, snapshot, [snapshot], limit)
    assert weights == {"mean": 1.0}
    assert "was refused" in level["alarm"]
    assert np.exp(level["correction"]) * rows["btyd__clv"].mean() == pytest.approx(limit / 3)
    calm = BuyerSnapshot(START, {}, rows.assign(btyd__clv=limit / 3))
    assert guard_level(plain, {"btyd": 1.0}, calm, [calm], limit) == (plain, {"btyd": 1.0})


def test_the_largest_buyers_are_served_what_btyd_expects_of_them(frames, blended):
    _, test = frames
    buyers = test[test["btyd__x"].notna()]
    plain = clv_baselines.btyd_spend(blended, buyers)["clv"]
    tail, order = float(np.quantile(plain, 0.8)), np.argsort(plain)
    cut = Part("clv", {**blended.parameters, "tail": tail}, blended.boosters)
    clv, free = predict_snapshot(cut, buyers)["clv"], predict_snapshot(blended, buyers)["clv"]
    assert clv.sum() == pytest.approx(free.sum(), rel=1e-6)
    # Below the tail all keep their shape, up to what the total gives and takes.
    small = plain <= tail
    np.testing.assert_allclose(clv[small] / free[small], (clv / free)[small].mean(), rtol=0.05)
    # Above it BTYD's share is 1 - tail / BTYD CLV: most of the largest buyers'.
    top = order[-1]
    share = 1 - tail / plain[top]
    kept = (clv[top] - share * plain[top]) / (1 - share)
    assert kept == pytest.approx(free[top] * (clv / free)[small].mean(), rel=0.05)


def test_a_tail_is_never_more_than_one_buyer_in_forty():
    def tail(count):
        rows = pd.DataFrame({"btyd__clv": np.arange(1.0, count + 1)})
        return clv_tail(BuyerSnapshot(START, {}, rows))

    assert tail(39) is None
    assert tail(400) == 391.0
    assert tail(10_000) == 9941.0
