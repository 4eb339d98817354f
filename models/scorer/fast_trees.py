"""LightGBM predictions of many rows at once, equal to LightGBM's own to the last bit.

LightGBM walks tree by tree for each row, with a jump in memory per node. Here all rows of a block
pass through a tree together, in vector operations on one byte per row. An input becomes a code, the
number of split points below it, once for all trees; a node compares codes and chooses between the
leaf numbers of its two sides. No split is approximated, and leaves are added in LightGBM's order,
so sums are equal to the last bit. The trees are derived in memory from the artifact's text models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import lightgbm as lgb
import numpy as np

from .part import Array


def raw_score(booster: lgb.Booster, features: Array) -> Array:
    """Raw (link scale) LightGBM score of every row; classes in columns for multiclass."""
    return raw_scores([booster], features)[0]


def raw_scores(boosters: Sequence[lgb.Booster], features: Array) -> list[Array]:
    """`raw_score` of several boosters on the same inputs.

    `Forest` predicts many rows, LightGBM few: results are equal to the last bit.
    """
    if boosters and len(features) >= _FOREST_FROM:
        forest = _forest(tuple(boosters), tuple(booster.num_trees() for booster in boosters))
        if forest is not None and features.shape[1] == boosters[0].num_feature():
            return forest.raw(features)
    return [np.asarray(booster.predict(features, raw_score=True)) for booster in boosters]


_FOREST_FROM = 4096  # with fewer rows LightGBM is faster
_FOREST_BLOCK = 32768  # rows at a time: their codes fit into the processor's cache
_SPLITS_APART = 8  # with more split points of equal leading bits a binary search is faster
_MAX_LEAVES = 256  # leaf numbers are bytes
_BYTES = [np.asarray(number, dtype=np.uint8) for number in range(256)]
_NAN_LEFT, _NAN_RIGHT, _NAN_ZERO = range(
    3
)  # where a node sends a missing value; zero: where 0 goes
_TWO_LEAVES, _LEAF_LEFT, _LEAF_RIGHT, _TWO_NODES = range(4)  # what hangs below a node


@dataclass(frozen=True)
class _Tree:
    """One tree as a list of steps, children before parents.

    Attributes
    ----------
    steps
        (kind, column, code, place, left, right): rows with a larger code in a column go right. The
        leaf numbers of a side are constants, or stored at `place` (left) and `place + 1` (right).
    values
        Value of every leaf.
    """

    steps: list[tuple[int, int, Array, int, Array, Array]]
    values: Array

    def add_to(self, total: Array, codes: Sequence[Array], room: _Room) -> None:
        """Add the value of every row's leaf to `total`."""
        rows = len(total)
        goes_right, scratch, leaf_scores = room.flag[:rows], room.spare[:rows], room.score[:rows]
        right_side = goes_right.view(np.uint8)
        for kind, column, code, place, left, right in self.steps:
            np.greater(codes[column], code, out=goes_right)
            leaf_numbers = room.places[place][:rows]
            if kind == _TWO_LEAVES:  # left and right hold left, and left xor right
                np.multiply(right_side, right, out=leaf_numbers)
                np.bitwise_xor(leaf_numbers, left, out=leaf_numbers)
            elif kind == _LEAF_LEFT:
                np.bitwise_xor(leaf_numbers, left, out=leaf_numbers)
                np.multiply(leaf_numbers, right_side, out=leaf_numbers)
                np.bitwise_xor(leaf_numbers, left, out=leaf_numbers)
            else:
                right_numbers = right if kind == _LEAF_RIGHT else room.places[place + 1][:rows]
                np.bitwise_xor(leaf_numbers, right_numbers, out=scratch)
                np.multiply(scratch, right_side, out=scratch)
                np.bitwise_xor(leaf_numbers, scratch, out=leaf_numbers)
        if self.steps:
            np.take(self.values, room.places[0][:rows], out=leaf_scores, mode="clip")
            np.add(total, leaf_scores, out=total)
        else:
            np.add(total, self.values[0], out=total)


class _Room:
    """Buffers that the trees of one block share."""

    def __init__(self, rows: int, places: int) -> None:
        self.flag = np.empty(rows, dtype=bool)
        self.spare = np.empty(rows, dtype=np.uint8)
        self.score = np.empty(rows)
        self.places = [np.empty(rows, dtype=np.uint8) for _ in range(places)]


