"""What the churn model is measured against: recency, one-snapshot RFM and BG/NBD."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.binary_ensemble import fit_logistic, has_one_class
from models.fitting.btyd import fit_btyd
from models.fitting.rfm import CHURN_LABEL, RFM_COLUMNS, RFM_STRENGTH
from models.scorer.btyd import btyd_p_no_order
from models.scorer.linear_model import linear, matrix, sigmoid

_RECENCY = RFM_COLUMNS[:1]


def _logistic(frame: pd.DataFrame, rows: pd.DataFrame, columns: list[str]) -> dict[str, Array]:
    frame = frame[frame[CHURN_LABEL].notna()]
    y = frame[CHURN_LABEL].to_numpy()
    if has_one_class(y):
        return {"p_churn": np.full(len(rows), float(y.mean()))}
    columns = [name for name in columns if name in frame.columns and name in rows.columns]
    fitted = fit_logistic(frame, columns, y, strength=RFM_STRENGTH)
    return {"p_churn": sigmoid(linear(fitted, matrix(rows, columns)))}


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
    ``p_churn``, one a row of `rows`. Where training has one class only it is its rate.
    """
    return _logistic(frame, rows, _RECENCY)


def one_snapshot_rfm(frame: pd.DataFrame, rows: pd.DataFrame) -> dict[str, Array]:
    """Logistic regression on log recency, frequency and monetary value of the latest snapshot.

    The usual recipe of a marketing team: one matured snapshot, orders and spend over the lifetime.
    Parameters and result as in `recency_only`.
    """
    return _logistic(frame[frame["snapshot_at"] == frame["snapshot_at"].max()], rows, RFM_COLUMNS)


def bg_nbd(
    population: pd.DataFrame, rows: pd.DataFrame, *, horizon_days: int
) -> dict[str, Array] | None:
    """P(0 purchase days within the horizon) of BG/NBD or MBG/NBD, the better likelihood kept.

    Parameters
    ----------
    population
        Feature frame of everyone at the origin: the model needs no label.
    rows
        Rows to predict.
    horizon_days
        Days ahead.

    Returns
    -------
    ``p_churn``, NaN for those who never bought; None where BTYD does not fit.
    """
    fitted = fit_btyd(population)
    if fitted is None:
        return None
    x, t_x, age = (
        rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
        for name in ("btyd__x", "btyd__t_x", "btyd__T")
    )
    return {"p_churn": btyd_p_no_order(fitted, x, t_x, age, horizon=float(horizon_days))}
