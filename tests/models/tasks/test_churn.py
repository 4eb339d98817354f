"""The churn model on small made-up histories."""

import json

import numpy as np
import pandas as pd
import pytest

from models.baselines import churn_baselines
from models.fitting.binary_ensemble import (
    TwoClassRecipe,
    fit_logistic,
    random_customer_folds,
    varying_columns,
)
from models.metrics import metrics
from models.scorer.churn import churn_group, churn_lift, predict_churn
from models.scorer.derived_features import population_context, population_sums
from models.scorer.linear_model import linear, sigmoid
from models.scorer.part import Part
from models.tasks.churn import fit_churn

DATES = [pd.Timestamp("2024-03-01"), pd.Timestamp("2024-04-01"), pd.Timestamp("2024-05-01")]
TEST_AT = pd.Timestamp("2024-06-01")
HORIZON = 30
QUICK = TwoClassRecipe(learning_rate=0.1, max_rounds=60, patience=10)


def history(customers=900, seed=0):
    """Purchase days of customers who buy at their own rate and drop out at their own time."""
    generator = np.random.default_rng(seed)
    rate = generator.gamma(1.2, 0.06, customers)
    last = generator.exponential(160, customers)
    days = [np.flatnonzero(generator.random(200) < r) for r in rate]
    return [np.r_[0, d[(d > 0) & (d < end)]] for d, end in zip(days, last, strict=True)]


def feature_frame(purchases, at):
    """The few feature columns that the model and its derived features need."""
    day = (at - pd.Timestamp("2024-01-01")).days
    rows = []
    for number, days in enumerate(purchases):
        past, future = days[days < day], days[(days >= day) & (days < day + HORIZON)]
        gaps = np.diff(past)
        rows.append(
            {
                "customer_id": f"c{number:04d}",
                "snapshot_at": at,
                "stage": "retention",
                "purchase__recency_days": day - past[-1],
                "purchase__age_days": day - past[0],
                "purchase__count_30d": (past >= day - 30).sum(),
                "purchase__count_all": len(past),
                "purchase__sum_all": 10.0 * len(past),
                "cadence__gap_mean": gaps.mean() if len(gaps) else np.nan,
                "cadence__span_days": past[-1] - past[0],
                "cadence__days": len(past),
                "btyd__x": len(past) - 1,
                "btyd__t_x": past[-1] - past[0],
                "btyd__T": day - past[0],
                "btyd__mean_value": 10.0 if len(gaps) else np.nan,
                "btyd__value_n": len(gaps),
                "stage__code": float(day - past[-1] > 40),
                "always__one": 1.0,
                "no_purchase": float(len(future) == 0),
            }
        )
    frame = pd.DataFrame(rows)
    numbers = [name for name in frame.columns if "__" in name]
    frame = frame.astype(dict.fromkeys(numbers, np.float64))
    frame["label_end_at"] = frame["snapshot_at"] + pd.Timedelta(days=HORIZON)
    return frame.astype({"snapshot_at": "datetime64[s]", "label_end_at": "datetime64[s]"})


def context_of(frame):
    return population_context(population_sums(frame))


@pytest.fixture(scope="module")
def training():
    purchases = history()
    frames = [feature_frame(purchases, at) for at in DATES]
    contexts = {at: context_of(frame) for at, frame in zip(DATES, frames, strict=True)}
    return pd.concat(frames, ignore_index=True), contexts


@pytest.fixture(scope="module")
def test_frame():
    return feature_frame(history(), TEST_AT)


def fit(frame, contexts, **changes):
    arguments = {
        "validation_at": DATES[-1],
        "horizon_days": HORIZON,
        "seed": 1,
        "threads": 1,
        "recipe": QUICK,
    }
    return fit_churn(frame, contexts, **{**arguments, **changes})


@pytest.fixture(scope="module")
def part(training):
    return fit(*training)


def test_it_ranks_and_is_calibrated_and_beats_recency(part, training, test_frame):
    out = predict_churn(part, test_frame, context_of(test_frame))
    y = test_frame["no_purchase"].to_numpy()
    recency = churn_baselines.recency_only(training[0], test_frame)["p_churn"]
    assert metrics.auc(y, out["p_churn"]) > metrics.auc(y, recency) > 0.7
    assert abs(out["p_churn"].mean() - y.mean()) < 0.05
    assert metrics.log_loss(y, out["p_churn"]) < metrics.log_loss(y, np.full(len(y), y.mean()))


def test_the_same_seed_gives_the_same_model(part, training, test_frame):
    again = fit(*training)
    assert json.dumps(again.parameters) == json.dumps(part.parameters)
    context = context_of(test_frame)
    np.testing.assert_array_equal(
        predict_churn(again, test_frame, context)["p_churn"],
        predict_churn(part, test_frame, context)["p_churn"],
    )


