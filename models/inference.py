"""All inference of stagecast, in one self-contained file.

Training, back-test and batch scoring predict through this file, and the same file is logged with
every registered model (MLflow models-from-code). It imports numpy, pandas, lightgbm, mlflow and
the standard library, and nothing of stagecast, so that a registered model loads in a process that
has never heard of this project. Fitted things arrive as LightGBM text models and JSON.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import lightgbm as lgb
import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel

FORMAT = 1  # raised when the layout of the artifacts changes
# Columns of what was known some days before the snapshot, for a current-stage model of late data.
LATE = "late__"
Array = np.ndarray[Any, Any]


# --------------------------------------------------------------------------- parts and artifacts


@dataclass(frozen=True)
class Part:
    """One fitted model as data: JSON parameters and LightGBM boosters, no code and no pickle.

    Attributes
    ----------
    name
        ``stage``, ``transition``, ``churn``, ``clv`` or ``uplift``.
    parameters
        JSON-able: feature lists, coefficients, means, knots, edges, horizons.
    boosters
        LightGBM boosters by a short name.
    """

    name: str
    parameters: dict[str, Any]
    boosters: dict[str, lgb.Booster] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write ``part.json`` and one text model a booster into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        head = {"format": FORMAT, "name": self.name, "boosters": sorted(self.boosters)}
        text = json.dumps({**head, "parameters": self.parameters}, indent=1, sort_keys=True)
        (folder / "part.json").write_text(text, encoding="utf-8")
        for name, booster in self.boosters.items():
            (folder / f"{name}.txt").write_text(booster.model_to_string(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Part:
        """Read what `save` wrote."""
        head = json.loads((folder / "part.json").read_text(encoding="utf-8"))
        if head["format"] != FORMAT:
            raise ValueError(
                f"{folder}: artifact format {head['format']}, this code reads format {FORMAT}; "
                "load it with the code logged beside it"
            )
        boosters = {
            name: lgb.Booster(model_str=(folder / f"{name}.txt").read_text(encoding="utf-8"))
            for name in head["boosters"]
        }
        return cls(name=head["name"], parameters=head["parameters"], boosters=boosters)


# ------------------------------------------------------------------------------ fitted functions


def matrix(frame: pd.DataFrame, columns: Sequence[str]) -> Array:
    """Columns of `frame` in the stored order as float64 (rows x columns).

    LightGBM ignores names and takes columns by position, so every prediction goes through here.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"feature columns missing from the frame: {missing[:10]}")
    return frame.loc[:, list(columns)].to_numpy(dtype=np.float64, na_value=np.nan)


def raw_score(booster: lgb.Booster, x: Array) -> Array:
    """Raw (link scale) LightGBM score of every row; classes in columns for multiclass."""
    return raw_scores([booster], x)[0]


def raw_scores(boosters: Sequence[lgb.Booster], x: Array) -> list[Array]:
    """`raw_score` of several boosters on the same inputs.

    Many rows go through `Forest`, few through LightGBM: the numbers are the same to the last bit.
    """
    if len(x) >= FOREST_FROM:
        forest = _forest(tuple(boosters), tuple(each.num_trees() for each in boosters))
        if forest is not None and x.shape[1] == boosters[0].num_feature():
            return forest.raw(x)
    return [np.asarray(each.predict(x, raw_score=True)) for each in boosters]


def sigmoid(z: Array) -> Array:
    """Logistic function, stable at both ends."""
    return np.exp(-np.logaddexp(0.0, -z))


