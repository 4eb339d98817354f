"""Calibration maps: known answers, monotone, JSON, and the adoption rule."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.fitting.calibration import (
    CALIBRATION_KINDS,
    CalibrationTrial,
    choose_calibration,
    fit_calibration,
)
from models.metrics import metrics
from models.scorer.churn import apply_calibration
from tests.tries import tries


def sample(rows=4000, seed=0, shift=0.0):
    generator = np.random.default_rng(seed)
    truth = generator.beta(1.0, 3.0, rows)
    odds = np.log(truth / (1 - truth)) + shift
    return (generator.random(rows) < truth).astype(float), 1 / (1 + np.exp(-odds))


@pytest.mark.parametrize("kind", CALIBRATION_KINDS)
def test_a_map_corrects_a_shift_and_survives_json(kind):
    y, p = sample(shift=1.2)
    fitted = json.loads(json.dumps(fit_calibration(kind, y, p)))
    test_y, test_p = sample(seed=1, shift=1.2)
    assert metrics.ece(test_y, test_p) > 0.15
    assert metrics.ece(test_y, apply_calibration(fitted, test_p)) < 0.03


def test_platt_recovers_the_shift():
    y, p = sample(rows=60_000, shift=1.2)
    fitted = fit_calibration("platt", y, p)
    assert fitted["slope"] == pytest.approx(1.0, abs=0.05)
    assert fitted["intercept"] == pytest.approx(-1.2, abs=0.06)


@pytest.mark.parametrize("kind", CALIBRATION_KINDS)
@settings(max_examples=tries(15), deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-3, 3))
def test_maps_are_monotone_and_stay_within_zero_and_one(kind, seed, shift):
    y, p = sample(rows=60, seed=seed, shift=shift)
    grid = np.linspace(0, 1, 200)
    out = apply_calibration(fit_calibration(kind, y, p), grid)
    assert (np.diff(out) >= -1e-12).all()
    assert (out >= 0).all()
    assert (out <= 1).all()


def test_separable_data_stay_finite():
    y = np.r_[np.zeros(50), np.ones(50)]
    for kind in CALIBRATION_KINDS:
        out = apply_calibration(
            fit_calibration(kind, y, np.linspace(0.01, 0.99, 100)), np.r_[0.0, 1.0]
        )
        assert np.isfinite(out).all()
        assert 0 <= out[0] < 0.1 < 0.9 < out[1] <= 1


def test_one_class_or_raw_leaves_probabilities_alone():
    p = np.array([0.2, 0.4])
    assert fit_calibration("platt", np.zeros(2), p) == {"kind": "raw"}
    np.testing.assert_array_equal(apply_calibration({"kind": "raw"}, p), p)


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="unknown calibration 'spline'"):
        fit_calibration("spline", [0, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="unknown calibration 'spline'"):
        apply_calibration({"kind": "spline"}, np.array([0.1]))


def trials(count, shift, test_shift=None):
    test_shift = shift if test_shift is None else test_shift
    return [
        CalibrationTrial(
            *sample(seed=2 * i, shift=shift), *sample(seed=2 * i + 1, shift=test_shift)
        )
        for i in range(count)
    ]


def test_a_map_is_adopted_only_after_three_wins():
    assert choose_calibration(trials(3, 1.0)) in CALIBRATION_KINDS
    assert choose_calibration(trials(2, 1.0)) == "raw"
    assert choose_calibration([]) == "raw"


def test_a_map_that_hurts_when_the_season_turns_is_not_adopted():
    assert choose_calibration(trials(5, 0.8, test_shift=-0.8)) == "raw"
    # Three wins out of eight are no majority.
    assert choose_calibration(trials(3, 0.8) + trials(5, 0.8, test_shift=-0.8)) == "raw"