def test_batches_of_one_seven_and_all_are_equal(part, test_frame):
    context = context_of(test_frame)
    whole = predict_churn(part, test_frame, context)
    for size in (1, 7):
        head = test_frame.head(21)
        parts = [
            predict_churn(part, head.iloc[at : at + size], context) for at in range(0, 21, size)
        ]
        for name in whole:
            joined = np.concatenate([each[name] for each in parts])
            np.testing.assert_array_equal(joined, whole[name][:21])


def test_columns_are_taken_by_name(part, test_frame):
    context = context_of(test_frame)
    mixed = test_frame[test_frame.columns[::-1]]
    np.testing.assert_array_equal(
        predict_churn(part, mixed, context)["p_churn"],
        predict_churn(part, test_frame, context)["p_churn"],
    )


def test_a_missing_column_is_named(part, test_frame):
    with pytest.raises(ValueError, match="purchase__count_30d"):
        predict_churn(part, test_frame.drop(columns="purchase__count_30d"), context_of(test_frame))


def test_the_part_survives_saving_without_pickle(part, test_frame, tmp_path):
    part.save(tmp_path)
    context = context_of(test_frame)
    np.testing.assert_allclose(
        predict_churn(Part.load(tmp_path), test_frame, context)["p_churn"],
        predict_churn(part, test_frame, context)["p_churn"],
        atol=1e-9,
    )
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".txt"}


def test_only_the_eligible_are_scored(training, test_frame):
    limited = fit(*training, activity_days=20)
    out = predict_churn(limited, test_frame, context_of(test_frame))
    eligible = test_frame["purchase__recency_days"].to_numpy() <= 20
    np.testing.assert_array_equal(out["churn_eligible"], eligible)
    np.testing.assert_array_equal(np.isnan(out["p_churn"]), ~eligible)
    assert {band is None for band in out["churn_band"][~eligible]} == {True}


def test_contracts_are_cancelled_for_their_own_reasons_and_ended_ones_have_no_risk():
    # Who complains cancels, whatever they buy.
    purchases, frames, random = history(), [], np.random.default_rng(5)
    for at in (*DATES, TEST_AT):
        frame = feature_frame(purchases, at)
        frame["complaint__count_30d"] = random.poisson(0.6, len(frame)).astype(float)
        risk = 0.05 + 0.3 * (frame["complaint__count_30d"] > 1)
        frame["no_purchase"] = (random.random(len(frame)) < risk).astype(float)
        frame["cancel__recency_days"] = np.nan
        frames.append(frame)
    train, test = pd.concat(frames[:-1], ignore_index=True), frames[-1]
    contexts = {at: context_of(frame) for at, frame in zip(DATES, frames[:-1], strict=True)}
    part = fit(train, contexts, by="cancel")
    p = predict_churn(part, test, context_of(test))["p_churn"]
    assert metrics.auc(test["no_purchase"].to_numpy(), p) > 0.6
    unhappy = (test["complaint__count_30d"] > 1).to_numpy()
    # The quick recipe on few rows holds the two apart less than they are (.35 and .05).
    assert p[unhappy].mean() > 2 * p[~unhappy].mean()
    assert p.mean() == pytest.approx(test["no_purchase"].mean(), abs=0.03)
    gone = test.copy()
    gone.loc[:9, "cancel__recency_days"] = gone.loc[:9, "purchase__recency_days"]
    gone.loc[10:19, "cancel__recency_days"] = gone.loc[10:19, "purchase__recency_days"] + 1.0
    out = predict_churn(part, gone, context_of(test))
    assert not out["churn_eligible"][:10].any()  # cancelled on the day of the last purchase
    assert out["churn_eligible"][10:].all()  # bought again after it
    assert np.isnan(out["p_churn"][:10]).all()


def test_who_never_bought_is_not_eligible_even_without_a_limit(part, test_frame):
    never = test_frame.head(3).copy()
    never.loc[:, [c for c in never.columns if c.startswith(("purchase", "cad", "btyd"))]] = np.nan
    out = predict_churn(part, never, context_of(test_frame))
    assert not out["churn_eligible"].any()


def test_bands_compare_with_peers(part, test_frame):
    out = predict_churn(part, test_frame, context_of(test_frame))
    assert set(out["churn_band"]) == {"high", "medium", "low"}
    group = churn_group(test_frame)
    bands = part.parameters["bands"]
    lift = churn_lift(bands, group, out["p_churn"])
    assert lift[out["churn_band"] == "high"].min() >= bands["high"]
    assert lift[out["churn_band"] == "low"].max() <= bands["low"]
    for each in np.unique(group):  # within a group the band follows the probability
        p, band = out["p_churn"][group == each], out["churn_band"][group == each]
        if {"high", "low"} <= set(band):
            assert p[band == "high"].min() > p[band == "low"].max()