def softmax(z: Array) -> Array:
    """Row-wise softmax, stable."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def signed_log1p(x: Array) -> Array:
    """sign(x) log(1 + |x|): squeezes long tails and keeps the sign and the zero."""
    return np.sign(x) * np.log1p(np.abs(x))


def linear(parameters: Mapping[str, Any], x: Array) -> Array:
    """Linear predictor on standardised signed-log1p columns, missing values at the mean.

    Parameters
    ----------
    parameters
        ``means``, ``scales``, ``coefficients`` (one a column) and ``intercept``.
    x
        Raw feature values, rows x columns, NaN where missing.
    """
    z = (signed_log1p(x) - np.asarray(parameters["means"])) / np.asarray(parameters["scales"])
    z = np.clip(np.nan_to_num(z, nan=0.0), -10.0, 10.0)
    # Not a matrix product: its rounding depends on the number of rows, and batches must be equal.
    weighted = np.ascontiguousarray(z * np.asarray(parameters["coefficients"]))
    return np.asarray(weighted.sum(axis=1) + parameters["intercept"])


# --------------------------------------------------------------------------- forests at speed
# LightGBM walks tree by tree for each row, a jump in memory a node. Here all rows of a block go
# through a tree together, in steps on one byte a row that the processor does by the dozen: inputs
# become the number of split points below them, once for all trees, and a node is a comparison of
# such numbers that chooses between the leaf numbers of its two sides. No split is approximated and
# leaves are added in LightGBM's order, so that sums are equal to the last bit. The text models of
# the artifact stay the single source; this is made from them in memory.

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
        found = np.unique(np.asarray(list(points), dtype=np.float64) + 0.0)  # -0 is 0
        order = _rising_bits()
        among = np.bincount(order[leading_bits(found)], minlength=1 << 16)
        lower = (np.cumsum(among) - among)[order]
        lower[_NAN_BITS] = 0
        kind = np.uint8 if len(found) < 256 else np.uint16
        return cls(found, np.append(found, np.inf), lower.astype(kind), int(among.max()))

    def codes(self, values: Array) -> Array:
        """How many of the points lie below every value; 0 for NaN."""
        if self.most > SPLITS_APART:
            found = np.searchsorted(self.points, values)
            return np.where(np.isnan(values), 0, found).astype(self.lower.dtype)
        found = self.lower.take(leading_bits(values))
        for _ in range(self.most):
            found += values > self.padded.take(found)
        return np.asarray(found)


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
        parsed = [[_tree_fields(each) for each in text.split("\nTree=")[1:]] for text in texts]
        if not all(_covered(tree) for trees in parsed for tree in trees):
            return None
        points = _split_points(tree for trees in parsed for tree in trees)
        columns: dict[tuple[int, int], int] = {}
        made = [[_compiled(tree, points, columns) for tree in trees] for trees in parsed]
        classes = [booster.num_model_per_iteration() for booster in boosters]
        return cls(points, list(columns), made, classes)

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
        found: dict[tuple[int, int], Array] = {}
        wanted: dict[int, list[int]] = {}
        for column, missing in self.columns:
            wanted.setdefault(column, []).append(missing)
        for column, sides in wanted.items():
            points, values = self.points[column], np.ascontiguousarray(x[:, column])
            plain = points.codes(values)
            empty = np.flatnonzero(np.isnan(values))
            for missing in sides:
                found[column, missing] = own = plain.copy() if len(empty) else plain
                if missing == NAN_RIGHT:
                    own[empty] = len(points.points)
                elif missing == NAN_ZERO:
                    own[empty] = np.searchsorted(points.points, 0.0)
        return [found[key] for key in self.columns]


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
    found: dict[int, set[float]] = {}
    for tree in trees:
        splits = zip(tree.get("split_feature", []), tree.get("threshold", []), strict=True)
        for column, point in splits:
            found.setdefault(int(column), set()).add(float(point))
    return {column: SplitPoints.of(points) for column, points in found.items()}


def _compiled(
    tree: Mapping[str, list[str]],
    points: Mapping[int, SplitPoints],
    columns: dict[tuple[int, int], int],
) -> Tree:
    """Steps of a tree; `columns` grows by those it needs."""
    values = np.asarray(tree["leaf_value"], dtype=np.float64)
    if len(values) == 1:
        return Tree([], values)
    left, right = ([int(each) for each in tree[f"{side}_child"]] for side in ("left", "right"))
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


# ------------------------------------------------------------------------------ derived features
# What depends on the population at a snapshot is not in the feature frame: it is derived here from
# the frame and the scoring context, so that given the context every prediction is row-wise.


def population_sums(frame: pd.DataFrame) -> dict[str, float]:
    """Additive sums over the rows of one snapshot; sums of disjoint parts are added key by key."""
    gap = frame["cadence__gap_mean"].to_numpy(dtype=np.float64, na_value=np.nan)
    known = ~np.isnan(gap)
    return {"customers_with_gap": float(known.sum()), "gap_days": float(gap[known].sum())}


def population_context(sums: Mapping[str, float]) -> dict[str, Any]:
    """Population part of the scoring context, from (added) `population_sums`.

    ``population_gap_days`` is the mean over customers of their mean gap between purchase days;
    null when nobody has bought on two days.
    """
    known = sums["customers_with_gap"]
    return {"population_gap_days": sums["gap_days"] / known if known else None}


def derived(frame: pd.DataFrame, context: Mapping[str, Any]) -> pd.DataFrame:
    """Only the columns that `derive` adds, on the index of `frame`.

    ``cadence__gap_shrunk`` (days): (span + 2 x population gap) / (purchase days + 1), and
    ``cadence__recency_over_gap_shrunk``; null for those who never bought.
    """
    gap = context["population_gap_days"]
    days = frame["cadence__days"].to_numpy(dtype=np.float64, na_value=np.nan)
    span = frame["cadence__span_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    recency = frame["purchase__recency_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    bought = np.where(days > 0, days, np.nan)
    shrunk = (span + 2.0 * (np.nan if gap is None else gap)) / (bought + 1.0)
    columns = {
        "cadence__gap_shrunk": shrunk,
        "cadence__recency_over_gap_shrunk": recency / np.maximum(shrunk, 1e-9),
    }
    return pd.DataFrame(columns, index=frame.index)


def derive(frame: pd.DataFrame, context: Mapping[str, Any]) -> pd.DataFrame:
    """Feature frame of one snapshot with its context-dependent columns added (see `derived`)."""
    return frame.assign(**derived(frame, context))


def derive_each(
    frame: pd.DataFrame, contexts: Mapping[pd.Timestamp, Mapping[str, Any]]
) -> pd.DataFrame:
    """Feature frame of many snapshots, each derived with the context of its own snapshot."""
    if frame.empty:
        return frame
    code, snapshots = pd.factorize(frame["snapshot_at"])
    parts = [
        derived(frame.iloc[np.flatnonzero(code == at)], contexts[pd.Timestamp(snapshot)])
        for at, snapshot in enumerate(snapshots)
    ]
    order = np.argsort(np.concatenate([np.flatnonzero(code == at) for at in range(len(parts))]))
    added = pd.concat(parts).iloc[order]
    return frame.assign(**{name: added[name].to_numpy() for name in added.columns})


def model_columns(frame: pd.DataFrame) -> list[str]:
    """Model inputs: the float64 columns with a double underscore, in the order of the frame."""
    return [name for name in frame.columns if "__" in name and frame[name].dtype == np.float64]


# ------------------------------------------------------------------------------------------ BTYD
# BG/NBD and MBG/NBD with Gamma-Gamma values. `btyd` below is a JSON dict: model (bg_nbd, mbg_nbd),
# r, alpha, a, b, and value = {p, q, v} or null. The time unit is that of x, t_x, T as fitted.

QUADRATURE_NODES = 40


def beta_quadrature(a: Array, b: Array, nodes: int = QUADRATURE_NODES) -> tuple[Array, Array]:
    """Gauss-Jacobi nodes and weights of Beta(a, b) densities on (0, 1).

    Golub-Welsch: eigenvalues of the symmetric tridiagonal Jacobi matrix, weights from the first
    components of its eigenvectors (Golub and Welsch, Math. Comp. 23, 1969).

    Parameters
    ----------
    a, b
        Shape parameters, above 0, one density an entry (k).
    nodes
        Number of nodes.

    Returns
    -------
    nodes and weights, each k x `nodes`; the weights of a density sum to 1.
    """
    right, left = np.asarray(b, float)[:, None] - 1.0, np.asarray(a, float)[:, None] - 1.0
    n = np.arange(nodes, dtype=np.float64)[None, :]
    total = right + left
    twice = 2.0 * n + total
    with np.errstate(divide="ignore", invalid="ignore"):
        diagonal = (left**2 - right**2) / (twice * (twice + 2.0))
    diagonal[:, :1] = (left - right) / (total + 2.0)
    k, step = n[:, 1:], twice[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        square = 4.0 * k * (k + right) * (k + left) * (k + total)
        square = square / (step**2 * (step + 1.0) * (step - 1.0))
    first = 4.0 * (1.0 + right) * (1.0 + left) / ((2.0 + total) ** 2 * (3.0 + total))
    square[:, :1] = first
    jacobi = np.zeros((diagonal.shape[0], nodes, nodes))
    index = np.arange(nodes)
    jacobi[:, index, index] = diagonal
    jacobi[:, index[1:], index[:-1]] = np.sqrt(square)
    values, vectors = np.linalg.eigh(jacobi)
    weights = vectors[:, 0, :] ** 2
    return np.clip((values + 1.0) / 2.0, 0.0, 1.0), weights / weights.sum(axis=1, keepdims=True)


@lru_cache(maxsize=4096)
def beta_density(a: float, b: float) -> tuple[Array, Array]:
    """`beta_quadrature` of one density, kept: batches ask for the same ones again and again."""
    p, weights = beta_quadrature(np.asarray([a]), np.asarray([b]))
    return p[0], weights[0]


def btyd_chances(btyd: Mapping[str, Any], x: Array) -> Array:
    """How often a customer with `x` repeat purchases has had the chance to drop out."""
    return np.asarray(x, float) + (1.0 if btyd["model"] == "mbg_nbd" else 0.0)


def btyd_p_alive(btyd: Mapping[str, Any], x: Array, t_x: Array, age: Array) -> Array:
    """P(still active at the end of the observed time); NaN inputs give NaN.

    Parameters
    ----------
    btyd
        Fitted parameters, see above.
    x, t_x, age
        Repeat purchase days, time of the last one since the first, time observed since the first.
    """
    m = btyd_chances(btyd, x)
    log_odds = (btyd["r"] + x) * (np.log(btyd["alpha"] + age) - np.log(btyd["alpha"] + t_x))
    log_odds = log_odds + np.log(btyd["a"]) - np.log(btyd["b"] + np.maximum(m, 1.0) - 1.0)
    unknown = np.isnan(log_odds)
    alive = np.where(m > 0, sigmoid(-np.where(unknown, 0.0, log_odds)), 1.0)
    return np.where(unknown, np.nan, alive)


def btyd_expected_orders(
    btyd: Mapping[str, Any], x: Array, t_x: Array, age: Array, *, horizon: float
) -> Array:
    """Expected purchase days within `horizon` after the observed time; NaN inputs give NaN.

    Given the drop-out probability p and activity, the expectation is
    (1 - ((alpha+T)/(alpha+T+p h))^(r+x)) / p; it is averaged over the Beta posterior of p, so that
    there is no hypergeometric function and no singularity at a = 1 (Fader, Hardie and Lee 2005;
    Batislam et al. 2007).
    """
    x, age = np.asarray(x, float), np.asarray(age, float)
    out = np.full(x.shape, np.nan)
    known = np.flatnonzero(~np.isnan(x))
    if not len(known):
        return out
    distinct, code = np.unique(x[known], return_inverse=True)
    shape_b = btyd["b"] + btyd_chances(btyd, distinct)
    densities = [beta_density(float(btyd["a"]), float(b)) for b in shape_b]
    p, weights = (np.asarray([each[end] for each in densities]) for end in (0, 1))
    p = np.maximum(p, 1e-300)
    alive = btyd_p_alive(btyd, x, t_x, age)
    for at in range(0, len(known), 65536):  # bounds the memory of rows x nodes
        rows, codes = known[at : at + 65536], code[at : at + 65536]
        chance = p[codes]
        power = (btyd["r"] + x[rows])[:, None]
        log_growth = np.log1p(chance * (horizon / (btyd["alpha"] + age[rows]))[:, None])
        out[rows] = alive[rows] * (-np.expm1(-power * log_growth) / chance * weights[codes]).sum(1)
    return out


def btyd_p_no_order(
    btyd: Mapping[str, Any], x: Array, t_x: Array, age: Array, *, horizon: float
) -> Array:
    """P(no purchase within `horizon` after the observed time); NaN inputs give NaN."""
    stay = (btyd["r"] + x) * np.log1p(horizon / (btyd["alpha"] + age))
    return np.asarray(1.0 + btyd_p_alive(btyd, x, t_x, age) * np.expm1(-stay))


def btyd_next_order_days(btyd: Mapping[str, Any], x: Array, t_x: Array, age: Array) -> Array:
    """Time until a purchase has happened with probability one half; NaN where it never gets there.

    Solves P(alive) (1 - ((alpha+T)/(alpha+T+d))^(r+x)) = 1/2 for d.
    """
    alive = btyd_p_alive(btyd, x, t_x, age)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rest = np.where(alive > 0.5, 1.0 - 0.5 / alive, np.nan)
        days = (btyd["alpha"] + age) * np.expm1(-np.log(rest) / (btyd["r"] + x))
    return np.where(np.isfinite(days), days, np.nan)


def gamma_gamma_mean(value: Mapping[str, Any], n: Array, mean: Array) -> Array:
    """Expected mean value of a purchase day given `n` observed ones of mean `mean`.

    Fader and Hardie (2013): (v + n mean) p / (p n + q - 1); without values (n 0 or mean NaN) the
    population mean p v / (q - 1).
    """
    n = np.where(np.isnan(mean) | np.isnan(n), 0.0, n)
    total = np.where(n > 0, n * np.nan_to_num(mean), 0.0)
    return np.asarray(value["p"] * (value["v"] + total) / (value["p"] * n + value["q"] - 1.0))


def btyd_columns(btyd: Mapping[str, Any], frame: pd.DataFrame, *, horizon: float) -> pd.DataFrame:
    """BTYD expectations of every row of a feature frame, on its index; NaN for who never bought.

    Parameters
    ----------
    btyd
        Parameters from `models.fitting.btyd.fit_btyd`, in days.
    frame
        ``btyd__x``, ``btyd__t_x``, ``btyd__T``, ``btyd__value_n``, ``btyd__mean_value``.
    horizon
        Days ahead.

    Returns
    -------
    ``btyd__p_alive``, ``btyd__expected_days`` (purchase days within the horizon),
    ``btyd__expected_value`` (money a purchase day), ``btyd__clv`` (money within the horizon).
    """
    names = ["btyd__x", "btyd__t_x", "btyd__T", "btyd__value_n", "btyd__mean_value"]
    x, t_x, age, n, mean = matrix(frame, names).T
    days = btyd_expected_orders(btyd, x, t_x, age, horizon=horizon)
    if btyd["value"] is None:
        value = np.full(len(frame), float(btyd["flat_value"]))
    else:
        value = gamma_gamma_mean(btyd["value"], n, mean)
    value = np.where(np.isnan(x), np.nan, value)
    columns = {
        "btyd__p_alive": btyd_p_alive(btyd, x, t_x, age),
        "btyd__expected_days": days,
        "btyd__expected_value": value,
        "btyd__clv": days * value,
    }
    return pd.DataFrame(columns, index=frame.index)


# ------------------------------------------------------------------------------------------- CLV
# parameters: horizon_days, btyd, serve (hybrid, btyd), columns, glm {columns, means, scales,
# coefficients, intercept}, floor, tail (money above which BTYD takes over; null or none: nowhere),
# level_correction, hybrid_weight (beside BTYD), interval {group: [below, above]}, orders_per_day,
# margin (share of spend, or null), first_purchase {p, spend, orders, order_value, linear, columns,
# linear_weight, back_off (as for churn), score {p, score}, bands}, tiers {top, mid}; boosters
# h_<seed>, h2_<seed>, lead_<n>.


def clv_with_btyd(part: Part, frame: pd.DataFrame) -> pd.DataFrame:
    """Feature frame with the BTYD expectations of the artifact's frozen parameters added."""
    horizon = float(part.parameters["horizon_days"])
    added = btyd_columns(part.parameters["btyd"], frame, horizon=horizon)
    return frame.assign(**{name: added[name] for name in added.columns})


