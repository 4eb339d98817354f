"""Shapes of CLV: models of who spends more than whom, each up to a factor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import lightgbm as lgb
import numpy as np

from .fast_trees import raw_scores
from .feature_rows import Rows, number_column
from .linear_model import linear, matrix, sigmoid
from .part import Array

# In the order of their cost and complexity: the simplest first.
SHAPES = ("mean", "btyd", "same_again", "contract", "glm", "gbm", "gbm_on_btyd", "hurdle")
# Prefixes of the boosters that a shape needs.
SHAPE_BOOSTERS = {
    "gbm": ("gbm_",),
    "gbm_on_btyd": ("start_",),
    "hurdle": ("any_", "amount_"),
}
_LOG_LIMIT = 30.0  # of a log score, so that no sum overflows


def _exponential(log_scores: Array) -> Array:
    return np.asarray(np.exp(np.clip(log_scores, -_LOG_LIMIT, _LOG_LIMIT)))


def expected_spend(rows: Rows) -> Array:
    """Expected spend (money) that sets the level: by contracts where there are any, else by BTYD.

    Parameters
    ----------
    rows
        Buyers from `models.scorer.clv.clv_with_btyd`.
    """
    btyd_clv = number_column(rows, "btyd__clv")
    if "contract__clv" not in rows:
        return np.asarray(btyd_clv)
    contract_clv = number_column(rows, "contract__clv")
    return np.where(np.isnan(contract_clv), btyd_clv, contract_clv)


def starting_scores(expected: Array, floor: float) -> Array:
    """Log of the expected spend over `floor`, at least 0: where the trees on top of it begin."""
    return np.asarray(np.log(np.maximum(expected, floor) / floor))


def spend_shapes(
    parameters: Mapping[str, Any],
    boosters: Mapping[str, lgb.Booster],
    rows: Rows,
    names: Iterable[str],
) -> dict[str, Array]:
    """Relative spend of buyers by every named shape, at least 0; comparable within a shape only.

    Parameters
    ----------
    parameters
        ``columns`` (inputs of the trees), ``glm``, ``floor`` (money) and ``same_again`` (name of
        the column of past spend) of the part.
    boosters
        Boosters of the part; those of the named shapes are used.
    rows
        Buyers with their BTYD expectations, from `clv_with_btyd`.
    names
        Names of `SHAPES`.
    """
    features = None
    shapes: dict[str, Array] = {}
    btyd_clv = number_column(rows, "btyd__clv")
    for name in names:
        if name in SHAPE_BOOSTERS and features is None:
            features = matrix(rows, parameters["columns"])
        scores = [
            _mean_score(boosters, prefix, features) for prefix in SHAPE_BOOSTERS.get(name, ())
        ]
        if name == "mean":
            shapes[name] = np.ones(len(rows))
        elif name == "btyd":
            shapes[name] = np.maximum(btyd_clv, parameters["floor"])
        elif name == "contract":
            shapes[name] = np.maximum(expected_spend(rows), parameters["floor"])
        elif name == "same_again":
            shapes[name] = np.maximum(
                np.nan_to_num(matrix(rows, [parameters["same_again"]]))[:, 0], 0.0
            )
        elif name == "glm":
            glm = parameters["glm"]
            shapes[name] = _exponential(linear(glm, matrix(rows, glm["columns"])))
        elif name == "gbm":
            shapes[name] = _exponential(scores[0])
        elif name == "gbm_on_btyd":
            start = starting_scores(expected_spend(rows), parameters["floor"])
            shapes[name] = _exponential(start + scores[0])
        else:
            shapes[name] = sigmoid(scores[0]) * _exponential(scores[1])
    return shapes


def any_order_scores(
    parameters: Mapping[str, Any], boosters: Mapping[str, lgb.Booster], rows: Rows
) -> Array | None:
    """Log-odds of any order within the horizon by the hurdle's trees; None without them."""
    if not any(name.startswith("any_") for name in boosters):
        return None
    return _mean_score(boosters, "any_", matrix(rows, parameters["columns"]))


def _mean_score(boosters: Mapping[str, lgb.Booster], prefix: str, features: Any) -> Array:
    """Mean raw score of the boosters of one model."""
    names = sorted(name for name in boosters if name.startswith(prefix))
    return np.asarray(np.mean(raw_scores([boosters[name] for name in names], features), axis=0))
