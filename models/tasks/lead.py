"""Leads: P(first purchase within the horizon) of those who never bought, and their score.

It lives in the CLV part, since a lead's value is this chance times what new buyers spend. Fitting
only; prediction is `models.scorer.clv.predict_clv`.
"""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.binary_ensemble import (
    TwoClassRecipe,
    fit_logistic,
    predict_out_of_fold,
    refit_trees,
    sample_customers,
    select_binary_columns,
    varying_columns,
)
from models.fitting.cold_start import fit_back_off
from models.metrics import metrics
from models.scorer.clv import clv_first_purchase
from models.scorer.linear_model import sigmoid
from models.scorer.part import Part

MIN_FIRST = 30  # leads who bought within a horizon, and who did not, to learn who does
_MIN_FOR_TREES = 100  # of the rarer, as customers, for trees beside the regression
# Faster than the churn recipe's and as good on simulated leads; the trees weigh more there.
_RECIPE = TwoClassRecipe(
    learning_rate=0.05, max_bin=63, linear_weight=0.1, max_rows=50_000, max_rounds=600
)
# The score is the share of the training date's leads below: A is the best tenth, B the next
# fifth, C the next three tenths.
_BANDS = (40.0, 70.0, 90.0)
_LEVELS = (*np.linspace(0.0, 0.98, 50), 0.985, 0.99, 0.995, 1.0)


def leads_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of those who had never bought at the snapshot."""
    return frame[frame["btyd__x"].isna()].reset_index(drop=True)


def plain_share(frame: pd.DataFrame) -> float:
    """Smoothed share of the leads of a labelled frame who bought; NaN without leads."""
    leads = leads_of(frame)
    bought = float((leads["orders"] > 0).sum())
    return (bought + 0.5) / (len(leads) + 1.0) if len(leads) else np.nan


def plain_leads(frame: pd.DataFrame, at_origin: pd.DataFrame) -> dict[str, Any]:
    """``first_purchase`` of the CLV part by a logistic regression alone.

    Parameters
    ----------
    frame
        Labelled feature frame of matured snapshots (``spend`` money, ``orders``), buyers and all.
    at_origin
        Feature frame of the training date.

    Returns
    -------
    ``p``: smoothed share of leads who bought (None where there were no leads); ``spend``,
    ``orders`` and ``order_value`` of new buyers within the horizon, where none are seen those of
    all buyers' first purchase day; ``linear``: None where too few bought to tell who does.
    """
    leads = leads_of(frame)
    bought = leads["orders"].to_numpy(dtype=np.float64) > 0
    new = leads[bought]
    if len(new):
        spend, orders = float(new["spend"].mean()), float(new["orders"].mean())
    else:
        first = at_origin["purchase__amount_first"].mean()
        spend, orders = float(np.nan_to_num(first)), 1.0
    enough = MIN_FIRST <= len(new) <= len(leads) - MIN_FIRST
    y = bought.astype(np.float64)
    columns = varying_columns(leads) if enough else []
    columns = select_binary_columns(leads, columns, y, seed=0, threads=1) if columns else []
    straight = fit_logistic(leads, columns, y, strength=_RECIPE.strength) if columns else None
    return {
        "p": plain_share(leads) if len(leads) else None,
        "spend": spend,
        "orders": orders,
        "order_value": spend / orders,
        "linear": straight,
    }


def fit_leads(
    frame: pd.DataFrame, at_origin: pd.DataFrame, *, seed: int, threads: int
) -> tuple[dict[str, Any], dict[str, lgb.Booster]]:
    """``first_purchase`` of the CLV part, with trees where enough leads bought, and its score map.

    The trees stop on held-out customers and are averaged in logits with the regression. The map to
    the score and the cut-offs of the bands come from the leads of the training date and stay as
    they are until the next training.

    Returns
    -------
    The parameters, and the boosters ``lead_<number>``.
    """
    first = plain_leads(frame, at_origin)
    boosters: dict[str, lgb.Booster] = {}
    if first["linear"] is not None:
        added, boosters = _trees(leads_of(frame), seed=seed, threads=threads)
        first |= added
    part = Part("clv", {"first_purchase": first}, boosters)
    now = leads_of(at_origin)
    now = now if len(now) else leads_of(frame)
    return {**first, **score_map(clv_first_purchase(part, now))}, boosters


def _trees(
    leads: pd.DataFrame, *, seed: int, threads: int
) -> tuple[dict[str, Any], dict[str, lgb.Booster]]:
    """Trees on whole customers' rows, and figures of predictions that held the customer out."""
    leads = sample_customers(leads, _RECIPE, seed=seed).reset_index(drop=True)
    y = (leads["orders"] > 0).to_numpy(dtype=np.float64)
    rarer = min(leads.loc[y == side, "customer_id"].nunique() for side in (0.0, 1.0))
    columns = select_binary_columns(leads, varying_columns(leads), y, seed=seed, threads=threads)
    if rarer < _MIN_FOR_TREES or not columns:
        return {}, {}
    held = predict_out_of_fold(leads, columns, y, _RECIPE, seed=seed, threads=threads)
    rounds = max(1, round(_RECIPE.refit_factor * float(np.mean(held.rounds))))
    trees = refit_trees(leads, columns, y, _RECIPE, rounds=rounds, seed=seed, threads=threads)
    p = sigmoid(held.logit)
    found = {
        "columns": columns,
        "linear_weight": _RECIPE.linear_weight,
        "back_off": fit_back_off(leads, y, p),
        "report": {
            "rows": len(y),
            "rounds": held.rounds,
            "held_out_auc": metrics.auc(y, p),
            "held_out_log_loss": metrics.log_loss(y, p),
            "held_out_ece": metrics.ece(y, p),
        },
    }
    return found, {f"lead_{number}": each for number, each in enumerate(trees.values())}


def score_map(p: Array) -> dict[str, Any]:
    """Rising piecewise-linear map from chances to 0-100, and the bands' cut-offs on it.

    A score is the share of the given leads below (of equals the middle). Without leads it is the
    chance times 100.

    Returns
    -------
    ``score``: ``p`` and ``score``, both rising from 0 to 1 and to 100; ``bands``: where C, B and A
    begin.
    """
    known = np.sort(p[~np.isnan(p)])
    knots = np.unique(np.quantile(known, _LEVELS, method="inverted_cdf")) if len(known) else known
    below, upto = (np.searchsorted(known, knots, side=side) for side in ("left", "right"))
    rank = 50.0 * (below + upto) / max(len(known), 1)
    inner = (knots > 0.0) & (knots < 1.0)
    return {
        "score": {
            "p": [0.0, *knots[inner].tolist(), 1.0],
            "score": [0.0, *rank[inner].tolist(), 100.0],
        },
        "bands": list(_BANDS),
    }