def test_one_training_snapshot_is_enough(training, test_frame):
    frame, contexts = training
    single = frame[frame["snapshot_at"] == DATES[0]]
    fitted = fit(single, contexts, validation_at=DATES[0])
    p = predict_churn(fitted, test_frame, context_of(test_frame))["p_churn"]
    assert metrics.auc(test_frame["no_purchase"], p) > 0.7
    assert fitted.parameters["snapshots"] == 1


def test_few_customers_get_the_linear_half_only(training, test_frame):
    frame, contexts = training
    few = frame[frame["customer_id"] < "c0040"]
    fitted = fit(few, contexts)
    assert fitted.boosters == {}
    p = predict_churn(fitted, test_frame, context_of(test_frame))["p_churn"]
    assert ((p > 0) & (p < 1)).all()


def test_without_any_signal_the_base_rate_is_predicted(training, test_frame):
    frame, contexts = training
    inputs = [name for name in frame.columns if "__" in name]
    flat, flat_test = frame.copy(), test_frame.copy()
    flat.loc[:, inputs] = 2.0
    flat_test.loc[:, inputs] = 2.0
    same = dict.fromkeys(contexts, contexts[DATES[0]])
    fitted = fit(flat, same)
    out = predict_churn(fitted, flat_test, contexts[DATES[0]])
    assert np.ptp(out["p_churn"]) == 0
    latest = frame.loc[frame["snapshot_at"] == DATES[-1], "no_purchase"]
    np.testing.assert_allclose(out["p_churn"], latest.mean(), atol=0.01)


@pytest.mark.parametrize(
    ("value", "said"), [(1.0, "no customer purchased"), (0.0, "every customer")]
)
def test_one_class_is_refused_with_the_reason(training, value, said):
    frame, contexts = training
    with pytest.raises(ValueError, match=f"one class only.*{said}"):
        fit(frame.assign(no_purchase=value), contexts)


def test_no_labelled_row_is_refused(training):
    frame, contexts = training
    with pytest.raises(ValueError, match="no labelled customer"):
        fit(frame.assign(no_purchase=np.nan), contexts)
    with pytest.raises(ValueError, match="no label column"):
        fit(frame.drop(columns="no_purchase"), contexts)


def test_many_rows_are_sampled_by_customer(training):
    frame, contexts = training
    sampled = fit(frame, contexts, recipe=TwoClassRecipe(max_rounds=20, max_rows=1200))
    assert 1000 < sampled.parameters["rows"] < 1400


def test_constants_and_copies_are_no_inputs(training):
    frame = training[0].assign(copy__of_recency=training[0]["purchase__recency_days"])
    columns = varying_columns(frame)
    assert "purchase__recency_days" in columns
    assert not {"always__one", "copy__of_recency"} & set(columns)


def test_all_rows_of_a_customer_share_a_fold(training):
    frame = training[0]
    fold = pd.Series(random_customer_folds(frame["customer_id"], 3, seed=4))
    assert fold.groupby(frame["customer_id"]).nunique().max() == 1
    assert set(fold) == {0, 1, 2}


def test_logistic_ignores_missing_values_and_needs_no_column(training):
    frame, y = training[0], training[0]["no_purchase"].to_numpy()
    fitted = fit_logistic(frame, ["cadence__gap_mean"], y, strength=0.1)
    assert np.isfinite(linear(fitted, np.array([[np.nan], [3.0]]))).all()
    empty = fit_logistic(frame, [], y, strength=0.1)
    base = sigmoid(linear(empty, np.empty((2, 0))))
    np.testing.assert_allclose(base, y.mean())


def test_baselines(training, test_frame):
    frame = training[0]
    y = test_frame["no_purchase"].to_numpy()
    rfm = churn_baselines.one_snapshot_rfm(frame, test_frame)["p_churn"]
    btyd = churn_baselines.bg_nbd(test_frame, test_frame, horizon_days=HORIZON)
    assert metrics.auc(y, rfm) > 0.7
    assert btyd is not None
    assert metrics.auc(y, btyd["p_churn"]) > 0.7
    assert np.isfinite(metrics.log_loss(y, btyd["p_churn"]))


def test_recency_only_is_monotone_and_knows_one_class(training, test_frame):
    frame = training[0]
    p = churn_baselines.recency_only(frame, test_frame)["p_churn"]
    order = np.argsort(test_frame["purchase__recency_days"].to_numpy(), kind="stable")
    assert (np.diff(p[order]) >= 0).all()
    one = churn_baselines.recency_only(frame.assign(no_purchase=1.0), test_frame)["p_churn"]
    np.testing.assert_array_equal(one, 1.0)
