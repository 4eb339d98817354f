"""The share of BG/NBD in churn risk: large where customers buy as it assumes, else none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.btyd import fit_btyd
from models.scorer.churn import churn_btyd_logit
from models.scorer.linear_model import sigmoid

SHARES = np.linspace(0.1, 1.0, 10)
MIN_ROWS = 200  # below it the comparison is noise
CLEAR = 1.0  # standard errors by which the mixture must win


def mixed_with_btyd(
    rows: pd.DataFrame,
    y: Array,
    logit: Array,
    *,
    horizon_days: int,
    at_validation: pd.DataFrame,
    at_origin: pd.DataFrame,
) -> tuple[dict[str, Any], Array]:
    """BTYD parameters with their share, chosen on the validation snapshot, and the mixed logits.

    Parameters
    ----------
    rows, y, logit
        Eligible customers at the validation snapshot, their outcome, and the recipe's logits of
        them by models that saw none of their rows.
    horizon_days
        Days ahead.
    at_validation, at_origin
        Feature frames of everyone at the validation snapshot and at the origin: BTYD needs no
        label. Parameters of the former choose the share, those of the latter are served.

    Returns
    -------
    ``btyd`` (parameters, null without a share) and ``btyd_weight`` (0 to 1), and the logits of
    `rows` with that share. It is the share of least log loss, and 0 unless that wins by more than
    a standard error.
    """
    nothing: dict[str, Any] = {"btyd": None, "btyd_weight": 0.0}
    before = fit_btyd(at_validation) if len(rows) >= MIN_ROWS else None
    if before is None:
        return nothing, logit
    other = churn_btyd_logit(before, rows, horizon_days)
    alone = _losses(y, logit)
    mixtures = [(1 - share) * logit + share * other for share in SHARES]
    best = int(np.argmin([_losses(y, mixture).mean() for mixture in mixtures]))
    gain = alone - _losses(y, mixtures[best])
    served = fit_btyd(at_origin)
    if served is None or gain.mean() <= CLEAR * gain.std(ddof=1) / np.sqrt(len(gain)):
        return nothing, logit
    return {"btyd": served, "btyd_weight": float(SHARES[best])}, mixtures[best]


def _losses(y: Array, logit: Array) -> Array:
    p = np.clip(sigmoid(logit), 1e-6, 1 - 1e-6)
    return np.asarray(-np.where(y == 1, np.log(p), np.log1p(-p)))
