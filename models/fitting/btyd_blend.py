"""Blend BG/NBD into the churn risk where it improves the log loss at validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.btyd import fit_btyd
from models.scorer.churn import churn_btyd_logit
from models.scorer.linear_model import sigmoid

_SHARES = np.linspace(0.1, 1.0, 10)
_MIN_ROWS = 200  # with fewer rows the comparison is noise
_CLEAR = 1.0  # standard errors by which the blend must win


def blend_with_btyd(
    rows: pd.DataFrame,
    target: Array,
    logits: Array,
    *,
    horizon_days: int,
    at_validation: pd.DataFrame,
    at_origin: pd.DataFrame,
) -> tuple[dict[str, Any], Array]:
    """BTYD parameters with their share, chosen on the validation snapshot, and blended logits.

    Parameters
    ----------
    rows, target, logits
        Eligible customers at the validation snapshot, their 0/1 outcome, and the recipe's logits
        by models that saw none of their rows.
    horizon_days
        Days ahead.
    at_validation, at_origin
        Feature frames of all customers at the validation snapshot and at the origin: BTYD needs no
        label. The share is chosen with a fit on the former; a fit on the latter is served.

    Returns
    -------
    ``btyd`` (parameters, null without a share) and ``btyd_weight`` (0 to 1), and the logits of
    `rows` with that share: the one with the smallest log loss, or 0 if it does not win by more
    than a standard error.
    """
    no_share: dict[str, Any] = {"btyd": None, "btyd_weight": 0.0}
    validation_model = fit_btyd(at_validation) if len(rows) >= _MIN_ROWS else None
    if validation_model is None:
        return no_share, logits
    btyd_logits = churn_btyd_logit(validation_model, rows, horizon_days)
    recipe_losses = _losses(target, logits)
    mixtures = [(1 - share) * logits + share * btyd_logits for share in _SHARES]
    best_index = int(np.argmin([_losses(target, mixture).mean() for mixture in mixtures]))
    gains = recipe_losses - _losses(target, mixtures[best_index])
    origin_model = fit_btyd(at_origin)
    if origin_model is None or gains.mean() <= _CLEAR * gains.std(ddof=1) / np.sqrt(len(gains)):
        return no_share, logits
    return {"btyd": origin_model, "btyd_weight": float(_SHARES[best_index])}, mixtures[best_index]


def _losses(target: Array, logits: Array) -> Array:
    probability = np.clip(sigmoid(logits), 1e-6, 1 - 1e-6)
    return np.asarray(-np.where(target == 1, np.log(probability), np.log1p(-probability)))
