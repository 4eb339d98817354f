"""Figure of acquisition payback: which share of what leads cost has come back, by months since."""

from __future__ import annotations

import altair as alt
import pandas as pd

from features.metrics.acquisition_payback import ALL_SOURCES
from flows.report.figure import Column, DataTable, Figure, cell_text


def payback_figure(payback: pd.DataFrame, currency: str, *, has_margin: bool) -> Figure:
    """Draw `features.metrics.acquisition_payback.acquisition_payback`, one line a source."""
    base = alt.Chart(alt.NamedData("payback"))
    lines = base.mark_line(strokeWidth=2, point=True).encode(
        x=alt.X("months:Q", title="months after the first sign-up", axis=alt.Axis(tickMinStep=1)),
        y=alt.Y("share:Q", title="of the cost has come back", axis=alt.Axis(format=".0%")),
        color=alt.Color("source:N", legend=alt.Legend(title=None)),
        tooltip=[
            alt.Tooltip("source:N"),
            alt.Tooltip("months:Q", title="months"),
            alt.Tooltip("share:Q", title="come back", format=".0%"),
            alt.Tooltip("leads:Q", title="sign-ups", format=","),
        ],
    )
    even = base.mark_rule(strokeDash=[5, 4], color="#8A6D1D").encode(y=alt.datum(1))
    kept = "what is kept of their spend" if has_margin else "their spend, before other costs"
    sentences = payback_sentences(payback, currency)
    return Figure(
        key="payback",
        title="When acquisition pays back",
        caption=f"What sign-ups of each source cost, against {kept}. Above the dashed line the "
        "source has earned its cost; a flat line below it will not.",
        alt=f"Lines of the share of acquisition cost that has come back. {' '.join(sentences)}",
        chart=lines + even,
        data={"payback": payback},
        table=DataTable(
            "payback",
            (
                Column("source", "Source"),
                Column("months", "Months", "int"),
                Column("leads", "Sign-ups", "int"),
                Column("buyers", "Buyers so far", "int"),
                Column("cost", "Cost", "money"),
                Column("cost_per_lead", "Cost of a sign-up", "money"),
                Column("returned", "Come back, each", "money"),
                Column("share", "Of the cost", "percent"),
            ),
        ),
        height=300,
        notes=sentences,
    )


def payback_sentences(payback: pd.DataFrame, currency: str) -> list[str]:
    """Say of every source after how many months its cost had come back."""
    sentences = []
    sources = payback.groupby("source", sort=False)
    several = sources.ngroups > 1
    for source, rows in sources:
        if several and source == ALL_SOURCES:
            continue
        last, paid = rows.iloc[-1], rows[rows["share"] >= 1]
        cost = cell_text(last["cost_per_lead"], "money", currency)
        name = str(source)[:1].upper() + str(source)[1:].replace("_", " ")
        if len(paid):
            month = int(paid["months"].iloc[0])
            result = f"had come back after {month} month{'s' * (month > 1)}"
        else:
            share = cell_text(last["share"], "percent")
            result = f"has not come back within {int(last['months'])} months ({share})"
        sentences.append(f"{name}: a sign-up cost {cost}, which {result}.")
    return sentences
