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

from models import inference

Array = np.ndarray[Any, Any]

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
MIN_ROWS = 400  # fit rows below which trees are not tried
MIN_CUSTOMERS = 100  # below it rows repeat so few customers that no snapshot can guard trees
MIN_CLASS = 20  # fit rows of a class below which it is left to the table
MAX_ROWS = 200_000  # rows learned from; more add time and nothing else
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
    """

    before: lgb.Booster
    final: lgb.Booster
    rounds: int


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


def split_rows(frame: pd.DataFrame, validation_at: pd.Timestamp) -> Rows:
    """Fit rows before the validation snapshot, and its rows.

    With a single snapshot a fifth of the customers validates. Very large frames are thinned by
    whole customers.

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
    share = customer_share(frame["customer_id"])
    kept = share < max(MAX_ROWS / len(frame), 0.001) if len(frame) > MAX_ROWS else share >= 0.0
    if before.any():
        return Rows(np.flatnonzero(before & kept), np.flatnonzero(last & kept), "latest snapshot")
    held = (share * 1000 % 1) < 1 / HELD_OUT
    return Rows(
        np.flatnonzero(last & kept & ~held), np.flatnonzero(last & kept & held), "held-out fifth"
    )


def frequent(y: Array, classes: int) -> list[int]:
    """Codes of the classes that have rows enough to be learned."""
    return np.flatnonzero(np.bincount(y, minlength=classes) >= MIN_CLASS).tolist()


def fit_trees(
    x: Array, y: Array, rows: Rows, *, classes: list[int], seed: int, threads: int
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
    """
    position = np.full(int(y.max(initial=0)) + 1, -1)
    position[classes] = np.arange(len(classes))
    code = position[y]
    fit, validation = (each[code[each] >= 0] for each in (rows.fit, rows.validation))
    if len(classes) < 2 or len(fit) < MIN_ROWS or not len(validation):
        return None
    parameters: Mapping[str, Any] = TREES | {
        "num_class": len(classes),
        "min_data_in_leaf": max(5, min(MIN_DATA, len(fit) // 50)),
        "seed": seed,
        "num_threads": threads,
    }
    binning = {"max_bin": TREES["max_bin"], "verbose": -1}
    train = lgb.Dataset(x[fit], code[fit], params=binning)
    check = lgb.Dataset(x[validation], code[validation], reference=train)
    before = lgb.train(
        dict(parameters),
        train,
        MAX_ROUNDS,
        valid_sets=[check],
        callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
    )
    rounds = max(1, round(REFIT_FACTOR * before.best_iteration))
    both = np.sort(np.concatenate([fit, validation]))
    final = lgb.train(dict(parameters), lgb.Dataset(x[both], code[both], params=binning), rounds)
    return Trees(before=before, final=final, rounds=rounds)


def derived_inputs(
    frame: pd.DataFrame, contexts: Mapping[pd.Timestamp, Mapping[str, Any]]
) -> tuple[pd.DataFrame, list[str]]:
    """Training rows with their context-dependent columns, and the columns to learn from."""
    rows = inference.derive_each(frame, contexts)
    targets = {"truth_code", "next_code", "period"}
    columns = [name for name in inference.model_columns(rows) if name not in targets]
    return rows, steady_columns(rows, columns)
