"""Multiclass trees on many snapshots: which columns may be learned from, and the fit itself.

Shared by the current-stage and the next-transition model.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.feature_selection import SAMPLE_ROWS, row_limit, strongest
from models.scorer.derived_features import derive_each, model_columns
from models.scorer.linear_model import matrix

TREES: dict[str, Any] = {
    "objective": "multiclass",
    # Small leaves and few columns and rows a tree: snapshots of one customer repeat each other, and
    # larger trees learn the calendar. Chosen on completejourney, origins 2017-09-02 and 10-01.
    "learning_rate": 0.1,
    "num_leaves": 5,
    "feature_fraction": 0.15,
    "bagging_fraction": 0.4,
    "bagging_freq": 1,
    "lambda_l2": 20.0,
    "max_bin": 63,
    "deterministic": True,
    "force_col_wise": True,  # half the time of row-wise on tens of thousands of rows
    "verbose": -1,
}
MIN_DATA = 80  # rows a leaf; fewer where the data are small
MAX_ROUNDS, PATIENCE, REFIT_FACTOR = 500, 20, 1.1
# Rows times columns up to which fits of two seeds differ by 1 % of log loss. On simulated data of
# 83,000 rows and 209 columns two more fits took .16 % off, and doubled the time.
FEW_CELLS = 14_000_000
MIN_ROWS = 400  # fit rows below which trees are not tried
MIN_CUSTOMERS = 100  # below it rows repeat so few customers that no snapshot can guard trees
MIN_CLASS = 20  # fit rows of a class below which it is left to the table
# Rows learned from, and rows times columns: more add time and nothing else.
MAX_ROWS, MAX_CELLS = 200_000, 15_000_000
THIRDS = 3  # parts of the customers of which one is held out to choose the rounds
HELD_OUT = 5  # one customer in so many validates where there is one snapshot only
SLACK_DAYS = 7

_WINDOW = re.compile(r"__(?P<kind>.*)_(?P<days>\d+)d$")
_LIFETIME = re.compile(
    r"_all$|__age_days$|^tenure__days$|^cadence__(span_days|days|gap_max)$"
    r"|^purchase__amount_(first|max)$|^btyd__(x|t_x|T|value_n)$"
)


@dataclass(frozen=True)
class Rows:
    """Row positions of a training frame: what is fitted on, and what stops the fit."""

    fit: Array
    validation: Array
    validation_kind: str


@dataclass(frozen=True)
class Trees:
    """A fitted multiclass model.

    Attributes
    ----------
    before, final
        Booster fitted before the validation rows were added (for guards), and on all.
    rounds
        Rounds of `final`.
    more
        Fits like `final` with other seeds, on few rows: their mean is steadier.
    """

    before: lgb.Booster
    final: lgb.Booster
    rounds: int
    more: tuple[lgb.Booster, ...] = ()

    def named(self, name: str) -> dict[str, lgb.Booster]:
        """What is served, by the names that `models.scorer.stage.forest_classes` looks for."""
        others = {f"{name}_{n}": booster for n, booster in enumerate(self.more, start=1)}
        return {name: self.final, **others}


def steady_columns(frame: pd.DataFrame, columns: list[str]) -> list[str]:
    """Columns that mean the same at every training snapshot, constant ones left out.

    Where the history before the first snapshot is shorter than a window, that window's values
    grow from snapshot to snapshot only because the record does, and trees learn the calendar.
    The same holds for lifetime counts and ages where tenure moves with the calendar: on
    completejourney such columns cost 4 % of log loss.

    Parameters
    ----------
    frame
        Training rows of all snapshots, with ``snapshot_at``.
    columns
        Candidates, in order.
    """
    at = frame["snapshot_at"]
    tenure = frame["tenure__days"] if "tenure__days" in frame else pd.Series(np.inf, frame.index)
    history = float(tenure[at == at.min()].max())
    late = tenure[at == at.max()]
    moving = at.min() < at.max() and float(late.quantile(0.9)) > history
    values = frame.loc[:, columns]
    varied = (values.min() < values.max()) | (values.isna().any() & values.notna().any())

    def steady(name: str) -> bool:
        if _LIFETIME.search(name):
            return not moving
        window = _WINDOW.search(name)
        if window is None:
            return True
        days = int(window["days"])
        if "year_ago" in window["kind"]:
            days = 364
        elif "prev" in window["kind"] or "trend" in window["kind"]:
            days *= 2
        return not days > history + SLACK_DAYS

    return [name for name in columns if varied[name] and steady(name)]


def customer_share(customers: pd.Series) -> Array:
    """A number in [0, 1) a row that depends on the customer alone (CRC-32 of the id)."""
    codes, ids = pd.factorize(customers.astype(str))
    hashed = np.asarray([zlib.crc32(f"rows {one}".encode()) / 2**32 for one in ids])
    return np.asarray(hashed[codes])


def thinned(frame: pd.DataFrame) -> pd.DataFrame:
    """At most about `row_limit` rows: whole customers are left out, the same ones everywhere."""
    most = row_limit(len(model_columns(frame)), most=MAX_ROWS, cells=MAX_CELLS)
    if len(frame) <= most:
        return frame
    kept = customer_share(frame["customer_id"]) < max(most / len(frame), 0.001)
    return frame[kept].reset_index(drop=True)


def split_rows(frame: pd.DataFrame, validation_at: pd.Timestamp) -> Rows:
    """Fit rows before the validation snapshot, and its rows.

    With a single snapshot a fifth of the customers validates.

    Raises
    ------
    ValueError
        There is no row, or none at `validation_at`.
    """
    at = pd.Timestamp(validation_at)
    if frame.empty:
        raise ValueError("no training rows: no customer existed at a matured snapshot")
    last = (frame["snapshot_at"] == at).to_numpy()
    if not last.any():
        raise ValueError(
            f"no training rows at the validation snapshot {at.date()}; the frame holds "
            f"{frame['snapshot_at'].min().date()} to {frame['snapshot_at'].max().date()}"
        )
    before = (frame["snapshot_at"] < at).to_numpy()
    if before.any():
        return Rows(np.flatnonzero(before), np.flatnonzero(last), "latest snapshot")
    held = (customer_share(frame["customer_id"]) * 1000 % 1) < 1 / HELD_OUT
    return Rows(np.flatnonzero(last & ~held), np.flatnonzero(last & held), "held-out fifth")


def frequent(y: Array, classes: int) -> list[int]:
    """Codes of the classes that have rows enough to be learned."""
    return np.flatnonzero(np.bincount(y, minlength=classes) >= MIN_CLASS).tolist()


@dataclass(frozen=True)
class Inputs:
    """What trees are fitted on: rows of learnable classes, their codes without gaps, settings."""

    x: Array
    code: Array
    fit: Array
    validation: Array
    settings: dict[str, Any]

    @property
    def binning(self) -> dict[str, Any]:
        """Settings of the data sets."""
        return {"max_bin": self.settings["max_bin"], "verbose": -1}

    def before(self, *callbacks: Any) -> lgb.Booster:
        """Booster fitted without the validation rows, which stop it early."""
        return self._stopped(self.fit, self.validation, *callbacks)

    def rounds(self, share: Array) -> int:
        """Rounds that serve customers best who were held out, at the validation snapshot.

        Parameters
        ----------
        share
            `customer_share` of all rows: thirds of it are held out in turn, on many rows one.
        """
        third = np.floor(share * THIRDS)
        held = range(THIRDS if self.few(len(self.fit)) else 1)
        found = []
        for number in held:
            fit, validation = self.fit[third[self.fit] != number], self.validation
            validation = validation[third[validation] == number]
            if len(fit) and len(validation):
                found.append(self._stopped(fit, validation).best_iteration)
        return max(1, round(float(np.mean(found)))) if found else 1

    def few(self, rows: int) -> bool:
        """Whether that many rows are so few that single fits are noisy."""
        return rows * self.x.shape[1] <= FEW_CELLS

    def grown(self, rows: Array, rounds: int, seeds: int = 1) -> list[lgb.Booster]:
        """Boosters of so many rounds, which differ in their seed."""
        data = lgb.Dataset(self.x[rows], self.code[rows], params=self.binning)
        first = self.settings["seed"]
        settings = [self.settings | {"seed": first + number} for number in range(seeds)]
        return [lgb.train(each, data, rounds) for each in settings]

    def _stopped(self, fit: Array, validation: Array, *callbacks: Any) -> lgb.Booster:
        train = lgb.Dataset(self.x[fit], self.code[fit], params=self.binning)
        held = self.x[validation], self.code[validation]
        stop = lgb.early_stopping(PATIENCE, verbose=False)
        return lgb.train(
            dict(self.settings),
            train,
            MAX_ROUNDS,
            valid_sets=[lgb.Dataset(*held, reference=train)],
            callbacks=[stop, *callbacks],
        )


def tree_inputs(
    x: Array,
    y: Array,
    rows: Rows,
    *,
    classes: list[int],
    seed: int,
    threads: int,
    trees: Mapping[str, Any] | None = None,
) -> Inputs | None:
    """What `fit_trees` fits on (parameters as there); None where there is too little."""
    position = np.full(int(y.max(initial=0)) + 1, -1)
    position[classes] = np.arange(len(classes))
    code = position[y]
    fit, validation = (each[code[each] >= 0] for each in (rows.fit, rows.validation))
    if len(classes) < 2 or len(fit) < MIN_ROWS or not len(validation):
        return None
    settings = {**TREES, **(trees or {})} | {
        "num_class": len(classes),
        "min_data_in_leaf": max(5, min(MIN_DATA, len(fit) // 50)),
        "seed": seed,
        "num_threads": threads,
    }
    return Inputs(x, code, fit, validation, settings)


def fit_trees(
    x: Array,
    y: Array,
    rows: Rows,
    *,
    classes: list[int],
    seed: int,
    threads: int,
    trees: Mapping[str, Any] | None = None,
    seeds: int = 1,
    share: Array | None = None,
) -> Trees | None:
    """Fit on the fit rows with early stopping, then again on all; None where there is too little.

    Parameters
    ----------
    x
        Features, rows x columns, NaN where missing.
    y
        Class codes, one a row.
    rows
        Which rows fit and validate; others are not used.
    classes
        Codes to learn; rows of other classes are left out.
    seed, threads
        LightGBM's seed and threads; results do not depend on the threads.
    trees
        Settings in place of those of `TREES`.
    seeds
        Final fits, where there are at most `FEW_CELLS` values; more need no second one.
    share
        `customer_share` of the rows: customers held out choose the rounds. Without it the
        validation rows do, most of whose customers have been seen at an earlier snapshot.
    """
    settings: dict[str, Any] = {"seed": seed, "threads": threads, "trees": trees}
    inputs = tree_inputs(x, y, rows, classes=classes, **settings)
    if inputs is None:
        return None
    if share is None:
        before = inputs.before()
        best = before.best_iteration
    else:
        best = inputs.rounds(share)
        before = inputs.grown(inputs.fit, best)[0]
    rounds = max(1, round(REFIT_FACTOR * best))
    both = np.sort(np.concatenate([inputs.fit, inputs.validation]))
    final, *more = inputs.grown(both, rounds, seeds if inputs.few(len(both)) else 1)
    return Trees(before=before, final=final, rounds=rounds, more=tuple(more))


def derived_inputs(
    frame: pd.DataFrame, contexts: Mapping[pd.Timestamp, Mapping[str, Any]]
) -> tuple[pd.DataFrame, list[str]]:
    """Training rows with their context-dependent columns, and the columns to learn from."""
    rows = derive_each(frame, contexts)
    targets = {"truth_code", "next_code", "period"}
    columns = [name for name in model_columns(rows) if name not in targets]
    return rows, steady_columns(rows, columns)


def strong_columns(
    inputs: pd.DataFrame, columns: list[str], outcomes: list[tuple[Array, Array]], **settings: int
) -> list[str]:
    """Columns worth learning from, where there are very many (see
    `models.fitting.feature_selection`).

    Parameters
    ----------
    inputs, columns
        From `derived_inputs`.
    outcomes
        Class codes of all rows and the positions of the fit rows, one pair a forest to be fitted;
        a column that is strong for one of them is kept.
    settings
        ``seed`` and ``threads``.
    """
    kept: set[int] = set()
    for y, fit in outcomes:
        if len(fit):
            some = fit[:: -(-len(fit) // SAMPLE_ROWS)]
            x = matrix(inputs.iloc[some], columns)
            kept |= set(strongest(x, y[some], objective="multiclass", **settings).tolist())
    return [name for at, name in enumerate(columns) if at in kept] if kept else columns
