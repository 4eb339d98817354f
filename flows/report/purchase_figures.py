"""Figures of past purchases: recency against frequency, and cohorts by month of first order."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from flows.report.figure import Column, DataTable, Figure, cell_text

_BLUES = ["#DCE8F4", "#1D5A94"]
_DARK_TEXT = "#14324E"
AGAIN, SPENT = "share who ordered in that month", "spent in all by then, per customer"


def recency_figure(cells: pd.DataFrame, currency: str) -> Figure:
    """Draw `flows.report.purchase_history.recency_and_frequency` as a grid."""
    recency = list(dict.fromkeys(cells["recency"]))
    recency.sort(key=lambda words: int(words.split()[0]))
    often = sorted(set(cells["often"]), key=lambda words: -int(words.split()[0]))
    grid = (
        alt.Chart(alt.NamedData("buyers"))
        .transform_aggregate(n="sum(n)", spent="sum(spent)", groupby=["recency", "often"])
        .transform_calculate(each="datum.spent / datum.n")
        .transform_joinaggregate(most="max(n)")
        .transform_calculate(shade="datum.n / datum.most")
        .encode(
            x=alt.X(
                "recency:N",
                sort=recency,
                title="days since the last order",
                axis=alt.Axis(orient="top", labelAngle=-25),
            ),
            y=alt.Y("often:N", sort=often, title="days with orders"),
        )
    )
    tooltips = [
        alt.Tooltip("recency:N", title="days since the last order"),
        alt.Tooltip("often:N", title="days with orders"),
        alt.Tooltip("n:Q", title="customers", format=","),
        alt.Tooltip("each:Q", title=f"spent so far, each {currency}".strip(), format=",.0f"),
    ]
    counts = cells.groupby(["recency", "often"])["n"].sum()
    place = counts.idxmax()
    return Figure(
        key="recency",
        title="How long ago, and how often",
        caption="Each square counts buyers; columns have about equally many. Top left are the "
        "regular customers; top right are good customers who have gone quiet: speak to them first. "
        "Bottom left are new customers: help them to a second order.",
        alt=f"A grid of {cell_text(counts.sum(), 'int')} buyers by days since the last order and "
        f"days with orders. Most, {cell_text(counts.max(), 'int')}, ordered last {place[0]} days "
        f"ago and on {place[1]} {'day' if place[1] == '1' else 'days'}.",
        chart=_heat_map(grid, alt.Text("n:Q", format=","), tooltips),
        data={"buyers": cells},
        table=DataTable(
            "buyers",
            (Column("recency", "Days since the last order"), Column("often", "Days with orders")),
            (Column("n", "Customers", "int"), Column("spent", "Spent so far", "money")),
        ),
        filtered=("buyers",),
        height=44 * len(often) + 20,
    )


def cohorts_figure(cohorts: pd.DataFrame, currency: str) -> Figure:
    """Draw `flows.report.purchase_history.cohorts` as a triangle, one row a month."""
    months = cohorts.sort_values(["cohort", "later"], ignore_index=True)
    together = months.groupby("cohort")["spent"].cumsum() / months["customers"]
    again = months[months["later"] > 0]
    parts = [
        months.assign(
            measure=SPENT, value=together, text=[cell_text(v, "money") for v in together]
        ),
        again.assign(
            measure=AGAIN,
            value=again["buyers"] / again["customers"],
            text=[f"{share:.0%}" for share in again["buyers"] / again["customers"]],
        ),
    ]
    rows = pd.concat(parts, ignore_index=True)
    in_currency = f" in {currency}" if currency else ""
    highest = rows.groupby("measure")["value"].transform("max")
    rows["shade"] = (rows["value"] / highest.where(highest > 0, 1.0)).clip(lower=0)
    triangle = alt.Chart(alt.NamedData("cohorts")).encode(
        x=alt.X(
            "later:O",
            title="months after the first order",
            axis=alt.Axis(orient="top", labelAngle=0),
        ),
        y=alt.Y("cohort:N", title="month of the first order"),
    )
    tooltips = [
        alt.Tooltip("cohort:N", title="first order in"),
        alt.Tooltip("later:O", title="months after"),
        alt.Tooltip("customers:Q", title="customers", format=","),
        alt.Tooltip("text:N", title="here"),
    ]
    # On a phone the squares are too narrow for numbers; the table below has them.
    shown = alt.ExprRef("width < 400 ? 0 : 1")
    soon = again[again["later"] == 1]
    share = soon["buyers"].sum() / max(int(soon["customers"].sum()), 1)
    return Figure(
        key="cohorts",
        title="Customers by the month of their first order",
        caption="Read along a row how the customers of a month came back, and down a column "
        "whether newer customers do better than older ones. Fewer in the lower rows means that "
        f"recently won customers are worse. Amounts{in_currency} are before refunds.",
        alt=f"A table of {months['cohort'].nunique()} months. In the month after their first "
        f"order {cell_text(share, 'percent')} of these customers ordered again.",
        chart=_heat_map(triangle, alt.Text("text:N"), tooltips, fontSize=11, opacity=shown),
        data={"cohorts": rows[["measure", "cohort", "later", "customers", "text", "shade"]]},
        table=DataTable(
            "cohorts",
            (
                Column("measure", "What"),
                Column("cohort", "First order in"),
                Column("later", "Months after", "int"),
                Column("customers", "Customers", "int"),
                Column("text", "Value"),
            ),
        ),
        choice=("measure", "Show"),
        height=30 * months["cohort"].nunique() + 40,
        wide=True,
    )


def _heat_map(base: alt.Chart, text: alt.Text, tooltips: list[alt.Tooltip], **labels: Any) -> Any:
    """Squares with a colour by `shade` (0 to 1) and a text that can be read on it."""
    scale = alt.Scale(domain=[0, 1], range=_BLUES)
    squares = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color("shade:Q", scale=scale, legend=None), tooltip=tooltips
    )
    on_dark = alt.condition("datum.shade > 0.6", alt.value("white"), alt.value(_DARK_TEXT))
    return squares + base.mark_text(**labels).encode(text=text, color=on_dark)