def clv_shapes(part: Part, rows: pd.DataFrame) -> tuple[Array, Array]:
    """The two shapes, known up to a factor each: H on BTYD and H2 on the generalised linear model.

    Parameters
    ----------
    part
        Fitted by `models.tasks.clv.fit_clv`.
    rows
        Buyers, as `clv_with_btyd` gives them.
    """
    parameters = part.parameters
    start = np.maximum(rows["btyd__clv"].to_numpy(dtype=np.float64), parameters["floor"])
    if parameters["serve"] == "btyd":
        return start, start
    x = matrix(rows, parameters["columns"])
    glm = linear(parameters["glm"], matrix(rows, parameters["glm"]["columns"]))

    def trees(prefix: str) -> Array:
        names = sorted(name for name in part.boosters if name.startswith(prefix))
        return np.asarray(np.mean(raw_scores([part.boosters[name] for name in names], x), axis=0))

    h = np.exp(np.log(start / parameters["floor"]) + trees("h_")) * parameters["floor"]
    h2 = np.exp(np.clip(glm + trees("h2_"), -30.0, 30.0)) * parameters["floor"]
    return h, h2


def clv_tail(part: Part, plain: Array) -> Array:
    """Share of BTYD alone in a buyer's CLV: 0 up to the part's ``tail``, then 1 - tail / BTYD CLV.

    Above it are too few customers to learn from how far they differ from what BTYD expects.
    """
    tail = part.parameters.get("tail")
    if part.parameters["serve"] == "btyd" or not tail:
        return np.zeros(len(plain))
    return np.asarray(1.0 - np.minimum(1.0, tail / np.maximum(plain, 1e-12)))


def clv_sums(part: Part, frame: pd.DataFrame) -> dict[str, float]:
    """Additive sums over the rows of one snapshot; sums of disjoint parts are added key by key.

    Number of buyers, totals of the two shapes outside the tail, the total that BTYD expects, and
    what of it is the tail's (money).
    """
    rows = clv_with_btyd(part, frame.iloc[np.flatnonzero(frame["btyd__x"].notna())])
    h, h2 = clv_shapes(part, rows) if len(rows) else (np.zeros(0), np.zeros(0))
    total = rows["btyd__clv"].to_numpy(dtype=np.float64)
    tail = clv_tail(part, total)
    return {
        "buyers": float(len(rows)),
        "h": float(((1.0 - tail) * h).sum()),
        "h2": float(((1.0 - tail) * h2).sum()),
        "btyd": float(total.sum()),
        "tail": float((tail * total).sum()),
    }


def clv_context(part: Part, sums: Mapping[str, float]) -> dict[str, Any]:
    """CLV part of the scoring context, from (added) `clv_sums`.

    ``clv_h_factor`` and ``clv_h2_factor`` bring each shape to half the level (BTYD's total times
    the learned correction, less the tail); ``clv_plain_factor`` does so with BTYD's own shape;
    ``clv_mean`` is the level a buyer (money).
    """
    level = sums["btyd"] * float(np.exp(part.parameters["level_correction"]))
    shaped = max(level - sums["tail"], 0.0)
    plain = sums["btyd"] - sums["tail"]
    return {
        "clv_h_factor": 0.5 * shaped / sums["h"] if sums["h"] else 0.0,
        "clv_h2_factor": 0.5 * shaped / sums["h2"] if sums["h2"] else 0.0,
        "clv_plain_factor": shaped / plain if plain > 0.0 else 1.0,
        "clv_mean": level / sums["buyers"] if sums["buyers"] else 0.0,
    }


