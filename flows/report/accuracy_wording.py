"""Past predictions against what came, in words for readers without statistics."""

from __future__ import annotations

from typing import Any

import pandas as pd

from flows.report.churn_wording import ChurnWords
from flows.report.figure import cell_text, date_text

_FEWEST = 30  # customers of a sentence
_BANDS = {"lead_band": "lead band"}
_BAND_ORDER = ("all", "high", "medium", "low", "A", "B", "C", "D", "top", "mid")


def accuracy_rows(accuracy: pd.DataFrame, churn: ChurnWords) -> list[dict[str, Any]]:
    """Lines of the latest compared run of each prediction.

    Parameters
    ----------
    accuracy
        From `flows.services.prediction_accuracy.update_prediction_accuracy`.
    churn
        Words for churn.

    Returns
    -------
    list of dict
        prediction, group, scored_on and verdict (text), days, customers, predicted and actual
        (means a customer), kind (of their cells).
    """
    return [
        {
            "prediction": _prediction_name(line.prediction, churn),
            "scored_on": date_text(line.snapshot_at.date()),
            "days": line.horizon_days,
            "group": _group_name(line),
            "customers": line.customers,
            "predicted": line.predicted,
            "actual": line.actual,
            "kind": "money" if line.prediction == "clv" else "percent",
            "verdict": _verdict(line),
        }
        for line in _latest(accuracy).itertuples()
    ]


def accuracy_sentences(accuracy: pd.DataFrame, churn: ChurnWords, currency: str) -> list[str]:
    """Sentences on the latest compared runs: churn by band, spend, and first purchases.

    Empty without a matured prediction of 30 customers.
    """
    latest = _latest(accuracy)
    latest = latest[latest["customers"] >= _FEWEST]
    sentences = []
    for line in latest[latest["by"] == "churn_band"].itertuples():
        sentences.append(
            f"Of {line.customers:,} customers whom we called {line.group_name} risk on "
            f"{date_text(line.snapshot_at.date())}, {line.actual:.0%} {churn.happened} in "
            f"{line.horizon_days} days; we said {line.predicted:.0%}{_chance(line)}."
        )
    for line in latest[latest["by"] == "all"].itertuples():
        said = f"in the {line.horizon_days} days from {date_text(line.snapshot_at.date())}"
        if line.prediction == "clv":
            spent, promised = (
                cell_text(mean * line.customers, "money", currency)
                for mean in (line.actual, line.predicted)
            )
            sentences.append(
                f"{line.customers:,} customers spent {spent} {said}; we said "
                f"{promised}{_chance(line)}."
            )
        if line.prediction == "p_first_purchase":
            sentences.append(
                f"Of {line.customers:,} leads, {line.actual:.1%} bought {said}; we said "
                f"{line.predicted:.1%}{_chance(line)}."
            )
    return sentences


def _latest(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Lines of the last snapshot of each prediction, bands in the order of their meaning."""
    last = accuracy.groupby("prediction")["snapshot_at"].transform("max")
    lines = accuracy[(accuracy["snapshot_at"] == last) & (accuracy["customers"] > 0)]
    place = {group: number for number, group in enumerate(_BAND_ORDER)}
    order = lines["group_name"].map(place).fillna(len(place))
    return lines.assign(place=order).sort_values(
        ["prediction", "by", "place", "group_name"], kind="stable"
    )


def _prediction_name(column: str, churn: ChurnWords) -> str:
    return {
        "p_churn": f"chance of {churn.event}",
        "clv": "expected spend",
        "p_any_order": "chance of an order",
        "p_first_purchase": "chance of a first purchase",
        "p_move": "chance of a stage change",
    }.get(column, column)


def _group_name(line: Any) -> str:
    if line.by == "all":
        return "all"
    if line.by == "churn_band":
        return f"{line.group_name} churn risk"
    return f"{_BANDS.get(line.by, str(line.by).replace('_', ' '))} {line.group_name}"


def _verdict(line: Any) -> str:
    """Whether the outcome differs from the prediction by more than chance."""
    if line.low <= line.predicted <= line.high:
        return "as predicted"
    if pd.isna(line.low):
        return "too few customers"
    return "more than predicted" if line.actual > line.predicted else "less than predicted"


def _chance(line: Any) -> str:
    """Say if the difference is more than chance."""
    is_beyond = _verdict(line) in ("more than predicted", "less than predicted")
    return ", a difference beyond chance" if is_beyond else ""
