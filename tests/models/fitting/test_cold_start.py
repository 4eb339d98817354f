"""Cold start: customers with days of history, whose truth the tests know."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from models.fitting.cold_start import fit_back_off
from models.metrics import metrics
from models.scorer.cold_start import cold_rates, mix_cohort_rates
from models.scorer.score_columns import fact_columns

CHANNELS = {"email": -1.5, "social": 1.5, "search": 0.0}


def customers(n: int, *, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Rows, outcome, a model that tells cold ones apart by noise, and the true chance.

    Of the cold, channel and days of history decide; of others the model knows the chance.
    """
    rng = np.random.default_rng(seed)
    tenure = rng.integers(0, 120, n).astype(float)
    channel = rng.choice(list(CHANNELS), n)
    cold = tenure < 30
    z = np.where(cold, np.vectorize(CHANNELS.get)(channel) + (tenure < 7), rng.normal(size=n))
    seen = np.where(cold, rng.normal(0.0, 1.5, n), z)
    frame = pd.DataFrame(
        {
            "customer_id": [f"{seed}c{number}" for number in range(n)],
            "tenure__days": tenure,
            "preferred_channel": channel,
        }
    )
    truth = 1 / (1 + np.exp(-z))
    return frame, (rng.random(n) < truth).astype(float), 1 / (1 + np.exp(-seen)), truth


def test_cold_chances_are_better_with_back_off_and_others_are_left_alone() -> None:
    frame, y, p, _ = customers(6000, seed=1)
    fitted = fit_back_off(frame, y, p)
    assert fitted is not None
    assert fitted["weight"] == 1.0
    fitted = json.loads(json.dumps(fitted))
    later, y, p, truth = customers(6000, seed=2)
    q = mix_cohort_rates(fitted, later, p)
    cold = (later["tenure__days"] < 30).to_numpy()
    np.testing.assert_array_equal(q[~cold], p[~cold])
    assert metrics.log_loss(y[cold], q[cold]) < 0.8 * metrics.log_loss(y[cold], p[cold])
    assert metrics.ece(y[cold], q[cold]) < 0.5 * metrics.ece(y[cold], p[cold])
    assert np.abs(q[cold] - truth[cold]).mean() < 0.05 < np.abs(p[cold] - truth[cold]).mean()


def test_a_model_that_knows_is_left_alone() -> None:
    frame, y, _, truth = customers(6000, seed=3)
    fitted = fit_back_off(frame, y, truth)
    assert fitted is not None
    assert fitted["weight"] <= 0.5  # no more than the channel's own rate would tell
    later, _, _, truth = customers(2000, seed=4)
    assert np.abs(mix_cohort_rates(fitted, later, truth) - truth).max() < 0.06


def test_small_channels_back_off_to_their_cohort_and_unknown_ones_too() -> None:
    frame, y, p, _ = customers(4000, seed=5)
    frame.loc[:1, "preferred_channel"] = "fax"
    frame.loc[:1, "tenure__days"] = 3.0
    y[:2] = 1.0
    fitted = fit_back_off(frame, y, p)
    assert fitted is not None
    young = fitted["cohorts"][0]
    assert young < fitted["channels"]["fax"][0] < young + 0.05
    row = pd.DataFrame({"tenure__days": [3.0, 3.0], "preferred_channel": ["pigeon", None]})
    np.testing.assert_allclose(cold_rates(fitted, row), young)
    rates = cold_rates(fitted, row.drop(columns="preferred_channel"))
    np.testing.assert_allclose(rates, young)


@pytest.mark.parametrize("case", ["few", "one outcome", "no tenure"])
def test_too_little_to_learn_from_gives_nothing(case: str) -> None:
    frame, y, p, _ = customers(3000 if case != "few" else 150, seed=6)
    if case == "one outcome":
        y[:] = 1.0
    if case == "no tenure":
        frame = frame.drop(columns="tenure__days")
    assert fit_back_off(frame, y, p) is None
    np.testing.assert_array_equal(mix_cohort_rates(None, frame, p), p)


def test_alone_and_among_others_alike() -> None:
    frame, y, p, _ = customers(3000, seed=7)
    fitted = fit_back_off(frame, y, p)
    whole = mix_cohort_rates(fitted, frame.head(50), p[:50])
    alone = [mix_cohort_rates(fitted, frame.iloc[[n]], p[[n]])[0] for n in range(50)]
    np.testing.assert_array_equal(whole, alone)


def test_quality_marks_days_of_history_and_few_purchases() -> None:
    frame = pd.DataFrame(
        {
            "snapshot_at": pd.Timestamp("2024-01-01"),
            "tenure__days": [3.0, 29.0, 30.0, 400.0, np.nan],
            "cadence__days": [5.0, 1.0, 2.0, 3.0, 0.0],
        }
    )
    quality = fact_columns(frame, {"stages": ["a"]})["score_quality"]
    assert quality.tolist() == ["cold", "cold", "thin", "ok", "thin"]
