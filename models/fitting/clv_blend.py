"""Blend of the CLV shapes: weights, and the choice between a single shape and the blend.

Both are learned on earlier origins. Each origin has models of its own, fitted only on snapshots
whose labels had matured by then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from features.arrays import Array
from models.fitting.clv_distribution import (
    BuyerSnapshot,
    clv_tail,
    relative_spend,
    select_spend_columns,
)
from models.fitting.clv_shapes import ShapeModels, fit_shapes, past_spend_column
from models.metrics.metrics import TWEEDIE_POWER
from models.scorer.clv_shapes import SHAPES

_MIN_ROWS = 400  # no trees with fewer rows of buyers on fit snapshots
_ORIGINS = 2  # earlier origins that weigh the shapes
_RIDGE = 0.3  # pull of the weights towards equal, in units of the variance of spend
_OFFSET, _POWER = 0.1, 0.75  # rows weigh 1 / (mean shape + offset) ** power in the fit of weights
_CLEAR_GAIN = 0.5  # standard errors of the deviance by which the blend must beat a single shape
BLEND = "blend"
_SIMPLE = (
    "mean",
    "btyd",
    "same_again",
    "contract",
)  # served alone unless the blend is clearly better
_TREES = "gbm"  # served alone only if it is clearly better than the blend, and than contracts


@dataclass(frozen=True)
class TestedOrigin:
    """Shapes of one earlier origin, by models that saw no label of it, and the actual spend."""

    snapshot: BuyerSnapshot
    models: ShapeModels
    shapes: dict[str, Array]

    @property
    def spend(self) -> Array:
        """Actual spend over its mean, one a buyer."""
        return relative_spend(self.snapshot)


@dataclass(frozen=True)
class Blend:
    """Weights of the shapes, the losses they were chosen by, and the reason.

    Attributes
    ----------
    served
        ``blend`` or the name of a single shape.
    weights
        Weight of every served shape; they sum to 1.
    deviances, squares
        Mean Tweedie deviance (up to a constant) and mean squared error of relative spend over the
        earlier origins, by candidate; empty without such origins.
    reason
        A sentence.
    """

    served: str
    weights: dict[str, float]
    deviances: dict[str, float]
    squares: dict[str, float]
    reason: str


def test_origins(
    snapshots: list[BuyerSnapshot],
    columns: list[str],
    *,
    validation: BuyerSnapshot,
    horizon_days: int,
    seed: int,
    threads: int,
) -> tuple[list[TestedOrigin], list[str]]:
    """Earlier origins with their shapes, the validation snapshot first, and the columns used.

    An origin needs 400 rows of buyers with a label that had matured by it. Empty if the validation
    snapshot has too few.
    """
    candidates = [(validation, _matured(snapshots, validation))]
    for origin in reversed([s for s in snapshots if s.at < validation.at]):
        candidates.append((origin, _matured(snapshots, origin)))
    usable = [
        (origin, matured)
        for origin, matured in candidates
        if sum(len(s.rows) for s in matured) >= _MIN_ROWS and origin.spend.sum() > 0
    ]
    if not usable or usable[0][0] is not validation:
        return [], columns
    columns = select_spend_columns(usable[0][1], columns, seed=seed, threads=threads)
    names = shape_names(columns, horizon_days, with_contract=validation.contract is not None)
    tested = []
    for origin, matured in usable[:_ORIGINS]:
        models = fit_shapes(
            matured,
            columns,
            names,
            validation=origin,
            horizon_days=horizon_days,
            seed=seed,
            threads=threads,
        )
        tested.append(TestedOrigin(origin, models, models.predict(origin, names)))
    return tested, columns


test_origins.__test__ = False  # type: ignore[attr-defined]


def _matured(snapshots: list[BuyerSnapshot], origin: BuyerSnapshot) -> list[BuyerSnapshot]:
    return [
        snapshot
        for snapshot in snapshots
        if snapshot.rows["label_end_at"].max() <= origin.at and snapshot.spend.sum() > 0
    ]


def shape_names(
    columns: Sequence[str], horizon_days: int, *, with_contract: bool = False
) -> list[str]:
    """The shapes that the data allow: past spend needs a window, and contracts their fit."""
    is_possible = {
        "same_again": past_spend_column(columns, horizon_days) is not None,
        "contract": with_contract,
    }
    return [name for name in SHAPES if is_possible.get(name, True)]


def usual_weights(
    columns: Collection[str], horizon_days: int, *, contract: bool
) -> dict[str, float]:
    """Weights of the shapes without a tested origin: two thirds BTYD, a third the same spend again.

    BTYD alone where the data have no window of past spend; for contracts their coming payments.
    """
    if contract:
        return {"contract": 1.0}
    if past_spend_column(columns, horizon_days) is None:
        return {"btyd": 1.0}
    return {"btyd": 2 / 3, "same_again": 1 / 3}


def choose_blend(tested: Sequence[TestedOrigin], *, untested: Mapping[str, float]) -> Blend:
    """Blend the shapes, or choose a single one where the blend is not clearly better.

    The blend is compared with every single candidate in Tweedie deviance and squared error over
    all tested origins, and in deviance on each of them. Of the simple methods that it does not
    beat, and trees that beat it (and contracts), the one with the smallest deviance takes its
    place. Without tested origins the weights are those of `untested`.
    """
    if not tested:
        served = next(iter(untested)) if len(untested) == 1 else BLEND
        return Blend(served, dict(untested), {}, {}, "too few matured rows to learn a blend from")
    weights = _ridge_weights(tested)
    singles = [name for name in (*_SIMPLE, _TREES) if name in tested[0].shapes]
    candidates = {name: {name: 1.0} for name in singles} | {BLEND: weights}
    losses = {name: _losses(tested, candidate) for name, candidate in candidates.items()}
    squares = {name: _squares(tested, candidate) for name, candidate in candidates.items()}
    deviances = {name: float(np.concatenate(rows).mean()) for name, rows in losses.items()}
    errors = {name: float(np.concatenate(rows).mean()) for name, rows in squares.items()}
    rivals = [
        name
        for name in singles
        if name != _TREES
        and (errors[BLEND] > errors[name] or not _is_clearly_less(losses[BLEND], losses[name]))
    ]
    others = [name for name in (BLEND, "contract") if name in candidates]
    if all(
        errors[_TREES] < errors[other] and _is_clearly_less(losses[_TREES], losses[other])
        for other in others
    ):
        rivals.append(_TREES)
    served = min(rivals, key=lambda name: deviances[name]) if rivals else BLEND
    return Blend(served, candidates[served], deviances, errors, _reason(served))


def _reason(served: str) -> str:
    if served == BLEND:
        return "the blend of the shapes beats each simple method on earlier origins"
    return f"the blend is not clearly better than {served} on earlier origins"


def _is_clearly_less(losses: Sequence[Array], others: Sequence[Array]) -> bool:
    """True if the losses of matching rows are less on every origin, and clearly so over all."""
    gains = [other - loss for loss, other in zip(losses, others, strict=True)]
    pooled = np.concatenate(gains)
    standard_error = float(pooled.std()) / np.sqrt(len(pooled))
    return bool(
        min(gain.mean() for gain in gains) > 0 and pooled.mean() > _CLEAR_GAIN * standard_error
    )


def _ridge_weights(tested: Sequence[TestedOrigin]) -> dict[str, float]:
    """Non-negative weights by least squares with a ridge towards equal weights."""
    names = [name for name in tested[0].shapes if name != "mean"]
    equal = 1.0 / len(names)
    matrices, targets = [], []
    for origin in tested:
        shapes = np.stack([origin.shapes[name] for name in names], axis=1)
        row_weights = np.sqrt((shapes.mean(axis=1) + _OFFSET) ** -_POWER)
        target = origin.spend * row_weights
        size = max(float(np.sqrt((target**2).sum())), 1e-12)
        matrices.append(shapes * row_weights[:, None] / size)
        targets.append(target / size)
    pull = np.sqrt(_RIDGE * len(tested))
    weights, _ = nnls(
        np.concatenate([*matrices, pull * np.eye(len(names))]),
        np.concatenate([*targets, np.full(len(names), pull * equal)]),
    )
    total = float(weights.sum())
    if total <= 0:
        return dict.fromkeys(names, equal)
    return {
        name: float(weight) / total
        for name, weight in zip(names, weights, strict=True)
        if weight > 0
    }


def mixed_shape(shapes: Mapping[str, Array], weights: Mapping[str, float]) -> Array:
    """Weighted sum of shapes."""
    return np.asarray(sum(weight * shapes[name] for name, weight in weights.items()))


def _mixture(origin: TestedOrigin, weights: Mapping[str, float]) -> Array:
    """A candidate's relative spend as it would be served: BTYD's above the tail, mean 1."""
    mixed, tail = mixed_shape(origin.shapes, weights), clv_tail(origin.snapshot)
    if tail and set(weights) != {"btyd"}:
        expected = origin.snapshot.expected
        share = 1.0 - np.minimum(1.0, tail / np.maximum(expected, 1e-12))
        mixed = (1.0 - share) * mixed + share * origin.shapes.get("contract", origin.shapes["btyd"])
    return np.asarray(mixed / max(float(mixed.mean()), 1e-12))


def _losses(tested: Sequence[TestedOrigin], weights: Mapping[str, float]) -> list[Array]:
    """Tweedie deviance of each row by origin, without the terms that depend on the truth alone."""
    return [_tweedie(origin.spend, _mixture(origin, weights)) for origin in tested]


def _tweedie(target: Array, prediction: Array) -> Array:
    clipped = np.maximum(prediction, 1e-3)
    return np.asarray(
        -target * clipped ** (1 - TWEEDIE_POWER) / (1 - TWEEDIE_POWER)
        + clipped ** (2 - TWEEDIE_POWER) / (2 - TWEEDIE_POWER)
    )


def _squares(tested: Sequence[TestedOrigin], weights: Mapping[str, float]) -> list[Array]:
    return [np.square(origin.spend - _mixture(origin, weights)) for origin in tested]


def fit_blend(
    snapshots: list[BuyerSnapshot],
    columns: list[str],
    blend: Blend,
    tested: Sequence[TestedOrigin],
    *,
    horizon_days: int,
    seed: int,
    threads: int,
) -> ShapeModels:
    """Fit the served shapes again on all matured snapshots, with the rounds of the origins."""
    prefixes = {prefix for origin in tested for prefix in origin.models.rounds}
    rounds = {
        prefix: int(np.mean([origin.models.rounds[prefix] for origin in tested]))
        for prefix in prefixes
    }
    spending = [snapshot for snapshot in snapshots if snapshot.spend.sum() > 0]
    return fit_shapes(
        spending,
        columns,
        list(blend.weights),
        rounds=rounds,
        horizon_days=horizon_days,
        seed=seed,
        threads=threads,
    )


def report_of(blend: Blend, tested: Sequence[TestedOrigin]) -> dict[str, Any]:
    """The decisions for the model card, JSON-able."""
    return {
        "served": blend.served,
        "why": blend.reason,
        "weights": blend.weights,
        "deviances": blend.deviances,
        "squared_errors": blend.squares,
        "tested_origins": [str(origin.snapshot.at.date()) for origin in tested],
    }
