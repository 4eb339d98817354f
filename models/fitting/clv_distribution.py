"""The buyers of training snapshots: expectations of BTYD and contracts, spend and model inputs.

The target of every model is spend divided by the mean of its snapshot, so none learns the level of
a season.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import TweedieRegressor

from features.arrays import Array
from models.fitting import btyd as btyd_models
from models.fitting.contracts import fit_contracts
from models.fitting.feature_selection import MAX_COLUMNS, row_limit, strongest_columns
from models.metrics.metrics import TWEEDIE_POWER
from models.scorer.clv import add_expectations
from models.scorer.clv_shapes import expected_spend
from models.scorer.linear_model import matrix, signed_log1p

TWEEDIE_SETTINGS: dict[str, Any] = {
    "objective": "tweedie",
    "tweedie_variance_power": TWEEDIE_POWER,
    "metric": "tweedie",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 60,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 63,
    "deterministic": True,
    "force_col_wise": True,  # half the time of row-wise, and the same trees
    "verbose": -1,
}
_CAP_RANK, _CAP_FACTOR = 10, 3.0
# Rows the trees and the linear model see, drawn evenly over snapshots, and rows times columns.
MAX_SPEND_ROWS, MAX_SPEND_CELLS = 100_000, 11_000_000
_TAIL_BUYERS, _TAIL_SHARE = 60, 1 / 40  # largest buyers whose shape is BTYD's: so many, this share
_FLOOR = 1e-3  # of the mean BTYD CLV: the smallest starting value
BTYD_COLUMNS = ["btyd__p_alive", "btyd__expected_days", "btyd__expected_value", "btyd__clv"]
CONTRACT_COLUMN = "contract__clv"
_GLM_COLUMNS = [
    *BTYD_COLUMNS,
    CONTRACT_COLUMN,
    "purchase__recency_days",
    "purchase__age_days",
    "purchase__days_all",
    "purchase__sum_all",
    "purchase__sum_30d",
    "purchase__sum_90d",
    "purchase__sum_180d",
    "purchase__days_30d",
    "purchase__days_90d",
    "purchase__amount_mean",
    "purchase__amount_max",
    "cadence__gap_mean",
]


@dataclass(frozen=True)
class BuyerSnapshot:
    """Buyers of one training snapshot with the BTYD and contracts fitted on events before it."""

    at: pd.Timestamp
    btyd: dict[str, Any]
    rows: pd.DataFrame
    contract: dict[str, Any] | None = None

    @classmethod
    def of(cls, at: pd.Timestamp, frame: pd.DataFrame, horizon_days: int) -> BuyerSnapshot:
        """Buyers of the feature frame of one snapshot, with the expectations fitted on it."""
        btyd, contract = fit_btyd_or_rate(frame), fit_contracts(frame)
        contract = contract if contract and contract["billed"] else None
        rows = frame[frame["btyd__x"].notna()]
        expected = add_expectations(rows, btyd, contract, float(horizon_days))
        return cls(at, btyd, expected, contract)

    @property
    def expected(self) -> Array:
        """Expected spend (money) by contracts or BTYD, one a row."""
        return expected_spend(self.rows)

    @property
    def spend(self) -> Array:
        """Actual spend within the horizon (money), one a row."""
        return self.rows["spend"].to_numpy(dtype=np.float64)

    @property
    def log_error(self) -> float:
        """Log of actual over expected total; 0 where either is not positive."""
        actual, expected = float(self.spend.sum()), float(self.expected.sum())
        return float(np.log(actual / expected)) if actual > 0 and expected > 0 else 0.0


def fit_btyd_or_rate(frame: pd.DataFrame) -> dict[str, Any]:
    """BTYD of one snapshot, or, if no fit converges, a shrunken purchase rate without drop-out.

    The rate has a gamma prior of shape 1/2 centred on that of the population: expected purchase
    days in h are (1/2 + x) h / (alpha + T). ``fallback`` is then true in the artifact.
    """
    fitted = btyd_models.fit_btyd(frame)
    if fitted is not None:
        return {**fitted, "fallback": False}
    rows = frame[frame["btyd__x"].notna()]
    age, repeats = float(rows["btyd__T"].sum()), float(rows["btyd__x"].sum())
    weight = rows["btyd__value_n"].fillna(0.0)
    value = float((weight * rows["btyd__mean_value"].fillna(0.0)).sum())
    flat = value / weight.sum() if value > 0 else rows["purchase__amount_mean"].mean()
    return {
        "model": "bg_nbd",
        "r": 0.5,
        "alpha": max(0.5 * age / (repeats + 0.5), 1.0),
        "a": 1e-6,
        "b": 1e5,
        "value": None,
        "flat_value": float(np.nan_to_num(flat)),
        "converged": False,
        "n_customers": len(rows),
        "fallback": True,
    }


def buyer_snapshots(frame: pd.DataFrame, horizon_days: int) -> list[BuyerSnapshot]:
    """Buyers of every snapshot, in time order, each with its own BTYD and contracts."""
    snapshots = []
    for snapshot_at, rows in frame.groupby("snapshot_at", sort=True):
        if rows["btyd__x"].notna().any():
            snapshots.append(BuyerSnapshot.of(pd.Timestamp(snapshot_at), rows, horizon_days))
    return snapshots


def clv_floor(snapshot: BuyerSnapshot) -> float:
    """Smallest starting value of the trees (money): a thousandth of the mean expected spend."""
    mean_clv = float(snapshot.expected.mean()) if len(snapshot.rows) else 0.0
    return _FLOOR * mean_clv if mean_clv > 0 else _FLOOR


def clv_tail(snapshot: BuyerSnapshot) -> float | None:
    """Expected spend (money) above which trees have too few buyers; None with under 40 buyers.

    It is that of the 60th largest buyer, or of the largest 1/40 if these are fewer: the same few
    buyers would fill a leaf on their own in every training snapshot.
    """
    sorted_clv = np.sort(snapshot.expected)
    tail_size = min(_TAIL_BUYERS, int(_TAIL_SHARE * len(sorted_clv)))
    return float(sorted_clv[-tail_size]) if tail_size else None


def _init(snapshot: BuyerSnapshot) -> Array:
    """Log of the normalised expected spend: the level of the snapshot is matched to a mean of 1."""
    expected_clv = np.maximum(snapshot.expected, clv_floor(snapshot))
    return np.asarray(np.log(expected_clv / expected_clv.mean()))


def relative_spend(snapshot: BuyerSnapshot) -> Array:
    """Spend over its mean, winsorised: at most three times that of the tenth largest buyer.

    In a heavy tail a single buyer would otherwise decide what the models learn.
    """
    spend = snapshot.spend
    rank = min(_CAP_RANK, max(len(spend) // _CAP_RANK, 1))
    cap = _CAP_FACTOR * float(np.sort(spend)[-rank]) if len(spend) else 0.0
    capped = np.minimum(spend, cap) if cap > 0 else spend
    mean_spend = float(capped.mean()) if len(spend) else 0.0
    return np.asarray(capped / mean_spend if mean_spend > 0 else capped)


def stacked_rows(snapshots: list[BuyerSnapshot], columns: list[str]) -> tuple[Array, Array, Array]:
    """Inputs, normalised spend and normalised log expected spend of all snapshots.

    Every k-th row if there are too many. Snapshots are ordered by customer, so this samples
    customers, others in each snapshot.
    """
    spending = [snapshot for snapshot in snapshots if snapshot.spend.sum() > 0]
    max_rows = row_limit(len(columns), max_rows=MAX_SPEND_ROWS, max_cells=MAX_SPEND_CELLS)
    row_step = -(-sum(len(snapshot.rows) for snapshot in spending) // max_rows)
    row_slices = [slice(number % row_step, None, row_step) for number in range(len(spending))]
    sampled = list(zip(spending, row_slices, strict=True))
    inputs = np.concatenate(
        [matrix(snapshot.rows.iloc[row_slice], columns) for snapshot, row_slice in sampled]
    )
    target = np.concatenate(
        [relative_spend(snapshot)[row_slice] for snapshot, row_slice in sampled]
    )
    return (
        inputs,
        target,
        np.concatenate([_init(snapshot)[row_slice] for snapshot, row_slice in sampled]),
    )


def select_spend_columns(
    snapshots: list[BuyerSnapshot], columns: list[str], *, seed: int, threads: int
) -> list[str]:
    """Strongest columns (see `models.fitting.feature_selection`), and those of the regression."""
    if len(columns) <= MAX_COLUMNS or not sum(snapshot.spend.sum() for snapshot in snapshots):
        return columns
    inputs, target, _ = stacked_rows(snapshots, columns)
    varying_count = (np.fmax.reduce(inputs) > np.fmin.reduce(inputs)).sum()
    if varying_count <= MAX_COLUMNS:  # constant columns take no time
        return columns
    positions = strongest_columns(inputs, target, seed=seed, threads=threads, objective="tweedie")
    selected = {columns[position] for position in positions} | set(_GLM_COLUMNS)
    return [name for name in columns if name in selected]


def _standardised(inputs: Array) -> tuple[dict[str, list[float]], Array]:
    """Means and scales of signed-log1p columns, and the columns as `linear` sees them."""
    logged = signed_log1p(inputs)
    filled = np.where(np.isnan(logged).all(axis=0), 0.0, logged)
    column_means, column_scales = np.nanmean(filled, axis=0), np.nanstd(filled, axis=0)
    column_scales = np.where(column_scales > 1e-9, column_scales, 1.0)
    standard = np.clip(np.nan_to_num((logged - column_means) / column_scales, nan=0.0), -10.0, 10.0)
    return {"means": column_means.tolist(), "scales": column_scales.tolist()}, standard


def _fit_glm(inputs: Array, target: Array, names: list[str]) -> dict[str, Any]:
    """Tweedie regression with log link on standardised signed-log1p columns."""
    scaling, standard = _standardised(inputs)
    regression = TweedieRegressor(
        power=TWEEDIE_POWER, link="log", alpha=1e-3, solver="newton-cholesky"
    )
    regression.fit(standard, target)
    return {
        "columns": names,
        **scaling,
        "coefficients": regression.coef_.tolist(),
        "intercept": float(regression.intercept_),
    }


def spend_glm(inputs: Array, target: Array, columns: list[str]) -> dict[str, Any]:
    """Tweedie regression of relative spend on BTYD and RFM columns."""
    glm_columns = [name for name in _GLM_COLUMNS if name in columns]
    positions = [columns.index(name) for name in glm_columns]
    return _fit_glm(inputs[:, positions], target, glm_columns)
