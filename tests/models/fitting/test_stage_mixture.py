"""The mixture of the stage's methods: weights follow what the methods were worth."""

from __future__ import annotations

import numpy as np
import pytest

from models.fitting.stage_mixture import mixture_weights


def test_the_best_weights_are_found() -> None:
    # Each method knows half of the rows: the likeliest mixture weighs both the same.
    good, bad = np.full(500, 0.9), np.full(500, 0.1)
    halves = {"trees": np.r_[good, bad], "table": np.r_[bad, good]}
    assert mixture_weights(halves) == pytest.approx({"trees": 0.5, "table": 0.5})


def test_a_useless_method_is_left_out_where_there_are_rows_and_kept_where_there_are_few() -> None:
    def weights(rows: int) -> dict[str, float]:
        return mixture_weights({"trees": np.full(rows, 0.01), "table": np.full(rows, 0.8)})

    assert weights(100_000) == {"table": 1.0}
    assert weights(20)["trees"] > 0.1
    assert weights(0) == pytest.approx({"trees": 0.5, "table": 0.5})


def test_no_other_weights_are_likelier() -> None:
    generator = np.random.default_rng(3)
    likelihoods = {name: generator.random(2_000) for name in ("trees", "table", "rule")}
    weights = mixture_weights(likelihoods)
    rows = np.column_stack(list(likelihoods.values()))

    def score(values: np.ndarray) -> float:
        prior = 50.0 / 3 * np.log(values).sum()
        return float(np.log(rows @ values).sum() + prior)

    best = score(np.array(list(weights.values())))
    for other in generator.dirichlet(np.ones(3) * 20, 200):
        assert score(other) <= best + 1e-6
