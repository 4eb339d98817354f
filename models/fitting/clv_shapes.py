"""Fit the shapes of CLV: regressions and trees of spend relative to the mean of its snapshot."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import lightgbm as lgb
import numpy as np

from features.arrays import Array
from models.fitting.clv_distribution import (
    TWEEDIE_SETTINGS,
    BuyerSnapshot,
    clv_floor,
    relative_spend,
    spend_glm,
    stacked_rows,
)
from models.scorer.clv_shapes import SHAPE_BOOSTERS, spend_shapes, starting_scores
from models.scorer.linear_model import matrix

_MAX_ROUNDS, _PATIENCE, _REFIT_FACTOR = 300, 20, 1.2
_SEEDS = 2
_OBJECTIVES: dict[str, dict[str, Any]] = {
    "gbm_": {},
    "start_": {},
    "any_": {"objective": "binary", "metric": "binary_logloss"},
    "amount_": {"objective": "gamma", "metric": "gamma"},
}


@dataclass(frozen=True)
class ShapeModels:
    """Fitted models of the shapes, as the part of the artifact that `spend_shapes` reads."""

    parameters: dict[str, Any]
    boosters: dict[str, lgb.Booster] = field(default_factory=dict)
    rounds: dict[str, int] = field(default_factory=dict)

    def predict(self, snapshot: BuyerSnapshot, names: Collection[str]) -> dict[str, Array]:
        """Shapes of the buyers of a snapshot, each divided by its mean."""
        floor = {"floor": clv_floor(snapshot)}
        shapes = spend_shapes(self.parameters | floor, self.boosters, snapshot.rows, names)
        return {name: shape / max(float(shape.mean()), 1e-12) for name, shape in shapes.items()}


def past_spend_column(columns: Collection[str], horizon_days: int) -> str | None:
    """Column of the spend in the window nearest in length to the horizon; None without windows."""
    matches = (re.fullmatch(r"purchase__sum_(\d+)d", name) for name in columns)
    windows = [int(match.group(1)) for match in matches if match]
    if not windows:
        return None
    nearest = min(windows, key=lambda days: (abs(np.log(days / horizon_days)), days))
    return f"purchase__sum_{nearest}d"


@dataclass(frozen=True)
class _Learned:
    """Rows, target and starting score that the trees of one prefix learn from."""

    inputs: Array
    target: Array
    start: Array | None = None


def _learned(prefix: str, inputs: Array, target: Array, btyd_logs: Array) -> _Learned:
    """The rows of one model: all, or for the amount those who spent anything."""
    if prefix == "any_":
        return _Learned(inputs, (target > 0).astype(np.float64))
    if prefix == "amount_":
        spent = target > 0
        return _Learned(inputs[spent], target[spent])
    if prefix == "start_":
        level = np.log(max(float(target.mean()), 1e-9) / np.exp(btyd_logs).mean())
        return _Learned(inputs, target, btyd_logs + level)
    return _Learned(inputs, target)


def fit_shapes(
    snapshots: list[BuyerSnapshot],
    columns: list[str],
    names: Collection[str],
    *,
    validation: BuyerSnapshot | None = None,
    rounds: Mapping[str, int] | None = None,
    horizon_days: int,
    seed: int,
    threads: int,
) -> ShapeModels:
    """Fit the models of the named shapes on the buyers of some snapshots.

    Parameters
    ----------
    snapshots
        Buyers with their spend; every snapshot weighs its spend by its own mean.
    columns
        Inputs of the trees.
    names
        Names of `SHAPES`; those without trees take little time.
    validation
        Later snapshot for early stopping, with one seed; None to fit `rounds` rounds.
    rounds
        Rounds by prefix, without `validation`.
    horizon_days
        Days of the horizon.
    seed, threads
        Of LightGBM.
    """
    parameters: dict[str, Any] = {
        "columns": columns,
        "same_again": past_spend_column(columns, horizon_days),
        "glm": None,
    }
    prefixes = [prefix for name in names for prefix in SHAPE_BOOSTERS.get(name, ())]
    if not prefixes and "glm" not in names:
        return ShapeModels(parameters)
    inputs, target, btyd_logs = stacked_rows(snapshots, columns)
    if "glm" in names:
        parameters["glm"] = spend_glm(inputs, target, columns)
    boosters: dict[str, lgb.Booster] = {}
    used_rounds: dict[str, int] = {}
    held_out = None
    if validation is not None:
        held_out = (
            matrix(validation.rows, columns),
            relative_spend(validation),
            starting_scores(validation.expected, clv_floor(validation)),
        )
    for prefix in prefixes:
        learned = _learned(prefix, inputs, target, btyd_logs)
        settings = {**TWEEDIE_SETTINGS, **_OBJECTIVES[prefix], "num_threads": threads}
        data = lgb.Dataset(
            learned.inputs, learned.target, init_score=learned.start, params=settings,
            free_raw_data=False,
        )  # fmt: skip
        if held_out is None:
            count = max(round((rounds or {}).get(prefix, 1) * _REFIT_FACTOR), 1)
            for number in range(_SEEDS):
                booster = lgb.train({**settings, "seed": seed + number}, data, count)
                boosters[f"{prefix}{number}"] = _trimmed(booster, count)
            continue
        checked = _learned(prefix, *held_out)
        valid = data.create_valid(checked.inputs, checked.target, init_score=checked.start)
        booster = lgb.train(
            {**settings, "seed": seed},
            data,
            _MAX_ROUNDS,
            valid_sets=[valid],
            callbacks=[lgb.early_stopping(_PATIENCE, verbose=False)],
        )
        used_rounds[prefix] = max(booster.best_iteration, 1)
        boosters[f"{prefix}0"] = _trimmed(booster, used_rounds[prefix])
    return ShapeModels(parameters, boosters, used_rounds)


def _trimmed(booster: lgb.Booster, rounds: int) -> lgb.Booster:
    return lgb.Booster(model_str=booster.model_to_string(num_iteration=rounds))
