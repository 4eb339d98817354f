"""The shape of CLV: two normalised models of who spends more than whom, on many snapshots.

H is LightGBM on top of the BTYD expectation, H2 LightGBM on top of a Tweedie regression; both see
spend over the mean of its snapshot, so that the level of a season teaches them nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn.linear_model import TweedieRegressor

from features.arrays import Array
from models.fitting import btyd as btyd_models
from models.fitting.feature_selection import MOST_COLUMNS, row_limit, strongest
from models.scorer.btyd import btyd_columns
from models.scorer.linear_model import linear, matrix, signed_log1p

POWER = 1.5  # Tweedie variance power: spend is a sum of a few skewed amounts
TREES: dict[str, Any] = {
    "objective": "tweedie",
    "tweedie_variance_power": POWER,
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
SEEDS = 3
MAX_ROUNDS, PATIENCE, REFIT_FACTOR = 400, 30, 1.1
# Rows the trees and the linear model see, drawn evenly over snapshots, and rows times columns.
MAX_ROWS, MAX_CELLS = 100_000, 11_000_000
TAIL_BUYERS, TAIL_SHARE = 60, 1 / 40  # largest buyers whose shape is BTYD's: so many, this share
FLOOR = 1e-3  # of the mean BTYD CLV: the smallest starting value
BTYD_COLUMNS = ["btyd__p_alive", "btyd__expected_days", "btyd__expected_value", "btyd__clv"]
GLM_COLUMNS = [
    *BTYD_COLUMNS,
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
class Snapshot:
    """Buyers of one training snapshot with the BTYD fitted on events before it."""

    at: pd.Timestamp
    btyd: dict[str, Any]
    rows: pd.DataFrame

    @property
    def spend(self) -> Array:
        """Actual spend within the horizon (money), one a row."""
        return self.rows["spend"].to_numpy(dtype=np.float64)

    @property
    def log_error(self) -> float:
        """Log of actual over expected total; 0 where either is not positive."""
        actual, expected = float(self.spend.sum()), float(self.rows["btyd__clv"].sum())
        return float(np.log(actual / expected)) if actual > 0 and expected > 0 else 0.0


def fit_btyd_or_rate(frame: pd.DataFrame) -> dict[str, Any]:
    """BTYD of one snapshot, or a shrunken purchase rate without drop-out where it does not fit.

    The rate is a gamma prior of shape 1/2 centred on the population's: expected days in h are
    (1/2 + x) h / (alpha + T). The artifact says so by ``fallback``.
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


def with_btyd(frame: pd.DataFrame, btyd: dict[str, Any], horizon_days: int) -> pd.DataFrame:
    """Buyers of one snapshot with their BTYD expectations (`btyd_columns`)."""
    rows = frame[frame["btyd__x"].notna()]
    added = btyd_columns(btyd, rows, horizon=float(horizon_days))
    return rows.assign(**{name: added[name] for name in added.columns})


def by_snapshot(frame: pd.DataFrame, horizon_days: int) -> list[Snapshot]:
    """Buyers of every snapshot, in time order, each with its own BTYD."""
    found = []
    for at, rows in frame.groupby("snapshot_at", sort=True):
        if rows["btyd__x"].notna().any():
            btyd = fit_btyd_or_rate(rows)
            found.append(Snapshot(pd.Timestamp(at), btyd, with_btyd(rows, btyd, horizon_days)))
    return found


def floor_of(snapshot: Snapshot) -> float:
    """Smallest starting value of a shape (money): a thousandth of the mean BTYD CLV."""
    mean = float(snapshot.rows["btyd__clv"].mean()) if len(snapshot.rows) else 0.0
    return FLOOR * mean if mean > 0 else FLOOR


def tail_of(snapshot: Snapshot) -> float | None:
    """BTYD CLV (money) above which there are too few buyers to learn a shape from; None for none.

    It is that of the 60th largest: the same few buyers fill a leaf of the trees by themselves, in
    one training snapshot after the other.
    """
    clv = np.sort(snapshot.rows["btyd__clv"].to_numpy(dtype=np.float64))
    few = min(TAIL_BUYERS, int(TAIL_SHARE * len(clv)))
    return float(clv[-few]) if few else None


def _init(snapshot: Snapshot) -> Array:
    """Log of the normalised BTYD CLV: the level of the snapshot is matched to a mean of 1."""
    clv = np.maximum(snapshot.rows["btyd__clv"].to_numpy(dtype=np.float64), floor_of(snapshot))
    return np.asarray(np.log(clv / clv.mean()))


def _target(snapshot: Snapshot) -> Array:
    mean = float(snapshot.spend.mean())
    return snapshot.spend / mean if mean > 0 else snapshot.spend


