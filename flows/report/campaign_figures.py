"""The figure of the campaign plan: customers to contact and customers held out."""

from __future__ import annotations

import altair as alt
import pandas as pd

from flows.report.chart_theme import ACCENT, INK, REFERENCE, numbers_axis
from flows.report.figure import Column, DataTable, Figure
from flows.report.stage_figures import room_for_labels


def members_data(audience: pd.DataFrame, scores: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """Count members by campaign, arm, stage and segment.

    Parameters
    ----------
    audience
        Members of the run: campaign_id, customer_id, arm, change, expected_value.
    scores
        Scored rows with their segment.
    plan
        The plan's table, for the titles.

    Returns
    -------
    DataFrame
        title, arm, stage, segment, n (members), value (sum of expected values).
    """
    present = audience[audience["change"] != "removed"]
    segments = scores[["customer_id", "stage", "segment"]]
    members = present.merge(segments, on="customer_id").merge(
        plan[["campaign_id", "title"]], on="campaign_id"
    )
    groups = members.groupby(["title", "arm", "stage", "segment"], observed=True)
    values = groups["expected_value"].sum()
    return pd.DataFrame({"n": groups.size(), "value": values}).reset_index()


def members_figure(members: pd.DataFrame) -> Figure:
    """Draw `members_data` as one bar per campaign, split into contacts and hold-out."""
    members = members.assign(
        arm=members["arm"].map({"treatment": "to contact", "control": "held out"})
    )
    colours = alt.Scale(domain=["to contact", "held out"], range=[ACCENT, REFERENCE])
    campaign_rows = (
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
    bars = campaign_rows.mark_bar(height={"band": 0.66}).encode(
        x=alt.X("n:Q", title="customers", axis=numbers_axis(tickCount=5)),
        color=alt.Color("arm:N", scale=colours, legend=alt.Legend(title=None)),
        order=alt.Order("arm:N", sort="descending"),
        tooltip=[
            alt.Tooltip("title:N", title="campaign"),
            alt.Tooltip("arm:N", title="group"),
            alt.Tooltip("n:Q", title="customers", format=","),
        ],
    )
    labels = (
        campaign_rows.transform_filter("datum.arm == 'to contact'")
        .mark_text(align="left", dx=6, color=INK)
        .encode(x="total:Q", text=alt.Text("total:Q", format=","))
    )
    arm_sizes = members.groupby("arm")["n"].sum()
    campaigns = int(members["title"].nunique())
    return Figure(
        key="members",
        title="Who the campaigns contact",
        caption="The grey part is the hold-out: customers who qualify but get no message, chosen "
        "at random. Their behaviour shows what would have happened without the campaign. "
        "Do not contact them.",
        alt=f"Bars of campaign members: {int(arm_sizes.get('to contact', 0)):,} to contact and "
        f"{int(arm_sizes.get('held out', 0)):,} held out, in {campaigns} campaigns.",
        chart=bars + labels + room_for_labels(campaign_rows, "total", 1.14),
        data={"members": members},
        table=DataTable(
            "members",
            (Column("title", "Campaign"), Column("arm", "Group")),
            (Column("n", "Customers", "int"), Column("value", "Expected value", "money")),
        ),
        filtered=("members",),
        height=max(150, 44 * campaigns),
        wide=True,
    )
