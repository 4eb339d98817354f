"""Multiclass trees on many snapshots: choice of rows and columns, and the fit.

Used by the current-stage and the next-transition model.
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
from models.fitting.feature_selection import SELECTION_ROWS, row_limit, strongest_columns
from models.scorer.derived_features import derive_each, model_columns
from models.scorer.linear_model import matrix

MULTICLASS_SETTINGS: dict[str, Any] = {
    "objective": "multiclass",
    # Few leaves, and few columns and rows per tree: snapshots of one customer are alike, and larger
    # trees learn the calendar. Chosen on completejourney, origins 2017-09-02 and 2017-10-01.
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
_MIN_DATA = 80  # rows per leaf; fewer on small data
_MAX_ROUNDS, _PATIENCE, _REFIT_FACTOR = 500, 20, 1.1
# Rows x columns up to which fits of two seeds differ by 1 % of log loss. On simulated data of
# 83,000 rows and 209 columns two more fits lowered it by .16 % and doubled the time.
_FEW_CELLS = 14_000_000
_MIN_ROWS = 400  # no trees with fewer fit rows
MIN_CUSTOMERS = 100  # no trees with fewer customers: a snapshot of so few cannot validate them
MIN_CLASS = 20  # trees do not learn a class with fewer fit rows
# Limits on training rows and on rows x columns: more add time without accuracy.
_MAX_ROWS, _MAX_CELLS = 200_000, 15_000_000
_THIRDS = 3  # parts of the customers; one is held out to choose the rounds
_HELD_OUT = 5  # with a single snapshot every fifth customer validates
_SLACK_DAYS = 7

_WINDOW = re.compile(r"__(?P<kind>.*)_(?P<days>\d+)d$")
_ENDLESS = 1e9  # days of history where tenure is unknown
_LIFETIME = re.compile(
    r"_all$|__age_days$|^tenure__days$|^cadence__(span_days|days|gap_max)$"
    r"|^purchase__amount_(first|max)$|^btyd__(x|t_x|T|value_n)$"
)


@dataclass(frozen=True)
class RowSplit:
    """Row positions of a training frame: fit rows, and validation rows for early stopping."""

    fit: Array
    validation: Array
    validation_kind: str


@dataclass(frozen=True)
class MulticlassTrees:
    """A fitted multiclass model.

    Attributes
    ----------
    before, final
        Booster fitted without the validation rows (for guards), and on all rows.
    rounds
        Rounds of `final`.
    more
        Fits like `final` with other seeds, on few rows: their mean varies less.
    """

    before: lgb.Booster
    final: lgb.Booster
    rounds: int
    more: tuple[lgb.Booster, ...] = ()

    def named(self, name: str) -> dict[str, lgb.Booster]:
        """Served boosters by the names that `models.scorer.stage.forest_classes` reads."""
        more_boosters = {
            f"{name}_{number}": booster for number, booster in enumerate(self.more, start=1)
        }
        return {name: self.final, **more_boosters}


def steady_columns(frame: pd.DataFrame, columns: list[str]) -> list[str]:
    """Varying columns that mean the same at every training snapshot.

    If the history before the first snapshot is shorter than a window, the values of that window
    grow from snapshot to snapshot with the history, and trees learn the calendar. The same holds
    for lifetime counts and ages if tenure grows with the calendar: on completejourney such columns
    cost 4 % of log loss.

    Parameters
    ----------
    frame
        Training rows of all snapshots, with ``snapshot_at``.
    columns
        Candidates, in order.
    """
    snapshot_days = frame["snapshot_at"]
    tenure = frame["tenure__days"] if "tenure__days" in frame else pd.Series(_ENDLESS, frame.index)
    history_days = float(tenure[snapshot_days == snapshot_days.min()].max())
    latest_tenure = tenure[snapshot_days == snapshot_days.max()]
    moving = (
        snapshot_days.min() < snapshot_days.max()
        and float(latest_tenure.quantile(0.9)) > history_days
    )
    values = frame.loc[:, columns]
    varying = (values.min() < values.max()) | (values.isna().any() & values.notna().any())

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
        return not days > history_days + _SLACK_DAYS

    return [name for name in columns if varying[name] and steady(name)]


def customer_hash(customers: pd.Series) -> Array:
    """Hash of each row's customer id in [0, 1), by CRC-32."""
    codes, distinct_ids = pd.factorize(customers.astype(str))
    fractions = np.asarray(
        [zlib.crc32(f"rows {customer}".encode()) / 2**32 for customer in distinct_ids]
    )
    return np.asarray(fractions[codes])