def _stack(snapshots: list[Snapshot], columns: list[str]) -> tuple[Array, Array, Array]:
    """Inputs, normalised spend and normalised log BTYD CLV of all snapshots.

    Every k-th row where there are too many; a snapshot is ordered by customer, so this is a sample
    of customers that shifts from snapshot to snapshot.
    """
    used = [s for s in snapshots if s.spend.sum() > 0]
    most = row_limit(len(columns), most=MAX_ROWS, cells=MAX_CELLS)
    step = -(-sum(len(s.rows) for s in used) // most)
    picks = [slice(number % step, None, step) for number in range(len(used))]
    pairs = list(zip(used, picks, strict=True))
    x = np.concatenate([matrix(s.rows.iloc[pick], columns) for s, pick in pairs])
    y = np.concatenate([_target(s)[pick] for s, pick in pairs])
    return x, y, np.concatenate([_init(s)[pick] for s, pick in pairs])


def strong_columns(
    fit: list[Snapshot], columns: list[str], *, seed: int, threads: int
) -> list[str]:
    """Columns worth learning from, where there are very many (see
    `models.fitting.feature_selection`).

    Those of the regression always stay.
    """
    if len(columns) <= MOST_COLUMNS or not sum(s.spend.sum() for s in fit):
        return columns
    x, y, _ = _stack(fit, columns)
    told = (np.fmax.reduce(x) > np.fmin.reduce(x)).sum()
    if told <= MOST_COLUMNS:  # constants cost nothing
        return columns
    kept = strongest(x, y, seed=seed, threads=threads, objective="tweedie")
    strong = {columns[at] for at in kept} | set(GLM_COLUMNS)
    return [name for name in columns if name in strong]


def standardised(x: Array) -> tuple[dict[str, list[float]], Array]:
    """Means and scales of signed-log1p columns, and the columns as `linear` sees them."""
    z = signed_log1p(x)
    filled = np.where(np.isnan(z).all(axis=0), 0.0, z)
    means, scales = np.nanmean(filled, axis=0), np.nanstd(filled, axis=0)
    scales = np.where(scales > 1e-9, scales, 1.0)
    unit = np.clip(np.nan_to_num((z - means) / scales, nan=0.0), -10.0, 10.0)
    return {"means": means.tolist(), "scales": scales.tolist()}, unit


def _fit_glm(x: Array, y: Array, names: list[str]) -> dict[str, Any]:
    """Tweedie regression with log link on standardised signed-log1p columns."""
    scaling, unit = standardised(x)
    model = TweedieRegressor(power=POWER, link="log", alpha=1e-3, solver="newton-cholesky")
    model.fit(unit, y)
    return {
        "columns": names,
        **scaling,
        "coefficients": model.coef_.tolist(),
        "intercept": float(model.intercept_),
    }


def _glm_of(x: Array, y: Array, columns: list[str]) -> tuple[dict[str, Any], list[int]]:
    names = [name for name in GLM_COLUMNS if name in columns]
    where = [columns.index(name) for name in names]
    return _fit_glm(x[:, where], y, names), where


def _glm_score(glm: dict[str, Any], x: Array, where: list[int]) -> Array:
    return linear(glm, x[:, where])


def _level_matched(score: Array, y: Array) -> Array:
    """Log-scale start whose mean prediction equals the mean target of its snapshot."""
    return np.asarray(score + np.log(max(float(y.mean()), 1e-9) / np.exp(score).mean()))


def fit_shapes(
    fit: list[Snapshot], validation: Snapshot, columns: list[str], *, seed: int, threads: int
) -> tuple[dict[str, Any], dict[str, lgb.Booster], dict[str, int]]:
    """GLM, boosters of H and H2 stopped early on the validation snapshot, and their rounds."""
    x, y, start = _stack(fit, columns)
    glm, where = _glm_of(x, y, columns)
    x_valid, y_valid = matrix(validation.rows, columns), _target(validation)
    starts = {
        "h": (start, _level_matched(_init(validation), y_valid)),
        "h2": (
            _glm_score(glm, x, where),
            _level_matched(_glm_score(glm, x_valid, where), y_valid),
        ),
    }
    boosters, rounds = {}, {}
    for name, (init, init_valid) in starts.items():
        train = lgb.Dataset(x, y, init_score=init, params=TREES, free_raw_data=False)
        valid = train.create_valid(x_valid, y_valid, init_score=init_valid)
        for number in range(SEEDS):
            booster = lgb.train(
                {**TREES, "seed": seed + number, "num_threads": threads},
                train,
                MAX_ROUNDS,
                valid_sets=[valid],
                callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
            )
            best = max(booster.best_iteration, 1)
            rounds[f"{name}_{number}"] = best
            boosters[f"{name}_{number}"] = _trimmed(booster, best)
    return glm, boosters, rounds


def _trimmed(booster: lgb.Booster, rounds: int) -> lgb.Booster:
    return lgb.Booster(model_str=booster.model_to_string(num_iteration=rounds))


def refit_shapes(
    snapshots: list[Snapshot],
    columns: list[str],
    rounds: dict[str, int],
    *,
    seed: int,
    threads: int,
) -> tuple[dict[str, Any], dict[str, lgb.Booster]]:
    """The same shapes on all matured snapshots, a tenth more rounds."""
    x, y, start = _stack(snapshots, columns)
    glm, where = _glm_of(x, y, columns)
    starts = {"h": start, "h2": _glm_score(glm, x, where)}
    boosters = {}
    for name, init in starts.items():
        train = lgb.Dataset(x, y, init_score=init, params=TREES, free_raw_data=False)
        mine = [count for key, count in rounds.items() if key.startswith(f"{name}_")]
        count = max(round(float(np.mean(mine)) * REFIT_FACTOR), 1)
        for number in range(SEEDS):
            settings = {**TREES, "seed": seed + number, "num_threads": threads}
            boosters[f"{name}_{number}"] = _trimmed(lgb.train(settings, train, count), count)
    return glm, boosters
