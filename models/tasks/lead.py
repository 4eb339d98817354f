"""Leads: P(first purchase within the horizon) of customers who never bought, and their score.

It belongs to the CLV part: the value of a lead is this probability times the mean spend of new
buyers. Fitting only; prediction is `models.scorer.clv.predict_clv`.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from models.metrics.metric_call import MetricCall, binary_metric_calls
from models.scorer.clv import clv_first_purchase
from models.scorer.linear_model import sigmoid
from models.scorer.part import Part

MIN_NEW_BUYERS = 30  # rows of leads who bought, and who did not, needed for a regression
_MIN_FOR_TREES = 100  # customers of the rarer outcome needed for trees
# Faster than the settings for churn and as good on simulated leads, with more weight on the trees.
_RECIPE = TwoClassRecipe(
    learning_rate=0.05, max_bin=63, linear_weight=0.1, max_rows=50_000, max_rounds=600
)
# The score is the share of the training date's leads with a lower probability. Band A is the best
# tenth, B the next two tenths, C the next three.
_BANDS = (40.0, 70.0, 90.0)
_LEVELS = (*np.linspace(0.0, 0.98, 50), 0.985, 0.99, 0.995, 1.0)


def select_leads(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of customers who had never bought at the snapshot."""
    return frame[frame["btyd__x"].isna()].reset_index(drop=True)


def lead_conversion_rate(frame: pd.DataFrame) -> float:
    """Smoothed share of the leads in a labelled frame who bought; NaN without leads."""
    leads = select_leads(frame)
    buyers = float((leads["orders"] > 0).sum())
    return (buyers + 0.5) / (len(leads) + 1.0) if len(leads) else np.nan


def lead_metric_calls(outputs: Mapping[str, Array], leads: pd.DataFrame) -> list[MetricCall]:
    """All metrics of one method's outputs (``p`` or ``rank``) on labelled leads."""
    target = (leads["orders"] > 0).to_numpy(dtype=np.float64)
    probability = outputs.get("p")
    rank = outputs.get("rank", probability)
    if rank is None or np.isnan(rank).any():
        return []
    return binary_metric_calls(target, probability, rank=rank)


def fit_lead_regression(frame: pd.DataFrame, at_origin: pd.DataFrame) -> dict[str, Any]:
    """Fit ``first_purchase`` of the CLV part with a logistic regression, without trees.

    Parameters
    ----------
    frame
        Labelled feature frame of matured snapshots (``spend`` money, ``orders``), with buyers.
    at_origin
        Feature frame of the training date.

    Returns
    -------
    ``p``: smoothed share of leads who bought (None without leads); ``spend``, ``orders`` and
    ``order_value``: means of new buyers within the horizon, or, without new buyers, those of all
    buyers' first purchase day; ``linear``: the regression, None if too few leads bought.
    """
    leads = select_leads(frame)
    is_buyer = leads["orders"].to_numpy(dtype=np.float64) > 0
    new_buyers = leads[is_buyer]
    if len(new_buyers):
        mean_spend, mean_orders = (
            float(new_buyers["spend"].mean()),
            float(new_buyers["orders"].mean()),
        )
    else:
        first_amount = at_origin["purchase__amount_first"].mean()
        mean_spend, mean_orders = float(np.nan_to_num(first_amount)), 1.0
    is_enough = MIN_NEW_BUYERS <= len(new_buyers) <= len(leads) - MIN_NEW_BUYERS
    target = is_buyer.astype(np.float64)
    columns = varying_columns(leads) if is_enough else []
    columns = select_binary_columns(leads, columns, target, seed=0, threads=1) if columns else []
    regression = (
        fit_logistic(leads, columns, target, strength=_RECIPE.strength) if columns else None
    )
    return {
        "p": lead_conversion_rate(leads) if len(leads) else None,
        "spend": mean_spend,
        "orders": mean_orders,
        "order_value": mean_spend / mean_orders,
        "linear": regression,
    }


