"""Many rows at once give LightGBM's own numbers, to the last bit."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from models.scorer import fast_trees
from models.scorer.fast_trees import Forest, SplitPoints, _forest, raw_score

ROWS, COLUMNS = 3000, 12
KINDS: dict[str, dict[str, Any]] = {
    "binary": {"objective": "binary", "num_leaves": 15},
    "multiclass": {"objective": "multiclass", "num_class": 4, "num_leaves": 5},
    "tweedie": {"objective": "tweedie", "num_leaves": 31},
    "many leaves": {"objective": "binary", "num_leaves": 200, "min_data_in_leaf": 2},
}


def inputs(seed: int) -> np.ndarray[Any, Any]:
    """Counts, amounts of many sizes and signs, constants, missing values, and ends of the line."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, COLUMNS))
    x[:, 2:5] = np.floor(np.exp(2.0 * x[:, 2:5]))
    x[:, 5] = np.exp(12.0 * x[:, 5]) * np.sign(x[:, 6])
    x[:, 7] = 300.0 + rng.integers(0, 60, ROWS) / 8  # many split points of equal leading bits
    x[:, 8] = 1.0
    for column, share in ((0, 0.2), (3, 0.3), (9, 0.95)):
        x[rng.random(ROWS) < share, column] = np.nan
    return x


def boosters(kind: str, seeds: int = 3) -> list[lgb.Booster]:
    """Boosters on the same inputs."""
    x, rng = inputs(0), np.random.default_rng(1)
    settings = {**KINDS[kind], "num_threads": 1, "feature_fraction": 0.7, "verbose": -1}
    signal = x[:, 1] + 0.3 * np.nan_to_num(x[:, 0]) + np.isnan(x[:, 3]) + (x[:, 7] > 303)
    y = (signal + rng.normal(size=ROWS) > 0.5).astype(float)
    if kind == "multiclass":
        y = np.digitize(signal, [-0.5, 0.5, 1.5]).astype(float)
    data = lgb.Dataset(x, y, params=settings, free_raw_data=False)
    return [lgb.train({**settings, "seed": seed}, data, 12) for seed in range(seeds)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_forest_is_lightgbm_to_the_last_bit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, x = boosters(kind), inputs(2)
    x[0], x[1], x[2], x[3] = np.inf, -np.inf, np.nan, 0.0
    x[4], x[5], x[6] = -0.0, 1e-310, 1e300
    for row, point in enumerate(made[0].trees_to_dataframe()["threshold"].dropna().head(500)):
        x[10 + row] = point  # exactly on a split point goes left
    wanted = [each.predict(x, raw_score=True) for each in made]
    monkeypatch.setattr(fast_trees, "_FOREST_BLOCK", 1000)  # several blocks, the last one shorter
    forest = Forest.of(made)
    assert forest is not None
    for ours, theirs in zip(forest.raw(x), wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_few_rows_and_many_rows_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    made, x = boosters("binary", 1), inputs(3)
    few = raw_score(made[0], x)
    monkeypatch.setattr(fast_trees, "_FOREST_FROM", 1)
    assert _forest(tuple(made), (12,)) is not None  # it is the other way
    np.testing.assert_array_equal(raw_score(made[0], x), few)


def test_a_booster_that_has_grown_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_trees, "_FOREST_FROM", 1)
    x, settings = inputs(0), {"objective": "binary", "num_threads": 1, "verbose": -1}
    data = lgb.Dataset(x, (x[:, 1] > 0).astype(float), params=settings, free_raw_data=False)
    booster = lgb.Booster(settings, data)
    for _ in range(2):
        booster.update()
        wanted = booster.predict(x, raw_score=True)
        np.testing.assert_array_equal(raw_score(booster, x), wanted)


def test_kinds_of_trees_that_are_not_covered_stay_with_lightgbm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fast_trees, "_FOREST_FROM", 1)
    x = np.nan_to_num(inputs(0))
    y = (x[:, 1] > 0).astype(float)
    kinds: list[dict[str, Any]] = [
        {"linear_tree": True},
        {"zero_as_missing": True},
        {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1},
        {"num_leaves": 400, "min_data_in_leaf": 1},
    ]
    for kind in kinds:
        settings = {"objective": "binary", "num_threads": 1, "verbose": -1, **kind}
        booster = lgb.train(settings, lgb.Dataset(x, y, params=settings), 3)
        wanted = booster.predict(x, raw_score=True)
        np.testing.assert_array_equal(raw_score(booster, x), wanted)
        if "num_leaves" not in kind:
            assert Forest.of([booster]) is None


def test_a_wrong_number_of_inputs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_trees, "_FOREST_FROM", 1)
    with pytest.raises(lgb.basic.LightGBMError, match="number of features"):
        raw_score(boosters("binary", 1)[0], inputs(0)[:, :-1])


@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("points", [1, 7, 300])
def test_codes_count_the_points_below(spread: float, points: int) -> None:
    rng = np.random.default_rng(0)
    given = np.append(rng.normal(size=points) * spread, [-0.0, 1e-35, -1e-35])
    values = np.concatenate([given, rng.normal(size=500) * spread, [0.0, -0.0, np.inf, -np.inf]])
    found = SplitPoints.of(given).codes(values)
    np.testing.assert_array_equal(found, (values[:, None] > np.unique(given + 0.0)).sum(axis=1))
    assert SplitPoints.of(given).codes(np.asarray([np.nan, -np.nan])).tolist() == [0, 0]
