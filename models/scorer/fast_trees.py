"""LightGBM predictions of many rows at once, equal to LightGBM's own to the last bit.

LightGBM walks tree by tree for each row, a jump in memory per node. Here all rows of a block go
through a tree together, in steps on one byte per row, which processors do by the dozen. An input
becomes the number of split points below it, once for all trees; a node compares such numbers and
chooses between the leaf numbers of its two sides. No split is approximated, and leaves are added in
LightGBM's order, so that sums are equal to the last bit. The text models of the artifact stay the
single source; these trees are derived from them in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import lightgbm as lgb
import numpy as np

from .part import Array


def raw_score(booster: lgb.Booster, x: Array) -> Array:
    """Raw (link scale) LightGBM score of every row; classes in columns for multiclass."""
    return raw_scores([booster], x)[0]


def raw_scores(boosters: Sequence[lgb.Booster], x: Array) -> list[Array]:
    """`raw_score` of several boosters on the same inputs.

    Many rows go through `Forest`, few through LightGBM: the numbers are the same to the last bit.
    """
    if len(x) >= FOREST_FROM:
        forest = _forest(tuple(boosters), tuple(booster.num_trees() for booster in boosters))
        if forest is not None and x.shape[1] == boosters[0].num_feature():
            return forest.raw(x)
    return [np.asarray(booster.predict(x, raw_score=True)) for booster in boosters]


FOREST_FROM = 4096  # rows from which on it is quicker than LightGBM
FOREST_BLOCK = 32768  # rows at a time: their codes stay in the processor's cache
SPLITS_APART = 8  # split points of equal leading bits from which on a plain search is quicker
MAX_LEAVES = 256  # leaf numbers are bytes
_BYTES = [np.asarray(number, dtype=np.uint8) for number in range(256)]
NAN_LEFT, NAN_RIGHT, NAN_ZERO = range(3)  # where a node sends a missing value; zero: where 0 goes
TWO_LEAVES, LEAF_LEFT, LEAF_RIGHT, TWO_NODES = range(4)  # what hangs below a node


@dataclass(frozen=True)
class Tree:
    """One tree as steps, children before parents.

    Attributes
    ----------
    steps
        (kind, column, code, place, left, right): rows whose code in a column is larger go right.
        The leaf numbers of a side are constants, or lie at `place` (left) and above it (right).
    values
        Value of every leaf.
    """

    steps: list[tuple[int, int, Array, int, Array, Array]]
    values: Array

    def add_to(self, total: Array, codes: Sequence[Array], room: _Room) -> None:
        """Add the value of every row's leaf to `total`."""
        rows = len(total)
        flag, spare, score = room.flag[:rows], room.spare[:rows], room.score[:rows]
        right_side = flag.view(np.uint8)
        for kind, column, code, place, left, right in self.steps:
            np.greater(codes[column], code, out=flag)
            own = room.places[place][:rows]
            if kind == TWO_LEAVES:  # left and right hold left, and left xor right
                np.multiply(right_side, right, out=own)
                np.bitwise_xor(own, left, out=own)
            elif kind == LEAF_LEFT:
                np.bitwise_xor(own, left, out=own)
                np.multiply(own, right_side, out=own)
                np.bitwise_xor(own, left, out=own)
            else:
                other = right if kind == LEAF_RIGHT else room.places[place + 1][:rows]
                np.bitwise_xor(own, other, out=spare)
                np.multiply(spare, right_side, out=spare)
                np.bitwise_xor(own, spare, out=own)
        if self.steps:
            np.take(self.values, room.places[0][:rows], out=score, mode="clip")
            np.add(total, score, out=total)
        else:
            np.add(total, self.values[0], out=total)


class _Room:
    """Memory that the trees of one block share."""

    def __init__(self, rows: int, places: int) -> None:
        self.flag = np.empty(rows, dtype=bool)
        self.spare = np.empty(rows, dtype=np.uint8)
        self.score = np.empty(rows)
        self.places = [np.empty(rows, dtype=np.uint8) for _ in range(places)]