@dataclass(frozen=True)
class SplitPoints:
    """The split points of an input column, with a table to find the rank of a value among them.

    The table is indexed by the 16 leading bits of a value as float32: sign, exponent, and 7 bits of
    the mantissa. Values with equal bits are adjacent: only the points among them are compared.

    Attributes
    ----------
    points
        Split points, rising.
    padded
        The same, followed by infinity.
    lower
        By leading bits: number of points that are smaller than all values with these bits.
    most
        Largest number of points among values with equal bits.
    """

    points: Array
    padded: Array
    lower: Array
    most: int

    @cached_property
    def numbered(self) -> dict[float, Array]:
        """The code of every split point, as a zero-dimensional array for comparisons."""
        codes = np.arange(len(self.points)).astype(self.lower.dtype)
        return {point: codes[at, ...] for at, point in enumerate(self.points.tolist())}

    @classmethod
    def of(cls, points: Iterable[float]) -> SplitPoints:
        """Build from split points in any order."""
        rising_points = np.unique(np.asarray(list(points), dtype=np.float64) + 0.0)  # -0 is 0
        bit_ranks = _rising_bits()
        points_by_bits = np.bincount(bit_ranks[_leading_bits(rising_points)], minlength=1 << 16)
        lower_counts = (np.cumsum(points_by_bits) - points_by_bits)[bit_ranks]
        lower_counts[_NAN_BITS] = 0
        code_type = np.uint8 if len(rising_points) < 256 else np.uint16
        return cls(
            rising_points,
            np.append(rising_points, np.inf),
            lower_counts.astype(code_type),
            int(points_by_bits.max()),
        )

    def codes(self, values: Array) -> Array:
        """Number of split points below every value; 0 for NaN."""
        if self.most > _SPLITS_APART:
            ranks = np.searchsorted(self.points, values)
            return np.where(np.isnan(values), 0, ranks).astype(self.lower.dtype)
        ranks = self.lower.take(_leading_bits(values))
        for _ in range(self.most):
            ranks += values > self.padded.take(ranks)
        return np.asarray(ranks)


_NAN_BITS = np.r_[0x7F81:0x8000, 0xFF81:0x10000]


@lru_cache(maxsize=1)
def _rising_bits() -> Array:
    """Rank of all 16 leading bits by value; negative values are in reverse order."""
    bits = np.arange(1 << 16)
    return np.where(bits >= 1 << 15, (1 << 16) - 1 - bits, bits + (1 << 15))


def _leading_bits(values: Array) -> Array:
    """The 16 leading bits of values as float32."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(values.astype(np.float32).view(np.uint32) >> 16)


@dataclass(frozen=True)
class Forest:
    """Boosters on the same inputs, compiled to predict many rows at once.

    Attributes
    ----------
    points
        Split points by input column, rising.
    columns
        (input column, where missing values go) of every column of codes.
    boosters
        Trees of every booster, class after class within an iteration.
    classes
        Trees per iteration of every booster.
    """

    points: dict[int, SplitPoints]
    columns: list[tuple[int, int]]
    boosters: list[list[_Tree]]
    classes: list[int]

    @classmethod
    def of(cls, boosters: Sequence[lgb.Booster]) -> Forest | None:
        """Compile LightGBM's text models; None for kinds of trees that are not supported."""
        texts = [booster.model_to_string() for booster in boosters]
        if any("\naverage_output" in text for text in texts):
            return None
        parsed_trees = [
            [_tree_fields(tree) for tree in text.split("\nTree=")[1:]] for text in texts
        ]
        if not all(_covered(tree) for trees in parsed_trees for tree in trees):
            return None
        points = _split_points(tree for trees in parsed_trees for tree in trees)
        columns: dict[tuple[int, int], int] = {}
        compiled_trees = [
            [_compiled(tree, points, columns) for tree in trees] for trees in parsed_trees
        ]
        classes = [booster.num_model_per_iteration() for booster in boosters]
        return cls(points, list(columns), compiled_trees, classes)

    def raw(self, features: Array) -> list[Array]:
        """Raw scores of every booster: rows, or rows x classes."""
        totals = [np.zeros((classes, len(features))) for classes in self.classes]
        place_count = max(
            (s[3] + 2 for trees in self.boosters for t in trees for s in t.steps), default=1
        )
        buffers = _Room(min(len(features), _FOREST_BLOCK), place_count)
        for start in range(0, len(features), _FOREST_BLOCK):
            rows = slice(start, min(start + _FOREST_BLOCK, len(features)))
            codes = self.codes(features[rows])
            for total, trees in zip(totals, self.boosters, strict=True):
                for number, tree in enumerate(trees):
                    tree.add_to(total[number % len(total), rows], codes, buffers)
        return [total[0] if len(total) == 1 else total.T for total in totals]

    def codes(self, features: Array) -> list[Array]:
        """Columns of codes for some rows."""
        codes: dict[tuple[int, int], Array] = {}
        sides_by_column: dict[int, list[int]] = {}
        for column, missing in self.columns:
            sides_by_column.setdefault(column, []).append(missing)
        for column, sides in sides_by_column.items():
            points, values = self.points[column], np.ascontiguousarray(features[:, column])
            plain_codes = points.codes(values)
            missing_rows = np.flatnonzero(np.isnan(values))
            for missing in sides:
                codes[column, missing] = side_codes = (
                    plain_codes.copy() if len(missing_rows) else plain_codes
                )
                if missing == _NAN_RIGHT:
                    side_codes[missing_rows] = len(points.points)
                elif missing == _NAN_ZERO:
                    side_codes[missing_rows] = np.searchsorted(points.points, 0.0)
        return [codes[key] for key in self.columns]


