from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from campaigns.policy.skewed_mean import mean_interval


def test_without_skew_it_is_the_interval_of_student() -> None:
    values = np.array([-2.0, -1, 0, 1, 2] * 4)
    error = values.std(ddof=1) / np.sqrt(len(values))
    reach = stats.t.ppf(0.975, len(values) - 1) * error
    assert mean_interval(values) == pytest.approx((-reach, reach))


def test_the_interval_is_longer_on_the_side_of_the_long_tail() -> None:
    values = np.random.default_rng(1).lognormal(0, 1.5, 500)
    low, high = mean_interval(values)
    assert high - values.mean() > 1.2 * (values.mean() - low)
    mirrored = mean_interval(-values)
    assert mirrored == pytest.approx((-high, -low))


def test_it_holds_the_mean_of_skewed_numbers_more_often_than_a_symmetric_one() -> None:
    rng, truth = np.random.default_rng(2), np.exp(0.5)
    samples = rng.lognormal(0, 1, (2_000, 60))
    coverage = np.mean([low <= truth <= high for low, high in map(mean_interval, samples)])
    reach = 2 * samples.std(axis=1, ddof=1) / np.sqrt(60)
    symmetric = np.mean(abs(samples.mean(axis=1) - truth) <= reach)
    assert coverage > symmetric + 0.01
    assert coverage > 0.91


def test_constant_and_missing_numbers() -> None:
    assert mean_interval(np.full(9, 3.0)) == (3.0, 3.0)
    assert np.isnan(mean_interval(np.array([1.0]))).all()