@dataclass(frozen=True)
class SplitPoints:
    """The split points of an input column, and a first guess where a value stands among them.

    The guess looks at the 16 leading bits of a value as float32: sign, exponent, and seven bits of
    the mantissa. Values of equal bits lie together, so that only the points among these are left.

    Attributes
    ----------
    points
        Rising.
    padded
        The same, and infinity.
    lower
        By leading bits: number of points that are smaller than all such values.
    most
        Most points among values of equal bits.
    """

    points: Array
    padded: Array
    lower: Array
    most: int

    @cached_property
    def numbered(self) -> dict[float, Array]:
        """The code of every point, as a comparison takes it."""
        codes = np.arange(len(self.points)).astype(self.lower.dtype)
        return {point: codes[at, ...] for at, point in enumerate(self.points.tolist())}

    @classmethod
    def of(cls, points: Iterable[float]) -> SplitPoints:
        """From split points in any order."""
        rising = np.unique(np.asarray(list(points), dtype=np.float64) + 0.0)  # -0 is 0
        order = _rising_bits()
        among = np.bincount(order[leading_bits(rising)], minlength=1 << 16)
        lower = (np.cumsum(among) - among)[order]
        lower[_NAN_BITS] = 0
        kind = np.uint8 if len(rising) < 256 else np.uint16
        return cls(rising, np.append(rising, np.inf), lower.astype(kind), int(among.max()))

    def codes(self, values: Array) -> Array:
        """How many of the points lie below every value; 0 for NaN."""
        if self.most > SPLITS_APART:
            ranks = np.searchsorted(self.points, values)
            return np.where(np.isnan(values), 0, ranks).astype(self.lower.dtype)
        ranks = self.lower.take(leading_bits(values))
        for _ in range(self.most):
            ranks += values > self.padded.take(ranks)
        return np.asarray(ranks)


_NAN_BITS = np.r_[0x7F81:0x8000, 0xFF81:0x10000]


@lru_cache(maxsize=1)
def _rising_bits() -> Array:
    """Rank of every 16 leading bits by the values that have them: negative ones run backward."""
    bits = np.arange(1 << 16)
    return np.where(bits >= 1 << 15, (1 << 16) - 1 - bits, bits + (1 << 15))


def leading_bits(values: Array) -> Array:
    """The 16 leading bits of values as float32."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(values.astype(np.float32).view(np.uint32) >> 16)


@dataclass(frozen=True)
class Forest:
    """Boosters on the same inputs, made for many rows at once (see above).

    Attributes
    ----------
    points
        Split points by input column, rising.
    columns
        (input column, where missing values go) of every column of codes.
    boosters
        Trees of every booster, class after class within an iteration.
    classes
        Trees an iteration of every booster.
    """

    points: dict[int, SplitPoints]
    columns: list[tuple[int, int]]
    boosters: list[list[Tree]]
    classes: list[int]

    @classmethod
    def of(cls, boosters: Sequence[lgb.Booster]) -> Forest | None:
        """From LightGBM's own text; None for kinds of trees that are not covered."""
        texts = [booster.model_to_string() for booster in boosters]
        if any("\naverage_output" in text for text in texts):
            return None
        parsed = [[_tree_fields(tree) for tree in text.split("\nTree=")[1:]] for text in texts]
        if not all(_covered(tree) for trees in parsed for tree in trees):
            return None
        points = _split_points(tree for trees in parsed for tree in trees)
        columns: dict[tuple[int, int], int] = {}
        compiled = [[_compiled(tree, points, columns) for tree in trees] for trees in parsed]
        classes = [booster.num_model_per_iteration() for booster in boosters]
        return cls(points, list(columns), compiled, classes)

    def raw(self, x: Array) -> list[Array]:
        """Raw scores of every booster: rows, or rows x classes."""
        totals = [np.zeros((classes, len(x))) for classes in self.classes]
        places = max(
            (s[3] + 2 for trees in self.boosters for t in trees for s in t.steps), default=1
        )
        room = _Room(min(len(x), FOREST_BLOCK), places)
        for start in range(0, len(x), FOREST_BLOCK):
            rows = slice(start, min(start + FOREST_BLOCK, len(x)))
            codes = self.codes(x[rows])
            for total, trees in zip(totals, self.boosters, strict=True):
                for number, tree in enumerate(trees):
                    tree.add_to(total[number % len(total), rows], codes, room)
        return [total[0] if len(total) == 1 else total.T for total in totals]

    def codes(self, x: Array) -> list[Array]:
        """Columns of codes of some rows."""
        codes: dict[tuple[int, int], Array] = {}
        wanted: dict[int, list[int]] = {}
        for column, missing in self.columns:
            wanted.setdefault(column, []).append(missing)
        for column, sides in wanted.items():
            points, values = self.points[column], np.ascontiguousarray(x[:, column])
            plain = points.codes(values)
            empty = np.flatnonzero(np.isnan(values))
            for missing in sides:
                codes[column, missing] = own = plain.copy() if len(empty) else plain
                if missing == NAN_RIGHT:
                    own[empty] = len(points.points)
                elif missing == NAN_ZERO:
                    own[empty] = np.searchsorted(points.points, 0.0)
        return [codes[key] for key in self.columns]