def fit_leads(
    frame: pd.DataFrame, at_origin: pd.DataFrame, *, seed: int, threads: int
) -> tuple[dict[str, Any], dict[str, lgb.Booster]]:
    """Fit ``first_purchase`` of the CLV part with its score map; with trees if enough leads bought.

    The trees stop early on held-out customers; their logits are averaged with those of the
    regression. The score map and the band cut-offs come from the leads of the training date and do
    not change until the next training.

    Returns
    -------
    The parameters, and the boosters ``lead_<number>``.
    """
    parameters = fit_lead_regression(frame, at_origin)
    boosters: dict[str, lgb.Booster] = {}
    if parameters["linear"] is not None:
        tree_parameters, boosters = _fit_trees(select_leads(frame), seed=seed, threads=threads)
        parameters |= tree_parameters
    part = Part("clv", {"first_purchase": parameters}, boosters)
    scored_leads = select_leads(at_origin)
    scored_leads = scored_leads if len(scored_leads) else select_leads(frame)
    return {**parameters, **score_map(clv_first_purchase(part, scored_leads))}, boosters


def _fit_trees(
    leads: pd.DataFrame, *, seed: int, threads: int
) -> tuple[dict[str, Any], dict[str, lgb.Booster]]:
    """Fit trees on whole customers' rows, and measure predictions that held the customer out."""
    leads = sample_customers(leads, _RECIPE, seed=seed).reset_index(drop=True)
    target = (leads["orders"] > 0).to_numpy(dtype=np.float64)
    rarer_customers = min(
        leads.loc[target == outcome, "customer_id"].nunique() for outcome in (0.0, 1.0)
    )
    columns = select_binary_columns(
        leads, varying_columns(leads), target, seed=seed, threads=threads
    )
    if rarer_customers < _MIN_FOR_TREES or not columns:
        return {}, {}
    out_of_fold = predict_out_of_fold(leads, columns, target, _RECIPE, seed=seed, threads=threads)
    rounds = max(1, round(_RECIPE.refit_factor * float(np.mean(out_of_fold.rounds))))
    boosters = refit_trees(
        leads, columns, target, _RECIPE, rounds=rounds, seed=seed, threads=threads
    )
    probability = sigmoid(out_of_fold.mixed(_RECIPE.linear_weight))
    parameters = {
        "columns": columns,
        "linear_weight": _RECIPE.linear_weight,
        "back_off": fit_back_off(leads, target, probability),
        "report": {
            "rows": len(target),
            "rounds": out_of_fold.rounds,
            "held_out_auc": metrics.auc(target, probability),
            "held_out_log_loss": metrics.log_loss(target, probability),
            "held_out_ece": metrics.ece(target, probability),
        },
    }
    return parameters, {
        f"lead_{number}": booster for number, booster in enumerate(boosters.values())
    }


def score_map(probability: Array) -> dict[str, Any]:
    """Piecewise-linear, rising map from probabilities to scores of 0-100, and the band cut-offs.

    The score is the percentage of these leads with a lower probability, plus half of those with
    the same. Without leads it is the probability times 100.

    Returns
    -------
    ``score``: ``p`` and ``score``, rising from 0 to 1 and from 0 to 100; ``bands``: the scores from
    which C, B and A apply.
    """
    sorted_chances = np.sort(probability[~np.isnan(probability)])
    score_knots = (
        np.unique(np.quantile(sorted_chances, _LEVELS, method="inverted_cdf"))
        if len(sorted_chances)
        else sorted_chances
    )
    count_below, count_upto = (
        np.searchsorted(sorted_chances, score_knots, side=side) for side in ("left", "right")
    )
    percentile = 50.0 * (count_below + count_upto) / max(len(sorted_chances), 1)
    is_inner = (score_knots > 0.0) & (score_knots < 1.0)
    return {
        "score": {
            "p": [0.0, *score_knots[is_inner].tolist(), 1.0],
            "score": [0.0, *percentile[is_inner].tolist(), 100.0],
        },
        "bands": list(_BANDS),
    }
