"""What each column adds to a tree model's score, at the price of one prediction.

A row's leaf fixes its path, and with it what every split on the path changed (Saabas 2014): so each
leaf has one list of additions by column, looked up once a tree. The additions and the score of an
average row add up to the score. Exact Shapley values would average over paths not taken; they cost
some hundred times as much (`docs/reasons.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from scipy import sparse

from features.arrays import Array


@dataclass(frozen=True)
class LeafTable:
    """Additions of a booster's leaves.

    Attributes
    ----------
    booster
        The booster.
    first
        Position of every tree's first leaf.
    additions
        Leaves of all trees x columns.
    base
        Score of an average row: the sum of the roots' values.
    """

    booster: lgb.Booster
    first: Array
    additions: sparse.csr_matrix
    base: float

    @classmethod
    def of(cls, booster: lgb.Booster) -> LeafTable:
        """Read every tree once."""
        rows: list[int] = []
        columns: list[int] = []
        values: list[float] = []
        first, leaves, base = [], 0, 0.0
        for tree in booster.dump_model()["tree_info"]:
            root = tree["tree_structure"]
            base += _value(root)
            first.append(leaves)
            for leaf, path in _paths(root):
                for column, value in path:
                    rows.append(leaves + leaf)
                    columns.append(column)
                    values.append(value)
            leaves += int(tree["num_leaves"])
        shape = (leaves, booster.num_feature())
        additions = sparse.csr_matrix((values, (rows, columns)), shape=shape)
        return cls(booster, np.asarray(first, dtype=np.int64), additions, base)

    def __call__(self, x: Array) -> Array:
        """Additions of every row: rows x columns; with `base` they add up to the raw score."""
        leaf = np.asarray(self.booster.predict(x, pred_leaf=True), dtype=np.int64)
        leaf = leaf.reshape(len(x), -1) + self.first
        trees = leaf.shape[1]
        picked = sparse.csr_matrix(
            (np.ones(leaf.size), leaf.ravel(), np.arange(len(x) + 1) * trees),
            shape=(len(x), self.additions.shape[0]),
        )
        return np.asarray((picked @ self.additions).toarray())


def _value(node: dict[str, Any]) -> float:
    return float(node["internal_value"] if "split_feature" in node else node["leaf_value"])


def _paths(root: dict[str, Any]) -> list[tuple[int, list[tuple[int, float]]]]:
    """Every leaf's number, and what each split on the way to it added."""
    found: list[tuple[int, list[tuple[int, float]]]] = []
    waiting: list[tuple[dict[str, Any], list[tuple[int, float]]]] = [(root, [])]
    while waiting:
        node, path = waiting.pop()
        if "split_feature" not in node:
            found.append((int(node.get("leaf_index", 0)), path))
            continue
        for side in ("left_child", "right_child"):
            change = _value(node[side]) - _value(node)
            waiting.append((node[side], [*path, (int(node["split_feature"]), change)]))
    return found


def mean_additions(boosters: Sequence[lgb.Booster], x: Array) -> Array:
    """Mean over boosters of what every column adds: rows x columns."""
    return np.asarray(np.mean([LeafTable.of(booster)(x) for booster in boosters], axis=0))
