from __future__ import annotations

import numpy as np
import pandas as pd

from campaigns.effects.sample_ratio import (
    joint_sample_ratio_p_value,
    sample_ratio_p_value,
    sample_ratios_by_wave,
)


def test_arms_that_contradict_the_draw_are_noticed() -> None:
    assert sample_ratio_p_value(800, 200, 0.2) > 0.9
    assert sample_ratio_p_value(900, 100, 0.2) < 1e-6
    assert np.isnan(sample_ratio_p_value(10, 0, 0.0))


def waves(control_by_wave: list[int]) -> pd.DataFrame:
    wave = np.repeat(np.arange(len(control_by_wave)), 100)
    treated = np.concatenate([np.arange(100) >= control for control in control_by_wave])
    return sample_ratios_by_wave(
        pd.Series(wave), pd.Series(np.full(len(wave), 0.2)), pd.Series(treated)
    )


def test_two_wrong_waves_that_cancel_are_noticed() -> None:
    wrong = waves([0, 40, 20])
    assert list(wrong["n_control"]) == [0, 40, 20]
    assert joint_sample_ratio_p_value(wrong) < 1e-4


def test_many_waves_a_little_short_are_noticed_together() -> None:
    short = waves([15] * 50)
    assert short["sample_ratio_p"].min() > 0.1
    assert joint_sample_ratio_p_value(short) < 1e-6


def test_right_draws_are_seldom_called_wrong() -> None:
    rng = np.random.default_rng(0)
    p_values = [
        joint_sample_ratio_p_value(waves(list(rng.binomial(100, 0.2, 10)))) for _ in range(200)
    ]
    assert np.mean(np.array(p_values) < 0.05) < 0.1
    assert min(p_values) > 1e-4
