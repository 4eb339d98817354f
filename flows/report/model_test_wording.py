"""Names and meanings of the model tests' metrics and methods, for readers without statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from models.metrics.shown_metrics import DECIDING_METRIC

MODEL_TITLES = {
    "churn": "Churn risk",
    "clv": "Expected spend",
    "transition": "Next stage",
    "stage": "Current stage",
    "lead": "Lead score",
}
# Name and meaning of every headline of `models.metrics.shown_metrics`.
_METRICS = {
    "auc": (
        "AUC",
        "how often a customer with the outcome is ranked above one without it; 0.5 is guessing, "
        "1 is perfect",
    ),
    "log_loss": ("log loss", "error of the predicted probabilities; lower is better"),
    "brier": ("Brier score", "mean squared error of the probabilities; lower is better"),
    "integrated_brier": (
        "Brier score over time",
        "the Brier score, averaged over the periods ahead; lower is better",
    ),
    "top1_movers": (
        "next stage right",
        "share of the customers who moved whose likeliest next stage was right; higher is better",
    ),
    "ece": (
        "calibration error",
        "average gap between predicted and actual share; lower is better",
    ),
    "lift_10": (
        "lift at 10 %",
        "how many times more buyers the best 10 % contain than a random 10 %; higher is better",
    ),
    "mae": ("mean error", "average error per customer, in money; lower is better"),
    "rmse": (
        "root mean squared error",
        "error per customer in money, where large errors count more; lower is better",
    ),
    "tweedie": (
        "Tweedie deviance",
        "error of amounts relative to their size, fair to small and large customers; "
        "lower is better",
    ),
    "bias_pct": (
        "error of the total, %",
        "predicted total compared with the actual total; 0 is best",
    ),
    "gini": (
        "Gini",
        "quality of the ranking by spend; 0 is random, 1 is perfect; higher is better",
    ),
    "coverage": (
        "in the 80 % interval",
        "share of customers whose spend lies in their interval; 0.8 is intended",
    ),
}
_METHODS = {
    "champion": "this model",
    "rfm": "recency, frequency and spend only",
    "recency": "days since the last purchase only",
    "bg_nbd": "BG/NBD purchase model",
    "contract": "contract renewals (sBG)",
    "btyd": "purchase model without features (BTYD)",
    "gbm": "boosted trees only",
    "same_again": "same spend as in the last period",
    "mean": "average of all customers",
    "points": "points table",
    "cohort": "average of the cohort",
    "timer_table": "table by time in the stage",
    "semi_markov": "table by stage and time (semi-Markov)",
    "markov": "table by stage (Markov)",
    "frequency_table": "frequency table",
    "rule_only": "stage by rule only",
}


def metric_name(metric: str) -> str:
    """Return the readable name of a metric."""
    return _METRICS[metric][0] if metric in _METRICS else metric.replace("_", " ")


def method_name(method: str) -> str:
    """Return the readable name of a tested method."""
    return _METHODS.get(method, method.replace("_", " "))


def standing(model: str, records: Sequence[Mapping[str, Any]], reason: str = "") -> str:
    """How the served method stands to the best simple one, in one sentence.

    Parameters
    ----------
    model
        stage, transition, churn, clv or lead.
    records
        Figures of the model's test on all customers.
    reason
        Why this method is served; empty where the recipe had no choice.

    Returns
    -------
    A sentence with both figures and a full stop; empty without a figure of either.
    """
    metric = DECIDING_METRIC[model]
    losses = {
        str(record["method"]): float(record["value"])
        for record in records
        if record["metric"] == metric and record["value"] is not None
    }
    champion = losses.pop("champion", None)
    if champion is None or not losses:
        return ""
    best = min(losses, key=lambda method: losses[method])
    if champion < losses[best]:
        compared = "better than"
    else:
        compared = "the same as" if champion == losses[best] else "not as good as"
    sentence = (
        f"The served model has a {metric_name(metric)} of {champion:,.4g}, {compared} the best "
        f"simple method ({method_name(best)}: {losses[best]:,.4g})"
    )
    return f"{sentence}; why it is served: {reason}." if reason else f"{sentence}."


def metric_meanings(metrics: Sequence[str]) -> str:
    """Explain some metrics in one sentence each."""
    documented = [_METRICS[metric] for metric in metrics if metric in _METRICS]
    return " ".join(f"{name[:1].upper()}{name[1:]}: {meaning}." for name, meaning in documented)


def effect_text(
    effect: float | None,
    members: float = math.inf,
    needed: float | None = None,
    suggested_share: float | None = None,
) -> str:
    """Format the smallest detectable difference between two shares, in percentage points.

    Says so if there are too few members for any answer, and which control share is suggested.
    """
    if effect is None or effect != effect:
        return "no hold-out"
    if needed is not None and members < needed:
        return f"no answer possible below {needed:,.0f} people"
    if effect >= 1:
        return "too few customers"
    text = f"{100 * effect:.1f} percentage points"
    if suggested_share is None or suggested_share != suggested_share:
        return text
    return f"{text}; hold out {suggested_share:.0%} to detect yours"
