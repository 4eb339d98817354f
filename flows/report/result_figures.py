"""Results of campaigns in the report: lines with a sentence each, and effects over time."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from campaigns.answers import GLOBAL_HOLDOUT, programme_sentences, result_sentence
from flows.report.chart_theme import ACCENT, REFERENCE
from flows.report.figure import Column, DataTable, Figure

_ALL_CAMPAIGNS = "All campaigns together"
_OUTCOMES = {"response": "responses", "revenue_per_order": "revenue per order"}
_KINDS = {"response": "percent", "orders": "decimal"}
_BY = {"entry_month": "entries of"}  # how the groups of a column are named


def result_rows(effects: pd.DataFrame, plan: pd.DataFrame, currency: str) -> list[dict[str, Any]]:
    """Lines of the measurement for the page, whole campaigns first.

    Parameters
    ----------
    effects
        From `campaigns.measurement.campaign_effects`.
    plan
        The plan's table, for the titles and costs.
    currency
        Currency of the money.

    Returns
    -------
    list of dict
        title, group (empty for whole campaigns), outcome, the counts, ``total``, ``low`` and
        ``high`` (of all contacted customers), ``person`` (of one), ``cost`` and ``per_cost`` (per
        unit of cost), ``answer``, ``kind`` (of the cells of a person), ``control_contacted``,
        ``sentence``.
    """
    titles = dict(zip(plan["campaign_id"], plan["title"], strict=True))
    titles[GLOBAL_HOLDOUT] = _ALL_CAMPAIGNS
    lines = effects.assign(is_part=effects["by"] != "all").sort_values("is_part", kind="stable")
    rows = []
    for line in lines.itertuples():
        title = titles.get(str(line.campaign_id), str(line.campaign_id))
        group = "" if line.by == "all" else f"{_BY.get(line.by, line.by)} {line.group_name}"
        name = f"{title} ({group})" if group else title
        rows.append(
            {
                "title": title,
                "group": group,
                "outcome": _OUTCOMES.get(line.outcome, line.outcome),
                "contacted": line.n_treatment,
                "held_out": line.n_control,
                "person": line.difference,
                "total": line.incremental_total,
                "low": line.incremental_low,
                "high": line.incremental_high,
                "cost": line.cost_total,
                "per_cost": line.incremental_per_cost,
                "answer": line.answer,
                "kind": _KINDS.get(line.outcome, "money"),
                "sample_ratio_p": line.sample_ratio_p,
                "control_contacted": line.control_contacted,
                "sentence": result_sentence(line, name, currency),
            }
        )
    return rows


def result_sentences(effects: pd.DataFrame, plan: pd.DataFrame, currency: str) -> list[str]:
    """Sentences on the programme and on each whole campaign: profit, or what can be said."""
    titles = dict(zip(plan["campaign_id"], plan["title"], strict=True))
    whole = effects[(effects["by"] == "all") & (effects["campaign_id"] != GLOBAL_HOLDOUT)]
    sentences = programme_sentences(effects, currency)
    for campaign, lines in whole.groupby("campaign_id", sort=True):
        profit = lines[lines["outcome"] == "profit"]
        line = next((profit if len(profit) else lines).itertuples())
        sentences.append(result_sentence(line, titles.get(campaign, str(campaign)), currency))
    return sentences


def results_over_time(history: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """Profit of whole campaigns by day of measurement, with intervals that may be read daily.

    Returns
    -------
    DataFrame
        title, measured_at, total, low, high (money); empty without history.
    """
    if "outcome" not in history:
        return pd.DataFrame(columns=["title", "measured_at", "total", "low", "high"])
    known = history[(history["outcome"] == "profit") & history["incremental_low"].notna()]
    titles = dict(zip(plan["campaign_id"], plan["title"], strict=True))
    titles[GLOBAL_HOLDOUT] = _ALL_CAMPAIGNS
    return pd.DataFrame(
        {
            "title": [titles.get(name, name) for name in known["campaign_id"]],
            "measured_at": known["measured_at"].astype(str).to_numpy(),
            "total": known["incremental_total"].to_numpy(),
            "low": known["incremental_low"].to_numpy(),
            "high": known["incremental_high"].to_numpy(),
        }
    )


def results_figure(results: pd.DataFrame, currency: str) -> Figure:
    """Draw `results_over_time`: one campaign at a time, its total with the interval."""
    days = alt.Chart(alt.NamedData("results")).encode(x=alt.X("measured_at:T", title="measured on"))
    band = days.mark_errorbar(color=ACCENT, ticks=True).encode(
        y=alt.Y("low:Q", title=f"additional profit, {currency}".rstrip(", ")), y2="high:Q"
    )
    line = days.mark_line(point=True, color=ACCENT).encode(
        y="total:Q",
        tooltip=[
            alt.Tooltip("title:N", title="campaign"),
            alt.Tooltip("measured_at:T", title="measured on"),
            alt.Tooltip("total:Q", title="additional profit", format=",.0f"),
            alt.Tooltip("low:Q", title="from", format=",.0f"),
            alt.Tooltip("high:Q", title="to", format=",.0f"),
        ],
    )
    zero = alt.Chart().mark_rule(color=REFERENCE, strokeDash=[5, 4]).encode(y=alt.datum(0))
    last = results.drop_duplicates("title", keep="last")
    return Figure(
        key="results",
        title="What the campaigns earned",
        caption="Additional profit of all contacted customers since the start of the campaign, "
        "against the held-out ones. You may read the intervals every day. An interval on one side "
        "of the dashed line is an answer.",
        alt=f"Additional profit over time of {len(last)} campaigns; the last totals are "
        + ", ".join(f"{row.title} {row.total:,.0f}" for row in last.itertuples())
        + ".",
        chart=zero + band + line,
        data={"results": results},
        table=DataTable(
            "results",
            (
                Column("title", "Campaign"),
                Column("measured_at", "Measured on", "date"),
                Column("total", "Additional profit", "money"),
                Column("low", "From", "money"),
                Column("high", "To", "money"),
            ),
        ),
        choice=("title", "Campaign"),
        height=260,
        wide=True,
    )
