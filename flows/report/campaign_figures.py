"""Figures of the campaign plan: who is addressed, who is held out, and what to expect."""

from __future__ import annotations

import altair as alt
import pandas as pd

from flows.report.chart_theme import ACCENT, INK, REFERENCE, numbers_axis
from flows.report.figure import Column, Figure, Twin
from flows.report.stage_figures import room_for_labels


def members_data(audience: pd.DataFrame, scores: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """Members by campaign, arm, stage and segment: title, arm, stage, segment, n, value.

    Parameters
    ----------
    audience
        Members of the run: campaign_id, customer_id, arm, change, expected_value.
    scores
        Scored rows with their segment.
    plan
        The plan's table, for the titles.
    """
    there = audience[audience["change"] != "removed"]
    keys = scores[["customer_id", "stage", "segment"]]
    joined = there.merge(keys, on="customer_id").merge(
        plan[["campaign_id", "title"]], on="campaign_id"
    )
    groups = joined.groupby(["title", "arm", "stage", "segment"], observed=True)
    sums = groups["expected_value"].sum()
    return pd.DataFrame({"n": groups.size(), "value": sums}).reset_index()


def members(data: pd.DataFrame) -> Figure:
    """Draw `members_data` as one bar a campaign, the hold-out beside the treatment."""
    data = data.assign(arm=data["arm"].map({"treatment": "to address", "control": "held out"}))
    colours = alt.Scale(domain=["to address", "held out"], range=[ACCENT, REFERENCE])
    base = (
        alt.Chart(alt.NamedData("members"))
        .transform_aggregate(n="sum(n)", groupby=["title", "arm"])
        .transform_joinaggregate(total="sum(n)", groupby=["title"])
        .encode(
            y=alt.Y(
                "title:N",
                sort=alt.EncodingSortField("total", op="max", order="descending"),
                title=None,
            )
        )
    )
    bars = base.mark_bar(height={"band": 0.66}).encode(
        x=alt.X("n:Q", title="customers", axis=numbers_axis(tickCount=5)),
        color=alt.Color("arm:N", scale=colours, legend=alt.Legend(title=None)),
        order=alt.Order("arm:N", sort="descending"),
        tooltip=[
            alt.Tooltip("title:N", title="campaign"),
            alt.Tooltip("arm:N"),
            alt.Tooltip("n:Q", title="customers", format=","),
        ],
    )
    texts = (
        base.transform_filter("datum.arm == 'to address'")
        .mark_text(align="left", dx=6, color=INK)
        .encode(x="total:Q", text=alt.Text("total:Q", format=","))
    )
    arms = data.groupby("arm")["n"].sum()
    return Figure(
        key="members",
        title="Whom the campaigns address",
        says="The grey part is the hold-out: customers who would have been addressed and are left "
        "alone. What they do shows what would have happened anyway; never send to them.",
        alt=f"Bars of campaign members: {int(arms.get('to address', 0)):,} to address and "
        f"{int(arms.get('held out', 0)):,} held out, in {data['title'].nunique()} campaigns.",
        chart=bars + texts + room_for_labels(base, "total", 1.14),
        data={"members": data},
        twin=Twin(
            "members",
            (Column("title", "Campaign"), Column("arm", "Arm")),
            (Column("n", "Customers", "int"), Column("value", "Expected value", "money")),
        ),
        filtered=("members",),
        height=max(150, 44 * int(data["title"].nunique())),
        wide=True,
    )