@lru_cache(maxsize=16)
def _forest(boosters: tuple[lgb.Booster, ...], trees: tuple[int, ...]) -> Forest | None:
    """`Forest.of`, kept; the numbers of trees tell a booster that has grown since."""
    return Forest.of(boosters)


def _tree_fields(text: str) -> dict[str, list[str]]:
    """The lines NAME=VALUES of one tree in LightGBM's text."""
    lines = [line.partition("=") for line in text.split("\n\n")[0].splitlines()[1:]]
    return {name: values.split() for name, _, values in lines}


def _missing_side(decision: str) -> int:
    """Where a node sends missing values: bit 1 says left, bits 2 and 3 how they are treated."""
    kind = int(decision)
    if kind >> 2 & 3 == 0:
        return NAN_ZERO
    return NAN_LEFT if kind & 2 else NAN_RIGHT


def _covered(tree: Mapping[str, list[str]]) -> bool:
    """Whether a tree has only comparisons of numbers, and leaves that are numbers."""
    plain = tree["num_cat"] == ["0"] and tree.get("is_linear", ["0"]) == ["0"]
    zeros = any(int(decision) >> 2 & 3 == 1 for decision in tree.get("decision_type", []))
    return plain and not zeros and int(tree["num_leaves"][0]) <= MAX_LEAVES


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
) -> Tree:
    """Steps of a tree; `columns` grows by those it needs."""
    values = np.asarray(tree["leaf_value"], dtype=np.float64)
    if len(values) == 1:
        return Tree([], values)
    left, right = ([int(child) for child in tree[f"{side}_child"]] for side in ("left", "right"))
    steps: list[tuple[int, int, Array, int, Array, Array]] = []

    def visit(node: int, place: int) -> None:
        """Steps that leave the leaf numbers of what is below a node at a place."""
        leaf_left, leaf_right = left[node] < 0, right[node] < 0
        if not leaf_left:
            visit(left[node], place)
        if not leaf_right:
            visit(right[node], place if leaf_left else place + 1)
        column, point = int(tree["split_feature"][node]), float(tree["threshold"][node])
        key = (column, _missing_side(tree["decision_type"][node]))
        kind = (TWO_NODES, LEAF_RIGHT, LEAF_LEFT, TWO_LEAVES)[2 * leaf_left + leaf_right]
        low, high = ~left[node] & 255, ~right[node] & 255
        if kind == TWO_LEAVES:
            high ^= low
        code = points[column].numbered[point]
        where = columns.setdefault(key, len(columns))
        steps.append((kind, where, code, place, _BYTES[low], _BYTES[high]))

    visit(0, 0)
    return Tree(steps, values)
