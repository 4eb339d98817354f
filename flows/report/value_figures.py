"""Figures of risk and value, and of their tests: quadrant, deciles, reliability, gains."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd

from flows.report.chart_theme import ACCENT, INK, REFERENCE, SECOND, numbers_axis
from flows.report.churn_wording import ChurnWords
from flows.report.figure import Column, DataTable, Figure, cell_text
from models.explaining.segments import NAMES, Cuts

_MOST_POINTS = 2_500


def _segments_data(scores: pd.DataFrame) -> pd.DataFrame:
    """Sum customers, expected spend and expected leavers by stage and segment."""
    groups = scores.assign(
        eligible=scores["p_churn"].notna(), leavers=scores["p_churn"].astype(float)
    ).groupby(["stage", "segment"], observed=True)
    totals = groups[["clv", "leavers", "eligible"]].sum()
    return totals.assign(n=groups.size()).reset_index().sort_values("segment", ignore_index=True)


def quadrant_data(scores: pd.DataFrame, *, seed: int, most: int = _MOST_POINTS) -> pd.DataFrame:
    """Return stage, segment, p_churn and clv of active customers; at most a sample of `most`."""
    active = scores[scores["p_churn"].notna() & scores["clv"].notna()]
    if len(active) > most:
        chosen = np.random.default_rng(seed).choice(len(active), size=most, replace=False)
        active = active.iloc[np.sort(chosen)]
    return active[["stage", "segment", "p_churn", "clv"]].reset_index(drop=True)


def quadrant_figure(
    scores: pd.DataFrame,
    cutoffs: Cuts,
    colours: Mapping[str, str],
    *,
    horizons: tuple[int, int],
    currency: str,
    seed: int,
    churn: ChurnWords,
) -> Figure:
    """Draw `quadrant_data` with the cut-offs, and count `segments_data` beside it."""
    points, counts = quadrant_data(scores, seed=seed), _segments_data(scores)
    unit = f" ({currency})" if currency else ""
    risk_end = min(
        1.0, max(float(points["p_churn"].max()) * 1.04 if len(points) else 1.0, cutoffs.risk * 1.5)
    )
    risk_axis = alt.X(
        "p_churn:Q",
        scale=alt.Scale(domain=[0, risk_end], nice=False),
        axis=alt.Axis(format=".0%", tickCount=6),
        title=f"churn risk: chance of {churn.event} in {horizons[0]} days",
    )
    value_end = float(points["clv"].max()) if len(points) else 1.0
    linear_until = (
        max(cutoffs.value / 4, value_end / 1000, 1e-6)
        if np.isfinite(cutoffs.value)
        else max(value_end / 50, 1e-6)
    )
    y_scale = alt.Scale(
        type="symlog", constant=linear_until, domain=[0, max(value_end, 1e-6)], nice=False
    )
    value_axis = alt.Y(
        "clv:Q",
        scale=y_scale,
        axis=numbers_axis(tickCount=6),
        title=f"expected spend in {horizons[1]} days{unit}",
    )
    customer_dots = (
        alt.Chart(alt.NamedData("points"))
        .mark_circle(size=26, opacity=0.55)
        .encode(
            x=risk_axis,
            y=value_axis,
            color=alt.Color(
                "segment:N",
                scale=alt.Scale(
                    domain=list(NAMES[:4]), range=[colours[segment] for segment in NAMES[:4]]
                ),
                legend=alt.Legend(title=None),
            ),
            tooltip=[
                alt.Tooltip("segment:N"),
                alt.Tooltip("stage:N"),
                alt.Tooltip("p_churn:Q", title="churn risk", format=".1%"),
                alt.Tooltip("clv:Q", title=f"expected spend{unit}", format=",.0f"),
            ],
        )
    )
    limits = alt.Chart(alt.NamedData("limits"))
    risk_line = limits.mark_rule(strokeDash=[5, 4], color=INK, opacity=0.55).encode(x="risk:Q")
    value_line = limits.mark_rule(strokeDash=[5, 4], color=INK, opacity=0.55).encode(
        y=alt.Y("value:Q", scale=y_scale)
    )
    at_risk = counts[counts["segment"] == NAMES[0]]
    at_stake = cell_text(at_risk["clv"].sum(), "money", currency)
    sentence = (
        f"{int(at_risk['n'].sum()):,} customers with {at_stake} of expected spend are in the "
        f"segment {NAMES[0]}"
    )
    shown_of = len(points), int(scores["p_churn"].notna().sum())
    notes = [] if shown_of[0] == shown_of[1] else [
        f"The chart shows {shown_of[0]:,} of {shown_of[1]:,} {churn.population}, drawn at random; "
        "the table counts all of them."
    ]  # fmt: skip
    return Figure(
        key="quadrant",
        title="Risk and value: who to save, look after and grow",
        caption="Each dot is a customer. To the right of the vertical line the risk is above the "
        f"average in training ({cutoffs.risk:.0%}). Above the horizontal line the expected spend "
        f"belongs to the better half of buyers ({cell_text(cutoffs.value, 'money', currency)} or "
        "more). The lines change only with a new model version.",
        alt=f"Dots of churn risk against expected spend. {sentence}.",
        chart=customer_dots + risk_line + value_line,
        data={
            "points": points,
            "limits": pd.DataFrame(
                {"risk": [cutoffs.risk], "value": [min(cutoffs.value, value_end)]}
            ),
            "segments": counts,
        },
        table=DataTable(
            "segments",
            (Column("segment", "Segment"),),
            (
                Column("n", "Customers", "int"),
                Column("clv", "Expected spend", "money"),
                Column("leavers", "Expected leavers", "decimal"),
            ),
        ),
        filtered=("points", "segments"),
        height=430,
        wide=True,
        notes=notes,
    )


def deciles_figure(data: pd.DataFrame, *, tested_at: str, days: int, currency: str) -> Figure:
    """Draw `clv_deciles_data` of the evaluation plots: expected and actual spend by tenth."""
    unit = f", {currency}" if currency else ""
    tenth_rows = alt.Chart(alt.NamedData("deciles")).encode(
        x=alt.X("decile:O", title="tenth by expected spend (1: highest)",
                axis=alt.Axis(labelAngle=0))
    )  # fmt: skip
    y_title = f"average spend per customer in {days} days{unit}"
    bars = tenth_rows.mark_bar(color=ACCENT, opacity=0.55, width={"band": 0.68}).encode(
        y=alt.Y("actual:Q", title=y_title, axis=numbers_axis()),
        tooltip=_decile_tips(),
    )
    intervals = tenth_rows.mark_rule(color=INK, strokeWidth=1.5, opacity=0.8).encode(
        y="low:Q", y2="high:Q"
    )
    forecasts = tenth_rows.mark_point(
        shape="diamond", filled=True, size=90, color=SECOND, opacity=1
    ).encode(y="predicted:Q", tooltip=_decile_tips())
    customers = data["n"].sum()
    coverage = float((data["coverage"] * data["n"]).sum() / max(customers, 1))
    expected_share = float(
        (data["predicted"] * data["n"]).sum() / max((data["actual"] * data["n"]).sum(), 1e-9)
    )
    return Figure(
        key="deciles",
        title="Was the expected spend right?",
        caption="Customers are sorted by expected spend and split into ten groups of equal size. "
        "Bars show what each group spent on average, diamonds what the model expected, and lines "
        "the average 80 % interval: the range meant to contain 8 of 10 customers. If the bars fall "
        "from left to right, use the ranking for targeting; if the diamonds lie at the ends of the "
        "bars, use the amounts for budgets.",
        alt=f"Actual and expected spend in ten groups, tested at {tested_at}. The model expected "
        f"{expected_share:.0%} of the actual spend, and {coverage:.0%} of customers fell within "
        "their interval.",
        chart=bars + intervals + forecasts,
        data={"deciles": data},
        table=DataTable(
            "deciles",
            (
                Column("decile", "Tenth", "int"),
                Column("predicted", "Expected spend", "money"),
                Column("low", "80 % interval from", "money"),
                Column("high", "to", "money"),
                Column("actual", "Actual spend", "money"),
                Column("coverage", "Within interval", "percent"),
                Column("n", "Customers", "int"),
            ),
        ),
        height=330,
    )


def _decile_tips() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("decile:O", title="tenth"),
        alt.Tooltip("actual:Q", title="actual spend", format=",.2f"),
        alt.Tooltip("predicted:Q", title="expected spend", format=",.2f"),
        alt.Tooltip("low:Q", title="80 % interval from", format=",.2f"),
        alt.Tooltip("high:Q", title="to", format=",.2f"),
        alt.Tooltip("coverage:Q", title="within interval", format=".0%"),
    ]


def reliability_figure(
    data: pd.DataFrame, *, tested_at: str, days: int, churn: ChurnWords
) -> Figure:
    """Draw `reliability_data` of the evaluation plots; calibrated risks lie on the diagonal."""
    axis_end = float(max(data["high"].max(), data["predicted"].max())) * 1.03
    scale = alt.Scale(domain=[0, axis_end], nice=False)
    group_rows = alt.Chart(alt.NamedData("bins")).encode(
        x=alt.X("predicted:Q", scale=scale, title="predicted risk",
                axis=alt.Axis(format=".0%", tickCount=5))
    )  # fmt: skip
    share_axis = alt.Y(
        "observed:Q", scale=scale, title="share that left", axis=alt.Axis(format=".0%", tickCount=5)
    )
    diagonal = (
        alt.Chart(alt.NamedData("diagonal"))
        .mark_line(strokeDash=[5, 4], color=REFERENCE)
        .encode(x=alt.X("x:Q", scale=scale), y=alt.Y("y:Q", scale=scale))
    )
    intervals = group_rows.mark_rule(color=ACCENT, opacity=0.7).encode(
        y=alt.Y("low:Q", scale=scale), y2="high:Q"
    )
    group_dots = group_rows.mark_point(filled=True, size=60, color=ACCENT, opacity=1).encode(
        y=share_axis,
        tooltip=[
            alt.Tooltip("predicted:Q", title="predicted risk", format=".1%"),
            alt.Tooltip("observed:Q", title="share that left", format=".1%"),
            alt.Tooltip("n:Q", title="customers", format=","),
        ],
    )
    customers = int(data["n"].sum())
    inside = float(
        ((data["predicted"] >= data["low"]) & (data["predicted"] <= data["high"])).mean()
    )
    return Figure(
        key="reliability",
        title="Does a risk of 30 % mean 30 %?",
        caption="Customers are grouped by predicted risk. Each dot compares the predicted risk of "
        f"a group with the share that {churn.happened} in the following {days} days. Lines are "
        "95 % intervals: the range of that share that chance can explain. If the dots lie near the "
        "dashed line, you can multiply the risk by money.",
        alt=f"Predicted risk against actual share in {len(data)} groups of {customers:,} "
        f"customers, tested at {tested_at}. In {inside:.0%} of the groups the predicted risk lies "
        "within the 95 % interval.",
        chart=diagonal + intervals + group_dots,
        data={"bins": data, "diagonal": pd.DataFrame({"x": [0.0, axis_end], "y": [0.0, axis_end]})},
        table=DataTable(
            "bins",
            (
                Column("predicted", "Predicted risk", "percent"),
                Column("observed", "Share that left", "percent"),
                Column("low", "95 % interval from", "percent"),
                Column("high", "to", "percent"),
                Column("n", "Customers", "int"),
            ),
        ),
        height=330,
    )


def gains_figure(data: pd.DataFrame, *, tested_at: str) -> Figure:
    """Draw `gains_data` of the evaluation plots; a better ranking is steeper at the left."""
    axis = alt.Axis(format=".0%", tickCount=5)
    unit = alt.Scale(domain=[0, 1])
    curve = (
        alt.Chart(alt.NamedData("gains"))
        .mark_line(strokeWidth=2.5, color=ACCENT)
        .encode(
            x=alt.X(
                "contacted:Q", axis=axis, scale=unit, title="share of customers, highest risk first"
            ),
            y=alt.Y("captured:Q", axis=axis, scale=unit, title="share of all leavers among them"),
        )
    )
    tooltips = (
        alt.Chart(alt.NamedData("gains"))
        .mark_point(opacity=0, size=160)
        .encode(
            x="contacted:Q",
            y="captured:Q",
            tooltip=[
                alt.Tooltip("contacted:Q", title="share of customers", format=".0%"),
                alt.Tooltip("captured:Q", title="share of leavers", format=".0%"),
                alt.Tooltip("lift:Q", title="times a random list", format=".1f"),
            ],
        )
    )
    diagonal = (
        alt.Chart(alt.NamedData("diagonal"))
        .mark_line(strokeDash=[5, 4], color=REFERENCE)
        .encode(x="x:Q", y="y:Q")
    )
    first_fifth = data.iloc[int((data["contacted"] - 0.2).abs().to_numpy().argmin())]
    return Figure(
        key="gains",
        title="How many leavers does a short list reach?",
        caption=f"The {first_fifth['contacted']:.0%} of customers with the highest risk include "
        f"{first_fifth['captured']:.0%} of those who left: {first_fifth['lift']:.1f} times as many "
        "as a random list of the same length. Choose a length where the curve is still steep.",
        alt=f"Share of leavers by share of customers contacted, tested at {tested_at}: "
        f"{first_fifth['captured']:.0%} among the first {first_fifth['contacted']:.0%}.",
        chart=diagonal + curve + tooltips,
        data={"gains": data, "diagonal": pd.DataFrame({"x": [0, 1], "y": [0, 1]})},
        table=DataTable(
            "gains",
            (
                Column("contacted", "Customers addressed", "percent"),
                Column("captured", "Share of leavers", "percent"),
                Column("lift", "Times a random list", "decimal"),
            ),
        ),
        height=330,
    )