def thin_customers(frame: pd.DataFrame) -> pd.DataFrame:
    """Drop whole customers, by their hash, so that about `row_limit` rows remain."""
    max_rows = row_limit(len(model_columns(frame)), max_rows=_MAX_ROWS, max_cells=_MAX_CELLS)
    if len(frame) <= max_rows:
        return frame
    selected = customer_hash(frame["customer_id"]) < max(max_rows / len(frame), 0.001)
    return frame[selected].reset_index(drop=True)


def split_rows(frame: pd.DataFrame, validation_at: pd.Timestamp) -> RowSplit:
    """Fit on the rows before the validation snapshot, validate on its rows.

    With a single snapshot a fifth of the customers validates.

    Raises
    ------
    ValueError
        If there is no row, or none at `validation_at`.
    """
    validation_day = pd.Timestamp(validation_at)
    if frame.empty:
        raise ValueError("no training rows: no customer existed at a matured snapshot")
    is_validation = (frame["snapshot_at"] == validation_day).to_numpy()
    if not is_validation.any():
        raise ValueError(
            f"no training rows at the validation snapshot {validation_day.date()}; the frame holds "
            f"{frame['snapshot_at'].min().date()} to {frame['snapshot_at'].max().date()}"
        )
    is_earlier = (frame["snapshot_at"] < validation_day).to_numpy()
    if is_earlier.any():
        return RowSplit(
            np.flatnonzero(is_earlier), np.flatnonzero(is_validation), "latest snapshot"
        )
    is_held_out = (customer_hash(frame["customer_id"]) * 1000 % 1) < 1 / _HELD_OUT
    return RowSplit(
        np.flatnonzero(is_validation & ~is_held_out),
        np.flatnonzero(is_validation & is_held_out),
        "held-out fifth",
    )


def frequent_classes(target: Array, classes: int) -> list[int]:
    """Codes of the classes with at least `MIN_CLASS` rows."""
    return np.flatnonzero(np.bincount(target, minlength=classes) >= MIN_CLASS).tolist()


@dataclass(frozen=True)
class TreeInputs:
    """Input of the trees: features, rows of learnable classes, their codes from 0, settings."""

    x: Array
    code: Array
    fit: Array
    validation: Array
    settings: dict[str, Any]

    @property
    def binning(self) -> dict[str, Any]:
        """Settings of LightGBM's data sets."""
        return {"max_bin": self.settings["max_bin"], "verbose": -1}

    def before(self, *callbacks: Any) -> lgb.Booster:
        """Booster fitted on the fit rows, stopped early by the validation rows."""
        return self._stopped(self.fit, self.validation, *callbacks)

    def rounds(self, hashes: Array) -> int:
        """Number of rounds that is best for held-out customers at the validation snapshot.

        Parameters
        ----------
        hashes
            `customer_hash` of all rows: its thirds are held out in turn, on many rows only one.
        """
        thirds = np.floor(hashes * _THIRDS)
        held_out_thirds = range(_THIRDS if self.few(len(self.fit)) else 1)
        stopped_rounds = []
        for number in held_out_thirds:
            fit, validation = self.fit[thirds[self.fit] != number], self.validation
            validation = validation[thirds[validation] == number]
            if len(fit) and len(validation):
                stopped_rounds.append(self._stopped(fit, validation).best_iteration)
        return max(1, round(float(np.mean(stopped_rounds)))) if stopped_rounds else 1

    def few(self, rows: int) -> bool:
        """True if fits on that many rows depend noticeably on their seed."""
        return rows * self.x.shape[1] <= _FEW_CELLS

    def grown(self, rows: Array, rounds: int, seeds: int = 1) -> list[lgb.Booster]:
        """Fit boosters of a fixed number of rounds, one per seed."""
        dataset = lgb.Dataset(self.x[rows], self.code[rows], params=self.binning)
        first_seed = self.settings["seed"]
        settings_by_seed = [
            self.settings | {"seed": first_seed + number} for number in range(seeds)
        ]
        return [lgb.train(seed_settings, dataset, rounds) for seed_settings in settings_by_seed]

    def _stopped(self, fit: Array, validation: Array, *callbacks: Any) -> lgb.Booster:
        train_data = lgb.Dataset(self.x[fit], self.code[fit], params=self.binning)
        held_out = self.x[validation], self.code[validation]
        early_stop = lgb.early_stopping(_PATIENCE, verbose=False)
        return lgb.train(
            dict(self.settings),
            train_data,
            _MAX_ROUNDS,
            valid_sets=[lgb.Dataset(*held_out, reference=train_data)],
            callbacks=[early_stop, *callbacks],
        )


