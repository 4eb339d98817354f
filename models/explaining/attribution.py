"""Additions of each column to a tree model's score, at the cost of one prediction.

A row's leaf determines its path, and the change of the node value at each split of the path
(Saabas 2014). So each leaf has one list of additions by column, looked up once a tree. Additions
and the score of an average row sum to the score. Exact Shapley values would also average over paths
not taken; they cost about a hundred times as much (`docs/reasons.md`).
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
        LightGBM model.
    first
        Position of each tree's first leaf.
    additions
        Leaves of all trees x columns.
    base
        Score of an average row: sum of the root values.
    """

    booster: lgb.Booster
    first: Array
    additions: sparse.csr_matrix
    base: float

    @classmethod
    def of(cls, booster: lgb.Booster) -> LeafTable:
        """Read all trees of a booster."""
        leaf_numbers: list[int] = []
        columns: list[int] = []
        added_values: list[float] = []
        first_leaves, leaf_count, base_score = [], 0, 0.0
        for tree_dump in booster.dump_model()["tree_info"]:
            root_node = tree_dump["tree_structure"]
            base_score += _value(root_node)
            first_leaves.append(leaf_count)
            for leaf, leaf_path in _paths(root_node):
                for column, addition in leaf_path:
                    leaf_numbers.append(leaf_count + leaf)
                    columns.append(column)
                    added_values.append(addition)
            leaf_count += int(tree_dump["num_leaves"])
        shape = (leaf_count, booster.num_feature())
        additions = sparse.csr_matrix((added_values, (leaf_numbers, columns)), shape=shape)
        return cls(booster, np.asarray(first_leaves, dtype=np.int64), additions, base_score)

    def __call__(self, features: Array) -> Array:
        """Additions: rows x columns; with `base` they sum to the raw score."""
        leaf_number = np.asarray(self.booster.predict(features, pred_leaf=True), dtype=np.int64)
        leaf_number = leaf_number.reshape(len(features), -1) + self.first
        tree_count = leaf_number.shape[1]
        leaf_of_row = sparse.csr_matrix(
            (
                np.ones(leaf_number.size),
                leaf_number.ravel(),
                np.arange(len(features) + 1) * tree_count,
            ),
            shape=(len(features), self.additions.shape[0]),
        )
        return np.asarray((leaf_of_row @ self.additions).toarray())


def _value(node: dict[str, Any]) -> float:
    return float(node["internal_value"] if "split_feature" in node else node["leaf_value"])


def _paths(root: dict[str, Any]) -> list[tuple[int, list[tuple[int, float]]]]:
    """Number of each leaf, with column and addition of each split on its path."""
    leaf_paths: list[tuple[int, list[tuple[int, float]]]] = []
    open_nodes: list[tuple[dict[str, Any], list[tuple[int, float]]]] = [(root, [])]
    while open_nodes:
        node, additions = open_nodes.pop()
        if "split_feature" not in node:
            leaf_paths.append((int(node.get("leaf_index", 0)), additions))
            continue
        for side in ("left_child", "right_child"):
            change = _value(node[side]) - _value(node)
            open_nodes.append((node[side], [*additions, (int(node["split_feature"]), change)]))
    return leaf_paths


def mean_additions(boosters: Sequence[lgb.Booster], features: Array) -> Array:
    """Mean additions over boosters: rows x columns."""
    return np.asarray(np.mean([LeafTable.of(booster)(features) for booster in boosters], axis=0))
