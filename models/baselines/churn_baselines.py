"""Baselines of churn: recency, RFM on one snapshot, BG/NBD, and contract renewals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.binary_ensemble import fit_logistic, has_one_class
from models.fitting.btyd import fit_btyd
from models.fitting.contracts import fit_contracts, with_level
from models.fitting.rfm import CHURN_LABEL, RFM_COLUMNS, RFM_STRENGTH
from models.scorer.btyd import btyd_p_no_order
from models.scorer.contracts import contract_risk
from models.scorer.linear_model import linear, matrix, sigmoid

_RECENCY = RFM_COLUMNS[:1]


def _logistic(frame: pd.DataFrame, rows: pd.DataFrame, columns: list[str]) -> dict[str, Array]:
    frame = frame[frame[CHURN_LABEL].notna()]
    target = frame[CHURN_LABEL].to_numpy()
    if has_one_class(target):
        return {"p_churn": np.full(len(rows), float(target.mean()))}
    columns = [name for name in columns if name in frame.columns and name in rows.columns]
    regression = fit_logistic(frame, columns, target, strength=RFM_STRENGTH)
    return {"p_churn": sigmoid(linear(regression, matrix(rows, columns)))}


def base_rate(frame: pd.DataFrame, rows: pd.DataFrame) -> dict[str, Array]:
    """The share that stayed away of the latest training snapshot, the same for every row."""
    frame = frame[frame[CHURN_LABEL].notna()]
    latest = frame[frame["snapshot_at"] == frame["snapshot_at"].max()]
    return {"p_churn": np.full(len(rows), float(latest[CHURN_LABEL].mean()))}


def recency_only(frame: pd.DataFrame, rows: pd.DataFrame) -> dict[str, Array]:
    """Logistic regression on the logarithm of recency alone, on all training snapshots.

    Parameters
    ----------
    frame
        Training rows with the label ``no_purchase``.
    rows
        Rows to predict.

    Returns
    -------
    ``p_churn`` of every row of `rows`; 0 or 1 if training has a single class.
    """
    return _logistic(frame, rows, _RECENCY)


def one_snapshot_rfm(frame: pd.DataFrame, rows: pd.DataFrame) -> dict[str, Array]:
    """Logistic regression on log recency, frequency and monetary value of the latest snapshot.

    The usual recipe of marketing teams: one matured snapshot, lifetime orders and spend.
    Parameters and result as in `recency_only`.
    """
    return _logistic(frame[frame["snapshot_at"] == frame["snapshot_at"].max()], rows, RFM_COLUMNS)


def bg_nbd(
    population: pd.DataFrame, rows: pd.DataFrame, *, horizon_days: int
) -> dict[str, Array] | None:
    """P(no purchase day within the horizon) by BG/NBD or MBG/NBD, whichever is likelier.

    Parameters
    ----------
    population
        Feature frame of all customers at the origin: the model needs no label.
    rows
        Rows to predict.
    horizon_days
        Days ahead.

    Returns
    -------
    ``p_churn``, NaN for customers who never bought; None if no BTYD fit converges.
    """
    btyd_model = fit_btyd(population)
    if btyd_model is None:
        return None
    x, t_x, age = (
        rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
        for name in ("btyd__x", "btyd__t_x", "btyd__T")
    )
    return {"p_churn": btyd_p_no_order(btyd_model, x, t_x, age, horizon=float(horizon_days))}


def contract_renewals(
    frame: pd.DataFrame, population: pd.DataFrame, rows: pd.DataFrame, *, horizon_days: int
) -> dict[str, Array] | None:
    """P(the contract is cancelled within the horizon) by sBG or beta-discrete-Weibull.

    Parameters
    ----------
    frame
        Labelled training rows, for the level.
    population
        Feature frame of all customers at the origin.
    rows
        Rows to predict.
    horizon_days
        Days ahead.

    Returns
    -------
    ``p_churn``; None for data without contracts, or with too few.
    """
    contract = fit_contracts(population)
    if contract is None:
        return None
    contract = with_level(contract, frame, horizon_days)
    return {"p_churn": contract_risk(contract, rows, float(horizon_days))}