def tree_inputs(
    inputs: Array,
    target: Array,
    rows: RowSplit,
    *,
    classes: list[int],
    seed: int,
    threads: int,
    trees: Mapping[str, Any] | None = None,
) -> TreeInputs | None:
    """Input of `fit_trees` (same parameters), or None if there are too few rows or classes."""
    class_positions = np.full(int(target.max(initial=0)) + 1, -1)
    class_positions[classes] = np.arange(len(classes))
    codes = class_positions[target]
    fit, validation = (
        positions[codes[positions] >= 0] for positions in (rows.fit, rows.validation)
    )
    if len(classes) < 2 or len(fit) < _MIN_ROWS or not len(validation):
        return None
    settings = {**MULTICLASS_SETTINGS, **(trees or {})} | {
        "num_class": len(classes),
        "min_data_in_leaf": max(5, min(_MIN_DATA, len(fit) // 50)),
        "seed": seed,
        "num_threads": threads,
    }
    return TreeInputs(inputs, codes, fit, validation, settings)


def fit_trees(
    features: Array,
    target: Array,
    rows: RowSplit,
    *,
    classes: list[int],
    seed: int,
    threads: int,
    trees: Mapping[str, Any] | None = None,
    seeds: int = 1,
    hashes: Array | None = None,
) -> MulticlassTrees | None:
    """Fit on the fit rows with early stopping, then again on all rows; None with too few rows.

    Parameters
    ----------
    features
        Features, rows x columns, NaN where missing.
    target
        Class code of each row.
    rows
        Fit and validation rows; others are not used.
    classes
        Codes to learn; rows of other classes are left out.
    seed, threads
        Seed and threads of LightGBM; results do not depend on the threads.
    trees
        Settings that replace those of `MULTICLASS_SETTINGS`.
    seeds
        Number of final fits on at most `_FEW_CELLS` values; with more there is one.
    hashes
        `customer_hash` of the rows: customers held out choose the rounds. Without it the
        validation rows do, most of whose customers have been seen at an earlier snapshot.
    """
    settings: dict[str, Any] = {"seed": seed, "threads": threads, "trees": trees}
    inputs = tree_inputs(features, target, rows, classes=classes, **settings)
    if inputs is None:
        return None
    if hashes is None:
        stopped = inputs.before()
        best_rounds = stopped.best_iteration
    else:
        best_rounds = inputs.rounds(hashes)
        stopped = inputs.grown(inputs.fit, best_rounds)[0]
    rounds = max(1, round(_REFIT_FACTOR * best_rounds))
    all_rows = np.sort(np.concatenate([inputs.fit, inputs.validation]))
    final_booster, *more_boosters = inputs.grown(
        all_rows, rounds, seeds if inputs.few(len(all_rows)) else 1
    )
    return MulticlassTrees(
        before=stopped, final=final_booster, rounds=rounds, more=tuple(more_boosters)
    )


def derived_inputs(
    frame: pd.DataFrame, contexts: Mapping[pd.Timestamp, Mapping[str, Any]]
) -> tuple[pd.DataFrame, list[str]]:
    """Training rows with their context-dependent columns, and the columns to learn from."""
    rows = derive_each(frame, contexts)
    targets = {"truth_code", "next_code", "period"}
    columns = [name for name in model_columns(rows) if name not in targets]
    return rows, steady_columns(rows, columns)


def select_class_columns(
    inputs: pd.DataFrame, columns: list[str], outcomes: list[tuple[Array, Array]], **settings: int
) -> list[str]:
    """Strongest columns for class outcomes (see `models.fitting.feature_selection`).

    Parameters
    ----------
    inputs, columns
        From `derived_inputs`.
    outcomes
        Class codes of all rows and positions of the fit rows, one pair per model to be fitted; a
        column that is strong for one of them is kept.
    settings
        ``seed`` and ``threads``.
    """
    selected: set[int] = set()
    for target, fit in outcomes:
        if len(fit):
            sample = fit[:: -(-len(fit) // SELECTION_ROWS)]
            matrix_sample = matrix(inputs.iloc[sample], columns)
            selected |= set(
                strongest_columns(
                    matrix_sample, target[sample], objective="multiclass", **settings
                ).tolist()
            )
    return (
        [name for position, name in enumerate(columns) if position in selected]
        if selected
        else columns
    )
