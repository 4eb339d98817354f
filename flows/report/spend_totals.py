"""Expected spend of all customers and of groups, with intervals from the errors of past dates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from flows.report.figure import cell_text
from models.fitting.total_interval import FEWEST_CUSTOMERS, spend_interval

_GROUPINGS = {"stage": "stage", "value_tier": "value tier", "segment": "segment"}


def spend_totals(
    run: Mapping[str, Any], scores: pd.DataFrame, audience: pd.DataFrame, plan: pd.DataFrame
) -> pd.DataFrame:
    """Total expected spend of all customers, by stage, value tier, segment and campaign.

    Parameters
    ----------
    run
        Facts of the run; ``total_errors`` is from `models.fitting.total_interval.spend_errors`.
    scores
        Scored rows; ``segment`` may be absent.
    audience, plan
        Members of the run's campaigns, both arms; the plan's table, for the titles.

    Returns
    -------
    DataFrame
        by, name, customers, clv and spent (money: expected, and so far), low and high (80 %
        interval of clv; NaN where the past or the size of the group does not allow one).
    """
    errors, whole = run.get("total_errors"), float(scores["clv"].sum())
    rows = []
    for by, name, members in _groups(scores, audience, plan):
        clv = members["clv"].to_numpy(dtype=np.float64, na_value=np.nan)
        interval = None if errors is None else spend_interval(errors, clv, whole)
        low, high = interval or (np.nan, np.nan)
        rows.append(
            {
                "by": by,
                "name": name,
                "customers": len(members),
                "clv": float(members["clv"].sum()),
                "low": low,
                "high": high,
                "spent": float(members["historic_clv"].sum()),
            }
        )
    return pd.DataFrame(rows)


def _groups(
    scores: pd.DataFrame, audience: pd.DataFrame, plan: pd.DataFrame
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Kind, name and scored rows of every group that is not empty."""
    yield "all", "all", scores
    for column, by in _GROUPINGS.items():
        if column in scores:
            for name, members in scores.groupby(column, observed=True):
                yield by, str(name), members
    present = audience[audience["change"] != "removed"]
    for campaign in plan.itertuples():
        ids = present.loc[present["campaign_id"] == campaign.campaign_id, "customer_id"]
        if len(ids):
            yield "campaign", str(campaign.title), scores[scores["customer_id"].isin(ids)]


def interval_text(low: float, high: float, currency: str) -> str:
    """Format an interval of money, such as "100 to 200 EUR"; a dash without one."""
    if np.isnan(low):
        return "–"
    return f"{cell_text(low, 'money')} to {cell_text(high, 'money', currency)}"


def totals_note(run: Mapping[str, Any], totals: pd.DataFrame) -> str:
    """Say where the intervals come from, and why there is none."""
    errors = run.get("total_errors")
    if errors is None:
        return (
            "There are no intervals of totals yet: they need a past date with a horizon of history "
            "before it and a horizon of data after it."
        )
    sentences = [
        "An 80 % interval should contain the actual total in 4 of 5 cases. It comes from past "
        f"dates, at which the total of all customers was off by {errors['level']:.0%} and that of "
        f"a group by {errors['group']:.0%} more; the fewer the customers, the more chance adds. "
        "All groups are off together, so the ends of groups do not add up to those of all.",
    ]
    if (totals["by"] == "campaign").any():
        sentences.append(
            "Totals of campaigns are of all members, contacted or held out, without the effect of "
            "the campaign; their errors are taken to be those of stages and value tiers."
        )
    if totals["low"].isna().any():
        sentences.append(
            f"–: fewer than {FEWEST_CUSTOMERS} customers, or too uncertain for an interval above 0."
        )
    return " ".join(sentences)
