"""Customer lifetime value: spend within a horizon, shape and level learned apart.

The shape (who spends more than whom) is the mean of two normalised models on many snapshots; the
level (the total) is what buy-till-you-die models expect, corrected only where history is long
enough. A guard serves BTYD where the hybrid does not beat it, and a split-conformal interval comes
from the validation residuals of the model before it was refitted.

Fitting only; prediction is `models.inference.predict_clv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn.linear_model import TweedieRegressor

from features.errors import UserError
from models import btyd as btyd_models
from models import inference
from models.inference import Part

Array = np.ndarray[Any, Any]

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
    "force_row_wise": True,
    "verbose": -1,
}
SEEDS = 3
MAX_ROUNDS, PATIENCE, REFIT_FACTOR = 400, 30, 1.1
MAX_ROWS = 100_000  # rows the trees and the linear model see, drawn evenly over snapshots
MIN_ROWS = 400  # buyers on fit snapshots below which trees are not tried
COVERAGE = 0.8
MIN_GROUP = 50  # residuals a group of the interval needs of its own
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
TOP_SHARE, MID_SHARE = 0.2, 0.5  # of the buyers: value tiers top, and top or mid
YEAR_DAYS, SEASON_DAYS = 364, 16
LEVEL_HALF_LIFE_DAYS = 180.0
MAX_CORRECTION = np.log(1.5)


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


def fit_clv(
    frame: pd.DataFrame,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
    *,
    at_origin: pd.DataFrame,
    validation_at: pd.Timestamp,
    horizon_days: int,
    seed: int,
    threads: int = 2,
) -> Part:
    """Fit the CLV part on matured snapshots; its BTYD on the training date.

    Parameters
    ----------
    frame
        One row per (customer_id, snapshot_at) of all matured training snapshots: the feature frame
        with ``spend`` (money in [t, t+h), at least 0), ``orders`` and ``label_end_at``.
    contexts
        Scoring context of every snapshot in `frame`; not used by this recipe, whose context is
        made by `inference.clv_sums` and `inference.clv_context`.
    at_origin
        Feature frame of one snapshot, the training date, without labels.
    validation_at
        The latest matured snapshot: early stopping, guard, interval.
    horizon_days
        Days of the horizon.
    seed, threads
        Seed of LightGBM and its threads.

    Returns
    -------
    Part
        Named ``clv``; ``parameters["report"]`` holds what was decided and why.

    Raises
    ------
    UserError
        When there is no matured row at `validation_at`, or nobody has ever bought.
    """
    del contexts
    snapshots = _snapshots(frame, horizon_days)
    validation = next((s for s in snapshots if s.at == pd.Timestamp(validation_at)), None)
    if validation is None:
        raise UserError(
            "clv",
            found=f"no buyer with a matured label at {pd.Timestamp(validation_at).date()}",
            expected=f"a snapshot with purchases before it and {horizon_days} days after it",
            mend="a shorter horizon, or a longer history",
        )
    earlier = [s for s in snapshots if s.at < validation.at]
    columns = [*inference.model_columns(frame), *BTYD_COLUMNS]
    shared = {
        "horizon_days": int(horizon_days),
        "columns": columns,
        "orders_per_day": _orders_per_day(at_origin),
        "first_purchase": _first_purchase(frame, at_origin),
        "interval": {},
        "tiers": {"top": np.inf, "mid": np.inf},
        "coverage": COVERAGE,
    }
    on_validation = _level_correction(snapshots, validation.at, horizon_days)
    head = {**shared, "btyd": validation.btyd, "level_correction": on_validation["correction"]}
    floor = _floor(validation)
    plain = Part("clv", {**head, "floor": floor, "serve": "btyd", "glm": None})
    matured = frame[frame["snapshot_at"] == validation.at]
    deviance = {"btyd": _deviance(plain, validation)}
    chosen, rounds = plain, {}
    if sum(len(s.rows) for s in earlier) >= MIN_ROWS and any(s.spend.sum() > 0 for s in earlier):
        glm, boosters, rounds = _fit_shapes(earlier, validation, columns, seed, threads)
        hybrid = Part("clv", {**head, "floor": floor, "serve": "hybrid", "glm": glm}, boosters)
        deviance["hybrid"] = _deviance(hybrid, validation)
        chosen = hybrid if deviance["hybrid"] < deviance["btyd"] else plain
    interval = _interval(chosen, matured)
    origin_btyd = fit_btyd_or_rate(at_origin)
    at = pd.Timestamp(at_origin["snapshot_at"].iloc[0])
    level = _level_correction(snapshots, at, horizon_days)
    parameters: dict[str, Any] = {
        **chosen.parameters,
        "btyd": origin_btyd,
        "interval": interval,
        "level_correction": level["correction"],
        "floor": _floor(Snapshot(at, origin_btyd, _with_btyd(at_origin, origin_btyd, horizon_days))),
    }
    boosters = {}
    if chosen.parameters["serve"] == "hybrid":
        parameters["glm"], boosters = _refit_shapes(snapshots, columns, rounds, seed, threads)
    parameters["report"] = {
        "served": parameters["serve"],
        "deviance": deviance,
        "level": level,
        "rounds": rounds,
        "snapshots": [str(s.at.date()) for s in snapshots],
        "log_errors": [s.log_error for s in snapshots],
    }
    part = Part("clv", parameters, boosters)
    parameters["tiers"] = _tiers(part, at_origin)
    return part


# ------------------------------------------------------------------------------------ snapshots


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


def _with_btyd(frame: pd.DataFrame, btyd: dict[str, Any], horizon_days: int) -> pd.DataFrame:
    rows = frame[frame["btyd__x"].notna()]
    added = inference.btyd_columns(btyd, rows, horizon=float(horizon_days))
    return rows.assign(**{name: added[name] for name in added.columns})


def _snapshots(frame: pd.DataFrame, horizon_days: int) -> list[Snapshot]:
    """Buyers of every snapshot, in time order, each with its own BTYD."""
    found = []
    for at, rows in frame.groupby("snapshot_at", sort=True):
        if rows["btyd__x"].notna().any():
            btyd = fit_btyd_or_rate(rows)
            found.append(Snapshot(pd.Timestamp(at), btyd, _with_btyd(rows, btyd, horizon_days)))
    return found


def _floor(snapshot: Snapshot) -> float:
    mean = float(snapshot.rows["btyd__clv"].mean()) if len(snapshot.rows) else 0.0
    return FLOOR * mean if mean > 0 else FLOOR


def _orders_per_day(frame: pd.DataFrame) -> float:
    """Orders a purchase day: BTYD counts days, the business counts orders."""
    days = float(frame["purchase__days_all"].sum())
    return float(frame["purchase__count_all"].sum()) / days if days else 1.0


def _first_purchase(frame: pd.DataFrame, at_origin: pd.DataFrame) -> dict[str, float]:
    """Smoothed share of never-buyers who buy within the horizon, and what those spend and order.

    Where no never-buyer has ever bought within a horizon, the means are those of all buyers' first
    purchase day, and the share is next to 0.
    """
    never = frame[frame["btyd__x"].isna()]
    new = never[never["orders"] > 0]
    if len(new):
        spend, orders = float(new["spend"].mean()), float(new["orders"].mean())
    else:
        first = at_origin["purchase__amount_first"].mean()
        spend, orders = float(np.nan_to_num(first)), 1.0
    share = (len(new) + 0.5) / (len(never) + 1.0) if len(never) else 0.0
    return {"p": share, "spend": spend, "orders": orders, "order_value": spend / orders}


# ----------------------------------------------------------------------------------------- shape


def _init(snapshot: Snapshot) -> Array:
    """Log of the normalised BTYD CLV: the level of the snapshot is matched to a mean of 1."""
    clv = np.maximum(snapshot.rows["btyd__clv"].to_numpy(dtype=np.float64), _floor(snapshot))
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
    step = -(-sum(len(s.rows) for s in used) // MAX_ROWS)
    picks = [slice(number % step, None, step) for number in range(len(used))]
    pairs = list(zip(used, picks, strict=True))
    x = np.concatenate([inference.matrix(s.rows.iloc[pick], columns) for s, pick in pairs])
    y = np.concatenate([_target(s)[pick] for s, pick in pairs])
    return x, y, np.concatenate([_init(s)[pick] for s, pick in pairs])


def _fit_glm(x: Array, y: Array, names: list[str]) -> dict[str, Any]:
    """Tweedie regression with log link on standardised signed-log1p columns."""
    z = inference.signed_log1p(x)
    means = np.nan_to_num(np.nanmean(np.where(np.isnan(z).all(axis=0), 0.0, z), axis=0))
    scales = np.nan_to_num(np.nanstd(np.where(np.isnan(z).all(axis=0), 0.0, z), axis=0))
    scales = np.where(scales > 1e-9, scales, 1.0)
    unit = np.clip(np.nan_to_num((z - means) / scales, nan=0.0), -10.0, 10.0)
    model = TweedieRegressor(power=POWER, link="log", alpha=1e-3, max_iter=500)
    model.fit(unit, y)
    return {
        "columns": names,
        "means": means.tolist(),
        "scales": scales.tolist(),
        "coefficients": model.coef_.tolist(),
        "intercept": float(model.intercept_),
    }


def _glm_of(x: Array, y: Array, columns: list[str]) -> tuple[dict[str, Any], list[int]]:
    names = [name for name in GLM_COLUMNS if name in columns]
    where = [columns.index(name) for name in names]
    return _fit_glm(x[:, where], y, names), where


def _glm_score(glm: dict[str, Any], x: Array, where: list[int]) -> Array:
    return inference.linear(glm, x[:, where])


def _level_matched(score: Array, y: Array) -> Array:
    """Log-scale start whose mean prediction equals the mean target of its snapshot."""
    return np.asarray(score + np.log(max(float(y.mean()), 1e-9) / np.exp(score).mean()))


def _fit_shapes(
    fit: list[Snapshot], validation: Snapshot, columns: list[str], seed: int, threads: int
) -> tuple[dict[str, Any], dict[str, lgb.Booster], dict[str, int]]:
    """GLM, boosters of H and H2 stopped early on the validation snapshot, and their rounds."""
    x, y, start = _stack(fit, columns)
    glm, where = _glm_of(x, y, columns)
    x_valid, y_valid = inference.matrix(validation.rows, columns), _target(validation)
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


def _refit_shapes(
    snapshots: list[Snapshot], columns: list[str], rounds: dict[str, int], seed: int, threads: int
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


# ------------------------------------------------------------------------- level, guard, interval


def _level_correction(
    snapshots: list[Snapshot], at: pd.Timestamp, horizon_days: int
) -> dict[str, Any]:
    """Log correction of BTYD's total at `at` from snapshots whose labels had matured by then."""
    known = [s for s in snapshots if s.rows["label_end_at"].max() <= at]
    history = [s for s in known if float(s.rows["btyd__T"].max()) >= horizon_days]
    for snapshot in reversed(history):
        if abs((at - snapshot.at).days - YEAR_DAYS) <= SEASON_DAYS:
            return _level(snapshot.log_error, f"the season a year ago ({snapshot.at.date()})")
    if len(history) < 3 or (history[-1].at - history[0].at).days < horizon_days:
        return _level(0.0, "none: too little matured history")
    age = np.array([(at - s.at).days for s in history], dtype=np.float64)
    errors = np.array([s.log_error for s in history])
    mean = float(np.average(errors, weights=0.5 ** (age / LEVEL_HALF_LIFE_DAYS)))
    return _level(0.5 * mean + 0.25 * errors[-1], f"{len(history)} matured snapshots")