def clv_group(frame: pd.DataFrame, horizon_days: float) -> Array:
    """Group of the interval: bought within the horizon (active), before it (quiet), or never."""
    recency = frame["purchase__recency_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    group = np.where(recency <= horizon_days, "active", "quiet")
    return np.where(np.isnan(recency), "never", group)


def clv_width(p: Array, mean: float) -> Array:
    """Scale of the error of a prediction: (p + mean/10)^0.6 (money to the power 0.6)."""
    return np.asarray((p + 0.1 * mean) ** 0.6)


def clv_interval(
    interval: Mapping[str, Any], group: Array, p: Array, mean: float
) -> tuple[Array, Array]:
    """Ends of the 80 % interval: `p` less and plus the group's conformal multiples of the scale."""
    below, above = (
        pd.Series(group).map({name: ends[end] for name, ends in interval.items()}) for end in (0, 1)
    )
    width = clv_width(p, mean)
    low = np.maximum(p - below.to_numpy(dtype=np.float64) * width, 0.0)
    return low, p + above.to_numpy(dtype=np.float64) * width


def clv_first_purchase(part: Part, frame: pd.DataFrame) -> Array:
    """P(first purchase within the horizon) of leads: regression and trees averaged in logits.

    NaN where the training saw no leads; everybody's share where too few of them bought.
    """
    first = part.parameters["first_purchase"]
    if first["linear"] is None:
        return np.full(len(frame), np.nan if first["p"] is None else float(first["p"]))
    z = linear(first["linear"], matrix(frame, first["linear"]["columns"]))
    if names := sorted(name for name in part.boosters if name.startswith("lead_")):
        x = matrix(frame, first["columns"])
        trees = np.mean(raw_scores([part.boosters[name] for name in names], x), axis=0)
        z = first["linear_weight"] * z + (1.0 - first["linear_weight"]) * trees
    return backed_off(first.get("back_off"), frame, sigmoid(z))


def cold_rows(frame: pd.DataFrame, days: float) -> Array:
    """Whether the first sign of life lies under `days` back; not where there was none yet."""
    if "tenure__days" not in frame:
        return np.full(len(frame), False)
    tenure = frame["tenure__days"].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(tenure < days)


def cold_rates(back_off: Mapping[str, Any], frame: pd.DataFrame) -> Array:
    """Rate of every row's cohort by tenure, within its channel where that is known."""
    tenure = frame["tenure__days"].to_numpy(dtype=np.float64, na_value=np.nan)
    cohort = np.searchsorted(back_off["ages"], np.nan_to_num(tenure), side="right")
    rate = np.asarray(back_off["cohorts"], dtype=np.float64)[cohort]
    if "preferred_channel" in frame and back_off["channels"]:
        channel = frame["preferred_channel"].to_numpy(dtype=object)
        for name, rates in back_off["channels"].items():
            mine = channel == name
            rate[mine] = np.asarray(rates, dtype=np.float64)[cohort[mine]]
    return rate


def backed_off(back_off: Mapping[str, Any] | None, frame: pd.DataFrame, p: Array) -> Array:
    """Chances, those of cold customers mixed in logits with the rate of their like."""
    if not back_off or not back_off["weight"]:
        return p
    rows = np.flatnonzero(cold_rows(frame, back_off["days"]) & ~np.isnan(p))
    rate, own = cold_rates(back_off, frame.iloc[rows]), np.clip(p[rows], 1e-6, 1.0 - 1e-6)
    weight, out = back_off["weight"], p.copy()
    z = (1.0 - weight) * (np.log(own) - np.log1p(-own))
    out[rows] = sigmoid(z + weight * (np.log(rate) - np.log1p(-rate)))
    return out


def lead_columns(first: Mapping[str, Any], p: Array) -> dict[str, Array]:
    """``lead_score`` (0 to 100, NaN where `p` is) and ``lead_band`` (A to D, None likewise)."""
    score, band = np.full(len(p), np.nan), np.full(len(p), None, dtype=object)
    known = ~np.isnan(p)
    if "score" in first:  # parts fitted by earlier versions have none
        score[known] = np.interp(p[known], first["score"]["p"], first["score"]["score"])
        place = np.searchsorted(first["bands"], score[known], side="right")
        band[known] = np.asarray(["D", "C", "B", "A"], dtype=object)[place]
    return {"lead_score": score, "lead_band": band}


def clv_tier(tiers: Mapping[str, Any], clv: Array) -> Array:
    """Value tier by the cut-offs stored with the model: top, mid, low; None where CLV is NaN."""
    names = np.asarray(["low", "mid", "top"], dtype=object)
    tier = names[(clv >= tiers["mid"]).astype(int) + (clv >= tiers["top"])]
    tier[np.isnan(clv)] = None
    return np.asarray(tier)


def clv_margin(part: Part, clv: Array) -> Array:
    """Margin of the expected spend; NaN where none is known, as in parts of earlier versions."""
    margin = part.parameters.get("margin")
    return clv * (np.nan if margin is None else float(margin))


def predict_clv(part: Part, frame: pd.DataFrame, context: Mapping[str, Any]) -> dict[str, Array]:
    """CLV columns of the scored row, for one snapshot; row-wise given the context.

    Parameters
    ----------
    part
        Fitted by `models.tasks.clv.fit_clv`.
    frame
        Feature frame of one snapshot.
    context
        Scoring context of the snapshot with `clv_context` in it.

    Returns
    -------
    Money within ``clv_horizon_days``: ``clv``, ``clv_low``, ``clv_high`` (80 % interval).
    ``expected_orders``, ``p_any_order`` within the horizon, ``average_order_value`` (expected money
    an order), ``next_order_days`` (days until an order is as likely as not; NaN where it never
    gets there), ``p_first_purchase``, ``lead_score`` and ``lead_band`` (who never bought; null for
    buyers), ``p_alive`` (NaN for who never bought), ``value_tier`` (top, mid, low),
    ``clv_margin`` (NaN where no margin is known).
    """
    parameters = part.parameters
    horizon = float(parameters["horizon_days"])
    first = parameters["first_purchase"]
    group = clv_group(frame, horizon)
    never, buyer = np.flatnonzero(group == "never"), np.flatnonzero(group != "never")
    names = ["clv", "expected_orders", "p_any_order", "p_first_purchase", "p_alive"]
    names += ["next_order_days", "average_order_value"]
    out = {name: np.full(len(frame), np.nan) for name in names}
    if len(never):
        chance = clv_first_purchase(part, frame.iloc[never])
        out["p_first_purchase"][never] = chance
        p = np.nan_to_num(chance)
        out["p_any_order"][never] = p
        out["clv"][never] = p * first["spend"]
        out["expected_orders"][never] = p * first["orders"]
        out["average_order_value"][never] = first["order_value"]
    if len(buyer):
        rows = clv_with_btyd(part, frame.iloc[buyer])
        h, h2 = clv_shapes(part, rows)
        hybrid = context["clv_h_factor"] * h + context["clv_h2_factor"] * h2
        plain = rows["btyd__clv"].to_numpy(np.float64)
        weight, tail = parameters.get("hybrid_weight", 1.0), clv_tail(part, plain)
        mixed = weight * hybrid + (1.0 - weight) * context["clv_plain_factor"] * plain
        out["clv"][buyer] = (1.0 - tail) * mixed + tail * plain
        x, t_x, age = matrix(rows, ["btyd__x", "btyd__t_x", "btyd__T"]).T
        btyd, a_day = parameters["btyd"], parameters["orders_per_day"]
        out["expected_orders"][buyer] = rows["btyd__expected_days"].to_numpy(np.float64) * a_day
        out["p_any_order"][buyer] = 1.0 - btyd_p_no_order(btyd, x, t_x, age, horizon=horizon)
        out["next_order_days"][buyer] = btyd_next_order_days(btyd, x, t_x, age)
        out["p_alive"][buyer] = rows["btyd__p_alive"].to_numpy(np.float64)
        value = rows["btyd__expected_value"].to_numpy(np.float64)
        out["average_order_value"][buyer] = value / a_day
    low, high = clv_interval(parameters["interval"], group, out["clv"], context["clv_mean"])
    return {
        **out,
        "clv_low": low,
        "clv_high": high,
        "clv_horizon_days": np.full(len(frame), horizon),
        "value_tier": clv_tier(parameters["tiers"], out["clv"]),
        "clv_margin": clv_margin(part, out["clv"]),
        **lead_columns(first, out["p_first_purchase"]),
    }


# ----------------------------------------------------------------------------------------- churn
# parameters: columns, linear {columns, means, scales, coefficients, intercept}, simple (likewise),
# simple_weight, horizon_days, activity_days, calibration, bands, back_off (cold customers: days,
# ages, cohorts, channels, weight; or null), boosters (order)


def calibrated(calibration: Mapping[str, Any], p: Array) -> Array:
    """Probabilities after a fitted calibration map (kinds: raw, platt, beta, isotonic).

    platt: sigmoid(slope logit p + intercept); beta: sigmoid(a log p - b log(1-p) + intercept)
    (Kull et al. 2017); isotonic: linear interpolation between knots.
    """
    kind = calibration["kind"]
    if kind == "raw":
        return p
    if kind == "isotonic":
        return np.interp(p, calibration["x"], calibration["y"])
    safe = np.clip(p, 1e-9, 1.0 - 1e-9)
    if kind == "platt":
        z = calibration["slope"] * (np.log(safe) - np.log1p(-safe))
    elif kind == "beta":
        z = calibration["a"] * np.log(safe) - calibration["b"] * np.log1p(-safe)
    else:
        raise ValueError(f"unknown calibration {kind!r}: expected raw, platt, beta or isotonic")
    return sigmoid(z + calibration["intercept"])


def churn_group(frame: pd.DataFrame) -> Array:
    """Peer group of every row: rule stage and number of purchase days (1, 2-3, 4-9, 10 or more)."""
    code = frame["stage__code"].to_numpy(dtype=np.float64, na_value=-1.0)
    stage = np.where(np.abs(code) < 1e9, code, -1.0).astype(int)
    repeats = frame["btyd__x"].to_numpy(dtype=np.float64, na_value=0.0)
    orders = np.searchsorted([1.0, 3.0, 9.0], repeats, side="right")
    return np.asarray([f"{s}/{o}" for s, o in zip(stage, orders, strict=True)], dtype=object)


def churn_lift(bands: Mapping[str, Any], group: Array, p: Array) -> Array:
    """Odds of churn over the odds of one's own group; odds, so that a high base leaves room."""
    base = pd.Series(group, dtype=object).map(bands["base"]).to_numpy(dtype=np.float64)
    base = np.where(np.isnan(base), bands["base_of_all"], base)
    base, p = (np.clip(each, 1e-6, 1.0 - 1e-6) for each in (base, p))
    return np.asarray(p / (1.0 - p) * (1.0 - base) / base)


def churn_eligible(
    frame: pd.DataFrame, activity_days: float | None, *, by: str = "purchase"
) -> Array:
    """Whether the last purchase lies at most `activity_days` back (None: ever bought).

    By ``cancel`` events, who cancelled on the day of the last purchase or since is not.
    """
    recency = frame["purchase__recency_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    eligible = recency <= (np.inf if activity_days is None else activity_days)
    if by == "cancel" and "cancel__recency_days" in frame:
        cancelled = frame["cancel__recency_days"].to_numpy(dtype=np.float64, na_value=np.nan)
        eligible = eligible & ~(cancelled <= recency)
    return np.asarray(eligible)


def churn_raw(part: Part, derived_frame: pd.DataFrame) -> Array:
    """Uncalibrated probability: LightGBM seeds and logistic regression averaged in logits.

    Where the history was short, a logistic regression on recency, frequency and value has a share;
    where customers buy as BG/NBD assumes, it has one too.
    """
    parameters = part.parameters
    x = matrix(derived_frame, parameters["columns"])
    z = linear(parameters["linear"], matrix(derived_frame, parameters["linear"]["columns"]))
    weight = parameters["linear_weight"] if part.boosters else 1.0
    if part.boosters:
        trees = raw_scores([part.boosters[name] for name in sorted(part.boosters)], x)
        z = weight * z + (1.0 - weight) * np.mean(trees, axis=0)
    if share := parameters.get("simple_weight", 0.0):
        simple = parameters["simple"]
        z = (1.0 - share) * z + share * linear(simple, matrix(derived_frame, simple["columns"]))
    if share := parameters.get("btyd_weight", 0.0):
        other = churn_btyd_logit(parameters["btyd"], derived_frame, parameters["horizon_days"])
        z = (1.0 - share) * z + share * other
    return sigmoid(z)


def churn_btyd_logit(btyd: Mapping[str, Any], frame: pd.DataFrame, horizon_days: float) -> Array:
    """Logit of BTYD's P(no purchase within the horizon), kept within 1e-4 and 1 - 1e-4."""
    x, t_x, age = matrix(frame, ["btyd__x", "btyd__t_x", "btyd__T"]).T
    p = np.clip(btyd_p_no_order(btyd, x, t_x, age, horizon=float(horizon_days)), 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p) - np.log1p(-p))


def predict_churn(part: Part, frame: pd.DataFrame, context: Mapping[str, Any]) -> dict[str, Array]:
    """Churn columns of the scored row, for one snapshot.

    Parameters
    ----------
    part
        Fitted by `models.tasks.churn.fit_churn`.
    frame
        Feature frame of one snapshot.
    context
        Scoring context of the snapshot.

    Returns
    -------
    ``churn_eligible`` (bool), ``p_churn`` (P(no purchase, or by contract: a cancellation, within
    the horizon), NaN when not
    eligible), ``churn_horizon_days`` (float) and ``churn_band`` (high, medium, low, None when not
    eligible): the band compares with customers of the same stage and order count.
    """
    parameters = part.parameters
    by = parameters.get("by", "purchase")
    eligible = churn_eligible(frame, parameters["activity_days"], by=by)
    p = np.full(len(frame), np.nan)
    band = np.full(len(frame), None, dtype=object)
    if eligible.any():
        rows = frame.iloc[np.flatnonzero(eligible)]
        risk = calibrated(parameters["calibration"], churn_raw(part, derive(rows, context)))
        p[eligible] = backed_off(parameters.get("back_off"), rows, risk)
        bands = parameters["bands"]
        lift = churn_lift(bands, churn_group(rows), p[eligible])
        names = np.asarray(["low", "medium", "high"], dtype=object)
        band[eligible] = names[(lift > bands["low"]).astype(int) + (lift >= bands["high"])]
    horizon = np.full(len(frame), float(parameters["horizon_days"]))
    return {
        "churn_eligible": eligible,
        "p_churn": p,
        "churn_horizon_days": horizon,
        "churn_band": band,
    }


# ------------------------------------------------------------------------------------------ stage
# parameters: stages, kind (trees, table), columns, classes (codes by booster column), multipliers
# (one a stage), table {edges (a list a stage), p (stage x decile x stage)}, report
# Fitted on recorded stages: folds, fold_seed, and by fold tables and boosters stage_0, stage_1, ...
# instead of one table and one booster. Fitted on late data: late_days.


def stage_codes(frame: pd.DataFrame, stages: int) -> Array:
    """Rule stage of every row; codes the model does not know, or none, become `stages`."""
    if "stage__code" not in frame:
        return np.full(len(frame), stages)
    code = frame["stage__code"].to_numpy(dtype=np.float64, na_value=np.nan)
    known = (code >= 0) & (code < stages) & (code == np.floor(code))
    return np.where(known, np.nan_to_num(code), stages).astype(int)


def stage_recency_bins(edges: Sequence[Sequence[float]], frame: pd.DataFrame, code: Array) -> Array:
    """Recency decile (0..9) of every row among those of its rule stage; 10 for never bought."""
    recency = frame["purchase__recency_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    bins = np.full(len(code), 10)
    for stage, cuts in enumerate(edges):
        mine = (code == stage) & ~np.isnan(recency)
        bins[mine] = np.searchsorted(np.asarray(cuts, dtype=np.float64), recency[mine])
    return bins


def stage_table_probabilities(table: Mapping[str, Any], frame: pd.DataFrame) -> Array:
    """Frequency table (rule stage x recency decile): rows x stages, sums to 1."""
    p = np.asarray(table["p"], dtype=np.float64)  # the last stage row is for unknown stages
    code = stage_codes(frame, p.shape[0] - 1)
    return np.asarray(p[code, stage_recency_bins(table["edges"], frame, code)])


def spread_classes(p: Array, classes: Sequence[int], rest: Array) -> Array:
    """Probabilities of all classes: learned ones share what a table leaves to them.

    Parameters
    ----------
    p
        Learned probabilities, rows x len(classes).
    classes
        Codes of the columns of `p`.
    rest
        Table of probabilities of all classes, rows x classes.
    """
    out = rest.copy()
    rare = np.setdiff1d(np.arange(rest.shape[1]), np.asarray(classes))
    out[:, list(classes)] = p * (1.0 - rest[:, rare].sum(axis=1, keepdims=True))
    return np.asarray(out / out.sum(axis=1, keepdims=True))


def booster_classes(booster: lgb.Booster, x: Array) -> Array:
    """Class probabilities of a multiclass booster, rows x classes, also for no row at all."""
    if not len(x):
        return np.empty((0, booster.num_model_per_iteration()))
    return softmax(raw_score(booster, x).reshape(len(x), -1))


def forest_classes(part: Part, name: str, x: Array) -> Array:
    """Mean class probabilities of a part's boosters `name`, `name_1`, ...: rows x classes."""
    names = [key for key in sorted(part.boosters) if key == name or key.startswith(f"{name}_")]
    boosters = [part.boosters[key] for key in names]
    if not len(x):
        return booster_classes(boosters[0], x)
    found = [softmax(raw.reshape(len(x), -1)) for raw in raw_scores(boosters, x)]
    return np.asarray(np.mean(found, axis=0))


def customer_folds(customers: pd.Series, folds: int, seed: int) -> Array:
    """Fold of every row's customer, from a stable hash of the id (CRC-32) and a seed."""
    codes, ids = pd.factorize(customers.astype(str))
    hashed = [zlib.crc32(f"fold {seed} {one}".encode()) % folds for one in ids]
    return np.asarray(hashed, dtype=np.int64)[codes]


def stage_probabilities(
    part: Part, frame: pd.DataFrame, context: Mapping[str, Any], table: Mapping[str, Any], name: str
) -> Array:
    """Probabilities of all stages by one booster and one frequency table of a part."""
    p = stage_table_probabilities(table, frame)
    if part.parameters["kind"] == "trees":
        x = matrix(derive(frame, context), part.parameters["columns"])
        learned = booster_classes(part.boosters[name], x)
        p = spread_classes(learned, part.parameters["classes"], p)
    return p


def predict_stage(part: Part, frame: pd.DataFrame, context: Mapping[str, Any]) -> dict[str, Array]:
    """What the model believes the current stage to be, for one snapshot.

    A part fitted on recorded stages is cross-fitted: each fold of the customers is predicted by
    the fit that has not seen them.

    Parameters
    ----------
    part
        Fitted by `models.tasks.stage.fit_stage`.
    frame
        Feature frame of one snapshot.
    context
        Scoring context of the snapshot.

    Returns
    -------
    ``probabilities`` (rows x stages, sums to 1), ``code`` (stage with the largest probability
    times its multiplier, tuned for macro-F1) and ``confidence`` (the probability of that stage).
    """
    parameters = part.parameters
    if "folds" not in parameters:
        p = stage_probabilities(part, frame, context, parameters["table"], "stage")
    else:
        fold = customer_folds(frame["customer_id"], parameters["folds"], parameters["fold_seed"])
        p = np.empty((len(frame), len(parameters["stages"])))
        for number, table in enumerate(parameters["tables"]):
            rows = np.flatnonzero(fold == number)
            own = frame.iloc[rows]
            p[rows] = stage_probabilities(part, own, context, table, f"stage_{number}")
    code = (p * np.asarray(parameters["multipliers"])).argmax(axis=1)
    return {"probabilities": p, "code": code, "confidence": p[np.arange(len(p)), code]}


# ------------------------------------------------------------------------------------- transition
# parameters: stages, periods, period_days, kind (trees, table), timing_weight (of the trees, the
# rest is the table's), columns, classes (destination codes by booster column; len(stages) is no
# change), timing_periods (1-based periods by booster column), table {p (stage x silent period x
# cell)}, report. Boosters destination and timing; on few rows also destination_1, timing_1, ...,
# whose mean is taken.
# A cell is destination x periods + period - 1; the last cell is no change.


def timer_table_cells(table: Mapping[str, Any], frame: pd.DataFrame, periods: int) -> Array:
    """Timer table (stage x silent period): probabilities of cells, rows x cells, sums to 1."""
    p = np.asarray(table["p"], dtype=np.float64)  # the last stage row is for unknown stages
    silent = frame["stage__silent_period"].to_numpy(dtype=np.float64, na_value=np.nan)
    silent = np.clip(np.nan_to_num(silent, nan=periods + 1.0), 1, periods + 1).astype(int)
    return np.asarray(p[stage_codes(frame, p.shape[0] - 1), silent - 1])


def without_origin(p: Array, code: Array) -> Array:
    """Probabilities with the origin's class zeroed and renormalised, rows x (stages, no change)."""
    p, known = p.copy(), code < p.shape[1] - 1
    p[np.flatnonzero(known), code[known]] = 0.0
    total = p.sum(axis=1, keepdims=True)
    p[:, -1:] = np.where(total > 0, p[:, -1:], 1.0)
    return np.asarray(p / np.where(total > 0, total, 1.0))


def transition_timing(part: Part, x: Array, p: Array, table: Array) -> Array:
    """Share of the moves to each stage that come in each period: rows x stages x periods."""
    stages, periods = table.shape[1:]
    total = table.sum(axis=2, keepdims=True)
    timing = np.where(total > 1e-12, table / np.where(total > 1e-12, total, 1.0), 1.0 / periods)
    weight = part.parameters["timing_weight"]
    if not weight:
        return np.asarray(timing)
    columns = np.asarray(part.parameters["timing_periods"]) - 1
    for stage in range(stages):
        going = np.flatnonzero(p[:, stage] > 0.0)
        if len(going):
            inputs = np.column_stack([x[going], np.full(len(going), float(stage))])
            learned = forest_classes(part, "timing", inputs)
            known = timing[going, stage]
            learned = spread_classes(learned, columns.tolist(), known)
            timing[going, stage] = weight * learned + (1.0 - weight) * known
    return np.asarray(timing)


def transition_outputs(p: Array, timing: Array, period_days: float) -> dict[str, Array]:
    """Outputs of `predict_transition` from destinations and the timing of each."""
    cif = np.cumsum(p[:, :-1, None] * timing, axis=2)
    moved_by = cif.sum(axis=1)
    # The tolerance keeps a share of exactly one half from falling to rounding.
    median = 1.0 + np.argmax(moved_by >= 0.5 * moved_by[:, -1:] - 1e-12, axis=1)
    move = p[:, :-1].sum(axis=1)
    median = np.where(move > 0.0, median, np.nan)
    return {
        "probabilities": p,
        "p_move": move,
        "cif": cif,
        "median_period": median,
        "median_days": median * period_days,
    }


def transition_destinations(
    part: Part, frame: pd.DataFrame, context: Mapping[str, Any]
) -> tuple[Array, Array, Array]:
    """Where every customer goes, and what `transition_timing` needs to say when.

    Returns
    -------
    Probabilities (rows x (stages, no change)), the inputs of the trees, and the timer table's
    probabilities (rows x stages x periods).
    """
    parameters = part.parameters
    stages, periods = len(parameters["stages"]), parameters["periods"]
    cells = timer_table_cells(parameters["table"], frame, periods)
    table = cells[:, :-1].reshape(len(cells), stages, periods)
    p = np.column_stack([table.sum(axis=2), cells[:, -1]])
    x = np.empty((len(cells), 0))
    if parameters["kind"] == "trees" or parameters["timing_weight"]:
        x = matrix(derive(frame, context), parameters["columns"])
    if parameters["kind"] == "trees":
        learned = forest_classes(part, "destination", x)
        weight = parameters.get("destination_weight", 1.0)
        p = weight * spread_classes(learned, parameters["classes"], p) + (1.0 - weight) * p
    return without_origin(p, stage_codes(frame, stages)), x, table


def predict_transition(
    part: Part, frame: pd.DataFrame, context: Mapping[str, Any]
) -> dict[str, Array]:
    """First change of rule stage within the horizon: where to, and when; for one snapshot.

    Parameters
    ----------
    part
        Fitted by `models.tasks.transition.fit_transition`.
    frame
        Feature frame of one snapshot.
    context
        Scoring context of the snapshot.

    Returns
    -------
    ``probabilities`` (rows x (stages, no change), sums to 1, the present stage 0), ``p_move``
    (their sum without no change), ``cif`` (rows x stages x periods: P(moved there by period k),
    monotone), ``median_period`` (first period by which half of p_move has come, NaN where nobody
    moves) and ``median_days`` (the same in days).
    """
    p, x, table = transition_destinations(part, frame, context)
    timing = transition_timing(part, x, p, table)
    return transition_outputs(p, timing, part.parameters["period_days"])


def likely_moves(part: Part, frame: pd.DataFrame, context: Mapping[str, Any]) -> dict[str, Array]:
    """What the scored row tells of `predict_transition`, at a fraction of its cost.

    Timing has a forest walked once a stage, and only those who likelier move than not are told a
    day: the others' ``median_days`` are NaN here.
    """
    p, x, table = transition_destinations(part, frame, context)
    days = np.full(len(p), np.nan)
    likely = np.flatnonzero(moves(p) >= LIKELY)
    if len(likely):
        timing = transition_timing(part, x[likely], p[likely], table[likely])
        period_days = part.parameters["period_days"]
        days[likely] = transition_outputs(p[likely], timing, period_days)["median_days"]
    return {"probabilities": p, "median_days": days}


def moves(p: Array) -> Array:
    """P(any move) from destinations with no change last."""
    return np.asarray(1.0 - p[:, -1])


# ---------------------------------------------------------------------------------- the scored row
# A scorer is a folder: scorer.json (the head) and one folder a part. The head: format, stages
# (names by code), lapsed_stage, features [{name, null}], pass_through [{name, dtype}],
# training_context, lead {p, score, bands} or null, part_versions, and notes of the trainer.

# Columns of the scored row and their types, in the order of the table.
SCORED_COLUMNS = {
    "customer_id": "string",
    "snapshot_at": "date",
    "data_through": "date",
    "stage": "string",
    "sub_stage": "string",
    "stage_since": "date",
    "previous_stage": "string",
    "stage_change_cause": "string",
    "stage_predicted": "string",
    "stage_confidence": "double",
    "stage_probabilities": "string",
    "next_stage": "string",
    "next_stage_probabilities": "string",
    "p_move": "double",
    "expected_transition_at": "date",
    "lapses_at_if_silent": "date",
    "churn_eligible": "bool",
    "p_churn": "double",
    "churn_horizon_days": "int64",
    "churn_band": "string",
    "p_first_purchase": "double",
    "lead_score": "double",
    "lead_band": "string",
    "p_reactivate": "double",
    "p_any_order": "double",
    "expected_orders": "double",
    "expected_next_order_at": "date",
    "average_order_value": "double",
    "average_days_between_orders": "double",
    "historic_clv": "double",
    "clv": "double",
    "clv_low": "double",
    "clv_high": "double",
    "clv_horizon_days": "int64",
    "value_tier": "string",
    "preferred_channel": "string",
    "flags": "string",
    "uplift": "string",
    "clv_margin": "double",
    "reason_code_1": "string",
    "reason_code_2": "string",
    "reason_code_3": "string",
    "reason_1": "string",
    "reason_2": "string",
    "reason_3": "string",
    "score_quality": "string",
    "scorer_version": "string",
    "run_id": "string",
    "scored_at": "timestamp",
}
LIKELY = 0.5  # P(move) from which on the day of a move is told
ORDER_HORIZONS = 3  # horizons beyond which the date of the next order is no date to plan with
PASS_THROUGH_BEFORE = "preferred_channel"  # declared attributes' columns stand before this one
PART_COLUMNS = {
    "stage": ["stage_predicted", "stage_confidence", "stage_probabilities"],
    "transition": ["next_stage", "next_stage_probabilities", "p_move", "expected_transition_at"],
    "churn": ["churn_eligible", "p_churn", "churn_horizon_days", "churn_band"],
    "clv": [
        "p_first_purchase",
        "lead_score",
        "lead_band",
        "p_reactivate",
        "p_any_order",
        "expected_orders",
        "expected_next_order_at",
        "clv",
        "clv_low",
        "clv_high",
        "clv_horizon_days",
        "value_tier",
        "clv_margin",
    ],
    "uplift": ["uplift"],
}
_DTYPES = {
    "string": "str",
    "double": "float64",
    "int64": "Int64",
    "date": "datetime64[s]",
    "bool": "boolean",
    "timestamp": "datetime64[us]",
}


def effect_basis(terms: Mapping[str, Any], x: Array) -> Array:
    """Ranks of every column (0 in the middle, and where missing), then the products of pairs."""
    ranks = np.zeros(x.shape)
    for column, knots in enumerate(terms["knots"]):
        if knots:
            known = ~np.isnan(x[:, column])
            # The middle of equal values: a yes or no keeps its two places.
            grid = np.linspace(-1.0, 1.0, len(knots))
            left = np.searchsorted(knots, x[known, column], side="left")
            right = np.searchsorted(knots, x[known, column], side="right") - 1
            below, above = np.clip(left, 0, len(knots) - 1), np.clip(right, 0, len(knots) - 1)
            ranks[known, column] = (grid[below] + grid[above]) / 2
    pairs = [ranks[:, first] * ranks[:, second] for first, second in terms["pairs"]]
    return np.column_stack([ranks, *pairs])


def effect_terms(terms: Mapping[str, Any], x: Array) -> Array:
    """Effect by the linear terms alone."""
    z = (effect_basis(terms, x) - np.asarray(terms["means"])) / np.asarray(terms["scales"])
    weighted = np.ascontiguousarray(z * np.asarray(terms["coefficients"]))
    return np.asarray(weighted.sum(axis=1) + terms["intercept"])


def uplift_effect(part: Part, frame: pd.DataFrame) -> Array:
    """Added outcome of every row, were they sent the message."""
    head = part.parameters
    x = matrix(frame, head["features"])
    effect = effect_terms(head["terms"], x)
    trees = raw_scores([part.boosters[name] for name in sorted(part.boosters)], x)
    return np.asarray(effect + np.mean(trees, axis=0)) if trees else effect


def uplift_rows(part: Part, frame: pd.DataFrame) -> list[str | None]:
    """JSON of the added chance of a response by campaign; None where no model knows the customer.

    A model says nothing of stages that were not among the people it learned from, and the same of
    everyone where its ranking was not shown to be better than chance.
    """
    rows: list[dict[str, float]] = [{} for _ in range(len(frame))]
    code = np.asarray(frame["stage__code"], dtype=np.float64)
    for name, head in sorted(part.parameters["models"].items()):
        who = np.flatnonzero(np.isin(code, head["stages"]))
        effect = np.full(len(who), float(head["mean_effect"]))
        if head["ranks"] and len(who):
            prefix = f"{name}."
            boosters = {
                key.removeprefix(prefix): booster
                for key, booster in part.boosters.items()
                if key.startswith(prefix)
            }
            effect = uplift_effect(Part("uplift", head, boosters), frame.iloc[who])
        for row, value in zip(who, np.clip(effect, -1.0, 1.0).round(6).tolist(), strict=True):
            rows[row] |= dict.fromkeys(head["campaigns"], value)
    return [json.dumps(row, sort_keys=True) if row else None for row in rows]


def save_scorer(folder: Path, parts: Mapping[str, Part], head: Mapping[str, Any]) -> None:
    """Write ``scorer.json`` and one folder a part, as `load_scorer` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        part.save(folder / name)
    text = json.dumps({**head, "format": FORMAT, "parts": sorted(parts)}, indent=1, sort_keys=True)
    (folder / "scorer.json").write_text(text, encoding="utf-8")


def load_scorer(folder: Path) -> tuple[dict[str, Part], dict[str, Any]]:
    """Parts by name, and the head, of what `save_scorer` wrote."""
    head = json.loads((folder / "scorer.json").read_text(encoding="utf-8"))
    if head["format"] != FORMAT:
        raise ValueError(f"{folder}: artifact format {head['format']}, expected {FORMAT}")
    return {name: Part.load(folder / name) for name in head["parts"]}, head


def late_inputs(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Input of a current-stage model of late data: its own features, under their plain names.

    None where the frame has no columns marked with `LATE`: then the model reads what all read.
    """
    own = [name for name in frame.columns if name.startswith(LATE)]
    if not own:
        return None
    keys = [name for name in ("customer_id", "snapshot_at") if name in frame]
    return frame[keys + own].rename(columns={name: name.removeprefix(LATE) for name in own})


def scorer_sums(parts: Mapping[str, Part], frame: pd.DataFrame) -> dict[str, float]:
    """Additive sums over the rows of one snapshot, the first pass of scoring (see `add_sums`)."""
    sums = {f"population.{key}": value for key, value in population_sums(frame).items()}
    if "stage" in parts and (late := late_inputs(frame)) is not None:
        sums |= {f"late.{key}": value for key, value in population_sums(late).items()}
    if "clv" in parts:
        sums |= {f"clv.{key}": value for key, value in clv_sums(parts["clv"], frame).items()}
    return sums


def add_sums(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Sums of two disjoint sets of customers, added key by key."""
    return {key: first.get(key, 0.0) + second.get(key, 0.0) for key in {**first, **second}}


def scorer_context(parts: Mapping[str, Part], sums: Mapping[str, float]) -> dict[str, Any]:
    """Scoring context of a snapshot, JSON-able, from the (added) `scorer_sums` of its customers."""

    def of(prefix: str) -> dict[str, float]:
        return {
            key.removeprefix(prefix): value for key, value in sums.items() if key.startswith(prefix)
        }

    context = population_context(of("population."))
    if late := of("late."):
        context["late"] = population_context(late)
    if "clv" in parts:
        context |= clv_context(parts["clv"], of("clv."))
    return context


def prepared(frame: pd.DataFrame, head: Mapping[str, Any]) -> pd.DataFrame:
    """Input with keys, features as float64 and known pass-through columns; the rest is ignored.

    Raises
    ------
    ValueError
        A column is missing or cannot be read as its type; the message names it.
    """
    features = [feature["name"] for feature in head["features"]]
    missing = [name for name in ("customer_id", "snapshot_at", *features) if name not in frame]
    if missing:
        raise ValueError(
            f"{len(missing)} input columns are missing, the first of them {missing[:10]}; "
            "the model's signature lists all it needs"
        )
    if duplicated := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise ValueError(f"input columns occur twice: {duplicated[:10]}")
    numbers = frame.loc[:, features]
    if any(dtype != np.float64 for dtype in numbers.dtypes):
        numbers = pd.DataFrame({name: as_float(numbers[name]) for name in features})
    # One block of memory: MLflow hands over a block a column, which is slow to work with.
    numbers = pd.DataFrame(numbers.to_numpy(), index=frame.index, columns=features)
    keys = {
        "customer_id": as_text(frame["customer_id"]),
        "snapshot_at": as_date(frame["snapshot_at"]),
    }
    for name, column in keys.items():
        if column.isna().any():
            raise ValueError(f"input column {name}: {int(column.isna().sum())} rows are empty")
    extra = {
        column["name"]: typed(frame[column["name"]], column["dtype"])
        for column in head["pass_through"]
        if column["name"] in frame
    }
    rest = pd.DataFrame({**keys, **extra}, index=frame.index)
    return pd.concat([rest, numbers], axis=1).reset_index(drop=True)


def as_float(column: pd.Series) -> pd.Series:
    """A numeric or boolean column as float64, null as NaN; texts and categories are refused."""
    try:
        if isinstance(column.dtype, pd.CategoricalDtype | pd.StringDtype):
            raise TypeError(f"found {column.dtype}")
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"input column {column.name}: expected numbers (float64), found {column.dtype}"
        ) from error
    return pd.Series(values, index=column.index)


def as_text(column: pd.Series) -> pd.Series:
    """A column as text; whole numbers lose nothing, null stays null."""
    if column.dtype == np.float64:
        raise ValueError(f"input column {column.name}: expected text, found {column.dtype}")
    return column.astype("str")


def as_date(column: pd.Series) -> pd.Series:
    """A column of local calendar days (dates, naive time stamps or ISO texts) as datetime64[s]."""
    wrong = f"input column {column.name}: expected local dates without a zone, found"
    if column.dtype.kind in "iufb" and column.notna().any():
        raise ValueError(f"{wrong} {column.dtype}")  # a number could count from any day
    try:
        iso = {} if column.dtype.kind == "M" else {"format": "ISO8601"}
        return pd.to_datetime(column, **iso).astype("datetime64[s]")
    except (TypeError, ValueError):
        raise ValueError(f"{wrong} {column.dtype} that is none") from None


def typed(values: Any, dtype: str) -> pd.Series:
    """Values as a column of one of the types of the scored row; None is null."""
    column = values if isinstance(values, pd.Series) else pd.Series(values)
    if dtype == "date":
        return as_date(column)
    if dtype == "string":
        return column.astype(object).where(column.notna(), None).astype("str")
    if dtype == "double":
        return as_float(column)
    return column.astype(_DTYPES[dtype])


def json_rows(names: Sequence[str], p: Array) -> list[str]:
    """One JSON object a row: probabilities to 6 decimals, rounded so that they sum to exactly 1."""
    units = np.rint(p * 1e6).astype(np.int64)
    rows = np.arange(len(p))
    units[rows, p.argmax(axis=1)] += 1_000_000 - units.sum(axis=1)
    pattern = "{" + ", ".join(f"{json.dumps(name)}: %.6f" for name in names) + "}"
    return [pattern % tuple(row) for row in (units / 1e6).tolist()]


def days_after(snapshots: pd.Series, days: Array) -> pd.Series:
    """The day that lies `days` (rounded up; NaN: null) after every snapshot."""
    whole = pd.Series(np.ceil(np.asarray(days, dtype=np.float64)), index=snapshots.index)
    far = whole > 36_500  # a century on is no date to plan with
    return snapshots + pd.to_timedelta(whole.mask(far), unit="D").astype("timedelta64[s]")


def fact_columns(frame: pd.DataFrame, head: Mapping[str, Any]) -> dict[str, Any]:
    """What the history says without a model: stage, clock, past value, and the quality of it."""

    def known(name: str) -> Array:
        if name not in frame:
            return np.full(len(frame), np.nan)
        return np.asarray(frame[name], dtype=np.float64)

    # A code that the model does not know, or none, names no stage.
    names = np.asarray([*head["stages"], None], dtype=object)
    stage = names[stage_codes(frame, len(head["stages"]))]
    days = np.nan_to_num(known("cadence__days"), nan=0.0)
    quality = np.where(days <= 2, "thin", "ok")
    age = known("tenure__days")
    lapse = known("stage__days_to_lapse")
    return {
        "stage": stage,
        "lapses_at_if_silent": days_after(frame["snapshot_at"], np.where(lapse > 0, lapse, np.nan)),
        "average_order_value": known("purchase__amount_mean"),
        "average_days_between_orders": known("cadence__gap_mean"),
        "historic_clv": np.nan_to_num(known("purchase__sum_all"), nan=0.0),
        "score_quality": np.where(age < 30, "cold", quality),
    }


def stage_columns(out: Mapping[str, Array], head: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of the current-stage model from what `predict_stage` gives."""
    p = out["probabilities"]
    best = p.argmax(axis=1)
    return {
        "stage_predicted": np.asarray(head["stages"], dtype=object)[best],
        "stage_confidence": p[np.arange(len(p)), best],
        "stage_probabilities": json_rows(head["stages"], p),
    }


def transition_columns(
    out: Mapping[str, Array], frame: pd.DataFrame, head: Mapping[str, Any]
) -> dict[str, Any]:
    """Columns of the next-transition model from what `likely_moves` gives."""
    p = out["probabilities"]  # destinations by stage code, then no change
    move = moves(p)
    next_stage = np.asarray(head["stages"], dtype=object)[p[:, :-1].argmax(axis=1)]
    next_stage[p[:, :-1].max(axis=1) <= 0.0] = None
    days = np.where(move >= LIKELY, out["median_days"], np.nan)
    return {
        "next_stage": next_stage,
        "next_stage_probabilities": json_rows([*head["stages"], "no_change"], p),
        "p_move": move,
        "expected_transition_at": days_after(frame["snapshot_at"], days),
    }


def clv_columns(
    out: Mapping[str, Array], frame: pd.DataFrame, stage: Array, head: Mapping[str, Any]
) -> dict[str, Any]:
    """Columns of the CLV model, with the lead's and the chance of coming back."""
    columns: dict[str, Any] = {name: out[name] for name in out if name in SCORED_COLUMNS}
    # The table tells the mean so far; what is expected of the next order is in clv and orders.
    columns.pop("average_order_value", None)
    soon = out["next_order_days"] <= ORDER_HORIZONS * out["clv_horizon_days"]
    days = np.where(soon, out["next_order_days"], np.nan)
    columns["expected_next_order_at"] = days_after(frame["snapshot_at"], days)
    columns["p_reactivate"] = np.where(stage == head["lapsed_stage"], out["p_any_order"], np.nan)
    return columns


def predict_scores(
    parts: Mapping[str, Part],
    frame: pd.DataFrame,
    context: Mapping[str, Any],
    head: Mapping[str, Any],
) -> pd.DataFrame:
    """Scored rows of feature rows of one snapshot, in the order given; row-wise given the context.

    Parameters
    ----------
    parts
        Some or all of stage, transition, churn, clv and uplift. With a single part the rows hold
        the keys and its columns; else the whole scored row, null where a part is lacking.
    frame
        Keys, every feature of ``head["features"]`` in any order, and any pass-through columns.
    context
        Scoring context of the snapshot (`scorer_context`); may hold ``data_through``.
    head
        Content of ``scorer.json``.

    Returns
    -------
    Columns of `SCORED_COLUMNS` and the pass-through columns. ``scorer_version``, ``run_id`` and
    ``scored_at`` are null unless the context tells them.

    Raises
    ------
    ValueError
        The frame or the context lacks something or holds another type.
    """
    if lacking := sorted(set(head["training_context"]) - set(context)):
        raise ValueError(f"the scoring context lacks {lacking}; make it with scorer_context")
    names = scored_names(parts, head)
    frame = prepared(frame, head)
    if frame.empty:
        return pd.DataFrame({name: typed([], dtype) for name, dtype in names.items()})
    columns: dict[str, Any] = fact_columns(frame, head)
    rule_stage = columns["stage"]
    if "stage" in parts:
        late = late_inputs(frame)
        known = (frame, context) if late is None else (late, context["late"])
        columns |= stage_columns(predict_stage(parts["stage"], *known), head)
    if "transition" in parts:
        going = likely_moves(parts["transition"], frame, context)
        columns |= transition_columns(going, frame, head)
    if "churn" in parts:
        columns |= predict_churn(parts["churn"], frame, context)
    if "clv" in parts:
        columns |= clv_columns(predict_clv(parts["clv"], frame, context), frame, rule_stage, head)
    if "uplift" in parts:
        columns["uplift"] = uplift_rows(parts["uplift"], frame)
    told = {name: context[name] for name in ("data_through", "scorer_version") if name in context}
    columns |= {name: [value] * len(frame) for name, value in told.items()}
    given = {name: frame[name] for name in names if name in frame}
    columns |= {"flags": ["[]"] * len(frame), "stage": rule_stage, **given}
    empty = [None] * len(frame)
    return pd.DataFrame(
        {name: typed(columns.get(name, empty), dtype) for name, dtype in names.items()}
    )


def scored_names(parts: Mapping[str, Part], head: Mapping[str, Any]) -> dict[str, str]:
    """Columns that `predict_scores` returns with these parts, and their types."""
    extra = {
        column["name"]: column["dtype"]
        for column in head["pass_through"]
        if column["name"] not in SCORED_COLUMNS
    }
    if len(parts) == 1:
        own = ["customer_id", "snapshot_at", "stage", *PART_COLUMNS[next(iter(parts))]]
        return {name: SCORED_COLUMNS[name] for name in own}
    names: dict[str, str] = {}
    for name, dtype in SCORED_COLUMNS.items():
        if name == PASS_THROUGH_BEFORE:
            names |= extra
        names[name] = dtype
    return names


class Scorer(PythonModel):  # type: ignore[misc, unused-ignore]
    """What MLflow loads: the parts of the folder ``scorer`` among the artifacts, and `predict`."""

    def load_context(self, context: Any) -> None:
        """Read the artifact folder."""
        self.parts, self.head = load_scorer(Path(context.artifacts["scorer"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Scored rows; ``params={"scoring_context": JSON}``, by default that of the training."""
        given = (params or {}).get("scoring_context") or ""
        scoring = json.loads(given) if given else self.head["training_context"]
        return predict_scores(self.parts, model_input, scoring, self.head)


# MLflow runs this file to find the model. Imported by the training it only notes an object.
mlflow.models.set_model(Scorer())