@lru_cache(maxsize=16)
def _forest(boosters: tuple[lgb.Booster, ...], trees: tuple[int, ...]) -> Forest | None:
    """`Forest.of`, cached; the number of trees is part of the key, since boosters may grow."""
    return Forest.of(boosters)


def _tree_fields(text: str) -> dict[str, list[str]]:
    """The lines NAME=VALUES of one tree in LightGBM's text."""
    lines = [line.partition("=") for line in text.split("\n\n")[0].splitlines()[1:]]
    return {name: values.split() for name, _, values in lines}


def _missing_side(decision: str) -> int:
    """Side of a node for missing values: bit 1 is left, bits 2 and 3 are the treatment."""
    decision_bits = int(decision)
    if decision_bits >> 2 & 3 == 0:
        return _NAN_ZERO
    return _NAN_LEFT if decision_bits & 2 else _NAN_RIGHT


def _covered(tree: Mapping[str, list[str]]) -> bool:
    """True if a tree has only numeric comparisons and constant leaves."""
    is_numeric = tree["num_cat"] == ["0"] and tree.get("is_linear", ["0"]) == ["0"]
    has_zero_missing = any(
        int(decision) >> 2 & 3 == 1 for decision in tree.get("decision_type", [])
    )
    return is_numeric and not has_zero_missing and int(tree["num_leaves"][0]) <= _MAX_LEAVES


def _split_points(trees: Iterable[Mapping[str, list[str]]]) -> dict[int, SplitPoints]:
    """All split points of every input column."""
    points_of: dict[int, set[float]] = {}
    for tree in trees:
        splits = zip(tree.get("split_feature", []), tree.get("threshold", []), strict=True)
        for column, point in splits:
            points_of.setdefault(int(column), set()).add(float(point))
    return {column: SplitPoints.of(points) for column, points in points_of.items()}


def _compiled(
    tree: Mapping[str, list[str]],
    points: Mapping[int, SplitPoints],
    columns: dict[tuple[int, int], int],
) -> _Tree:
    """Steps of a tree; adds the columns of codes that it needs to `columns`."""
    values = np.asarray(tree["leaf_value"], dtype=np.float64)
    if len(values) == 1:
        return _Tree([], values)
    left_children, right_children = (
        [int(child) for child in tree[f"{side}_child"]] for side in ("left", "right")
    )
    steps: list[tuple[int, int, Array, int, Array, Array]] = []

    def visit(node: int, place: int) -> None:
        """Add the steps that write the leaf numbers below a node to a place."""
        leaf_left, leaf_right = left_children[node] < 0, right_children[node] < 0
        if not leaf_left:
            visit(left_children[node], place)
        if not leaf_right:
            visit(right_children[node], place if leaf_left else place + 1)
        column, point = int(tree["split_feature"][node]), float(tree["threshold"][node])
        column_key = (column, _missing_side(tree["decision_type"][node]))
        step_kind = (_TWO_NODES, _LEAF_RIGHT, _LEAF_LEFT, _TWO_LEAVES)[2 * leaf_left + leaf_right]
        left_leaf, right_leaf = ~left_children[node] & 255, ~right_children[node] & 255
        if step_kind == _TWO_LEAVES:
            right_leaf ^= left_leaf
        code = points[column].numbered[point]
        code_column = columns.setdefault(column_key, len(columns))
        steps.append((step_kind, code_column, code, place, _BYTES[left_leaf], _BYTES[right_leaf]))

    visit(0, 0)
    return _Tree(steps, values)