def _level(correction: float, reason: str) -> dict[str, Any]:
    clipped = float(np.clip(correction, -MAX_CORRECTION, MAX_CORRECTION))
    return {"correction": clipped, "from": reason}


def predict(part: Part, frame: pd.DataFrame) -> dict[str, Array]:
    """Both passes on one whole snapshot: the context from the frame, then `predict_clv`."""
    context = inference.clv_context(part, inference.clv_sums(part, frame))
    return inference.predict_clv(part, frame, context)


def _deviance(part: Part, validation: Snapshot) -> float:
    """Mean Tweedie deviance on the validation snapshot, both models on the same level."""
    p = np.maximum(predict(part, validation.rows)["clv"], 1e-9)
    y = validation.spend
    return float(np.mean(-y * p ** (1 - POWER) / (1 - POWER) + p ** (2 - POWER) / (2 - POWER)))


def _interval(part: Part, matured: pd.DataFrame) -> dict[str, float]:
    """Conformal quantile of the scaled residuals of each group (see `inference.clv_group`)."""
    context = inference.clv_context(part, inference.clv_sums(part, matured))
    p = inference.predict_clv(part, matured, context)["clv"]
    y = matured["spend"].to_numpy(dtype=np.float64)
    scaled = np.abs(y - p) / inference.clv_width(p, max(context["clv_mean"], 1e-9))
    group = inference.clv_group(matured, float(part.parameters["horizon_days"]))
    everyone = _conformal_quantile(scaled)
    result = {}
    for name in ("active", "quiet", "never"):
        mine = scaled[group == name]
        result[name] = _conformal_quantile(mine) if len(mine) >= MIN_GROUP else everyone
    return result


def _conformal_quantile(scores: Array) -> float:
    rank = min(int(np.ceil((len(scores) + 1) * COVERAGE)), len(scores))
    return float(np.sort(scores)[rank - 1])


def _tiers(part: Part, at_origin: pd.DataFrame) -> dict[str, float]:
    """Cut-offs of the value tiers among buyers on the training date; above 0."""
    buyers = at_origin[at_origin["btyd__x"].notna()]
    clv = predict(part, buyers)["clv"]
    top, mid = np.quantile(clv, [1 - TOP_SHARE, 1 - MID_SHARE])
    return {"top": float(max(top, 1e-9)), "mid": float(max(mid, 1e-9))}
