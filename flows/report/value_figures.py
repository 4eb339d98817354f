"""Figures of value and risk: the quadrant with its segments, and CLV by decile."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd

from flows.report.chart_theme import ACCENT, INK, REFERENCE, SECOND, numbers_axis
from flows.report.churn_wording import ChurnWords
from flows.report.figure import Column, Figure, Twin, shown
from models.explaining.segments import SEGMENT_NAMES, SegmentCutoffs

MOST_POINTS = 2_500


def segments_data(scores: pd.DataFrame) -> pd.DataFrame:
    """Customers, expected spend and expected leavers: stage, segment, n, clv, leavers, eligible."""
    groups = scores.assign(
        eligible=scores["p_churn"].notna(), leavers=scores["p_churn"].astype(float)
    ).groupby(["stage", "segment"], observed=True)
    sums = groups[["clv", "leavers", "eligible"]].sum()
    return sums.assign(n=groups.size()).reset_index().sort_values("segment", ignore_index=True)


def quadrant_data(scores: pd.DataFrame, *, seed: int, most: int = MOST_POINTS) -> pd.DataFrame:
    """Risk and value of active customers: stage, segment, p_churn, clv; at most so many, drawn."""
    active = scores[scores["p_churn"].notna() & scores["clv"].notna()]
    if len(active) > most:
        chosen = np.random.default_rng(seed).choice(len(active), size=most, replace=False)
        active = active.iloc[np.sort(chosen)]
    return active[["stage", "segment", "p_churn", "clv"]].reset_index(drop=True)


def quadrant(
    scores: pd.DataFrame,
    cut: SegmentCutoffs,
    colours: Mapping[str, str],
    *,
    horizons: tuple[int, int],
    currency: str,
    seed: int,
    churn: ChurnWords,
) -> Figure:
    """Draw `quadrant_data` with the cut-offs, and count `segments_data` beside it."""
    points, counts = quadrant_data(scores, seed=seed), segments_data(scores)
    unit = f" ({currency})" if currency else ""
    right = min(
        1.0, max(float(points["p_churn"].max()) * 1.04 if len(points) else 1.0, cut.risk * 1.5)
    )
    x = alt.X(
        "p_churn:Q",
        scale=alt.Scale(domain=[0, right], nice=False),
        axis=alt.Axis(format=".0%", tickCount=6),
        title=f"churn risk: chance of {churn.chance} in {horizons[0]} days",
    )
    top = float(points["clv"].max()) if len(points) else 1.0
    bend = max(cut.value / 4, top / 1000, 1e-6) if np.isfinite(cut.value) else max(top / 50, 1e-6)
    y_scale = alt.Scale(type="symlog", constant=bend, domain=[0, max(top, 1e-6)], nice=False)
    y = alt.Y(
        "clv:Q",
        scale=y_scale,
        axis=numbers_axis(tickCount=6),
        title=f"expected spend in {horizons[1]} days{unit}",
    )
    dots = (
        alt.Chart(alt.NamedData("points"))
        .mark_circle(size=26, opacity=0.55)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "segment:N",
                scale=alt.Scale(
                    domain=list(SEGMENT_NAMES[:4]), range=[colours[n] for n in SEGMENT_NAMES[:4]]
                ),
                legend=alt.Legend(title=None),
            ),
            tooltip=[
                alt.Tooltip("segment:N"),
                alt.Tooltip("stage:N"),
                alt.Tooltip("p_churn:Q", title="churn risk", format=".1%"),
                alt.Tooltip("clv:Q", title="expected spend", format=",.0f"),
            ],
        )
    )
    limits = alt.Chart(alt.NamedData("limits"))
    upright = limits.mark_rule(strokeDash=[5, 4], color=INK, opacity=0.55).encode(x="risk:Q")
    flat = limits.mark_rule(strokeDash=[5, 4], color=INK, opacity=0.55).encode(
        y=alt.Y("value:Q", scale=y_scale)
    )
    saved = counts[counts["segment"] == SEGMENT_NAMES[0]]
    said = (
        f"{int(saved['n'].sum()):,} customers with {shown(saved['clv'].sum(), 'money', currency)} "
        f"of expected spend are in the segment {SEGMENT_NAMES[0]}"
    )
    shown_of = len(points), int(scores["p_churn"].notna().sum())
    notes = [] if shown_of[0] == shown_of[1] else [
        f"The chart shows {shown_of[0]:,} of {shown_of[1]:,} {churn.of}, drawn at random; "
        "the table counts all."
    ]  # fmt: skip
    return Figure(
        key="quadrant",
        title="Risk and value: whom to save, look after, grow",
        says=f"Each dot is a customer. Right of the upright line they leave more often than the "
        f"average of the training ({cut.risk:.0%}); above the other one their expected spend is "
        f"that of the better half of buyers ({shown(cut.value, 'money', currency)}). The lines "
        "stay with the model version, so segments do not jump from night to night.",
        alt=f"Dots of churn risk against expected spend. {said}.",
        chart=dots + upright + flat,
        data={
            "points": points,
            "limits": pd.DataFrame({"risk": [cut.risk], "value": [min(cut.value, top)]}),
            "segments": counts,
        },
        twin=Twin(
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


def deciles(data: pd.DataFrame, *, tested_at: str, days: int, currency: str) -> Figure:
    """Draw `models.plots.evaluation_plots.clv_deciles_data`: what was expected, with its interval,
    and what came.
    """
    unit = f", {currency}" if currency else ""
    base = alt.Chart(alt.NamedData("deciles")).encode(
        x=alt.X("decile:O", title="tenth by expected spend (1: highest)",
                axis=alt.Axis(labelAngle=0))
    )  # fmt: skip
    y_title = f"mean spend a customer in {days} days{unit}"
    bars = base.mark_bar(color=ACCENT, opacity=0.55, width={"band": 0.68}).encode(
        y=alt.Y("actual:Q", title=y_title, axis=numbers_axis()),
        tooltip=_decile_tips(),
    )
    lines = base.mark_rule(color=INK, strokeWidth=1.5, opacity=0.8).encode(y="low:Q", y2="high:Q")
    dots = base.mark_point(shape="diamond", filled=True, size=90, color=SECOND, opacity=1).encode(
        y="predicted:Q", tooltip=_decile_tips()
    )
    n = data["n"].sum()
    coverage = float((data["coverage"] * data["n"]).sum() / max(n, 1))
    total = float(
        (data["predicted"] * data["n"]).sum() / max((data["actual"] * data["n"]).sum(), 1e-9)
    )
    return Figure(
        key="deciles",
        title="Was the expected spend right?",
        says="Bars are what customers spent, diamonds what had been expected, lines the mean 80 % "
        "interval of a customer. Tenths in the right order mean that the ranking can be used for "
        "targeting; diamonds at the bar ends mean that the amounts can be used for budgets.",
        alt=f"Actual and expected spend by tenth, tested at {tested_at}. In all {total:.0%} of the "
        f"actual spend was expected, and {coverage:.0%} of customers fell into their interval.",
        chart=bars + lines + dots,
        data={"deciles": data},
        twin=Twin(
            "deciles",
            (
                Column("decile", "Tenth", "int"),
                Column("predicted", "Expected", "money"),
                Column("low", "Interval from", "money"),
                Column("high", "to", "money"),
                Column("actual", "Actual", "money"),
                Column("coverage", "Within interval", "percent"),
                Column("n", "Customers", "int"),
            ),
        ),
        height=330,
    )


def _decile_tips() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("decile:O", title="tenth"),
        alt.Tooltip("actual:Q", format=",.2f"),
        alt.Tooltip("predicted:Q", title="expected", format=",.2f"),
        alt.Tooltip("low:Q", title="interval from", format=",.2f"),
        alt.Tooltip("high:Q", title="to", format=",.2f"),
        alt.Tooltip("coverage:Q", title="within interval", format=".0%"),
    ]


def reliability(data: pd.DataFrame, *, tested_at: str, days: int, churn: ChurnWords) -> Figure:
    """Draw `models.plots.evaluation_plots.reliability_data`: on the diagonal, a probability means
    what it says.
    """
    end = float(max(data["high"].max(), data["predicted"].max())) * 1.03
    scale = alt.Scale(domain=[0, end], nice=False)
    base = alt.Chart(alt.NamedData("bins")).encode(
        x=alt.X("predicted:Q", scale=scale, title="risk that was told",
                axis=alt.Axis(format=".0%", tickCount=5))
    )  # fmt: skip
    y = alt.Y(
        "observed:Q", scale=scale, title="share that left", axis=alt.Axis(format=".0%", tickCount=5)
    )
    diagonal = (
        alt.Chart(alt.NamedData("diagonal"))
        .mark_line(strokeDash=[5, 4], color=REFERENCE)
        .encode(x=alt.X("x:Q", scale=scale), y=alt.Y("y:Q", scale=scale))
    )
    lines = base.mark_rule(color=ACCENT, opacity=0.7).encode(
        y=alt.Y("low:Q", scale=scale), y2="high:Q"
    )
    dots = base.mark_point(filled=True, size=60, color=ACCENT, opacity=1).encode(
        y=y,
        tooltip=[
            alt.Tooltip("predicted:Q", title="told", format=".1%"),
            alt.Tooltip("observed:Q", title="left", format=".1%"),
            alt.Tooltip("n:Q", title="customers", format=","),
        ],
    )
    n = int(data["n"].sum())
    inside = float(
        ((data["predicted"] >= data["low"]) & (data["predicted"] <= data["high"])).mean()
    )
    return Figure(
        key="reliability",
        title="Does a risk of 30 % mean 30 %?",
        says=f"Customers are grouped by the risk they were given; each dot compares that with how "
        f"many of them {churn.did} in the following {days} days. Near the dashed line the "
        "number may be multiplied by money.",
        alt=f"Told risk against observed share in {len(data)} groups of {n:,} customers, tested at "
        f"{tested_at}. In {inside:.0%} of the groups the told risk lies within the 95 % interval.",
        chart=diagonal + lines + dots,
        data={"bins": data, "diagonal": pd.DataFrame({"x": [0.0, end], "y": [0.0, end]})},
        twin=Twin(
            "bins",
            (
                Column("predicted", "Told", "percent"),
                Column("observed", "Left", "percent"),
                Column("low", "95 % from", "percent"),
                Column("high", "to", "percent"),
                Column("n", "Customers", "int"),
            ),
        ),
        height=330,
    )


def gains(data: pd.DataFrame, *, tested_at: str) -> Figure:
    """Draw `models.plots.evaluation_plots.gains_data`: the steeper at the left, the better the
    ranking.
    """
    axis = alt.Axis(format=".0%", tickCount=5)
    unit = alt.Scale(domain=[0, 1])
    curve = (
        alt.Chart(alt.NamedData("gains"))
        .mark_line(strokeWidth=2.5, color=ACCENT)
        .encode(
            x=alt.X("contacted:Q", axis=axis, scale=unit, title="customers, highest risk first"),
            y=alt.Y("captured:Q", axis=axis, scale=unit, title="share of leavers among them"),
        )
    )
    hover = (
        alt.Chart(alt.NamedData("gains"))
        .mark_point(opacity=0, size=160)
        .encode(
            x="contacted:Q",
            y="captured:Q",
            tooltip=[
                alt.Tooltip("contacted:Q", title="customers", format=".0%"),
                alt.Tooltip("captured:Q", title="of leavers", format=".0%"),
                alt.Tooltip("lift:Q", title="times chance", format=".1f"),
            ],
        )
    )
    diagonal = (
        alt.Chart(alt.NamedData("diagonal"))
        .mark_line(strokeDash=[5, 4], color=REFERENCE)
        .encode(x="x:Q", y="y:Q")
    )
    at = data.iloc[int((data["contacted"] - 0.2).abs().to_numpy().argmin())]
    return Figure(
        key="gains",
        title="How many leavers does a short list catch?",
        says=f"Addressing the {at['contacted']:.0%} with the highest risk reaches "
        f"{at['captured']:.0%} of those who leave: {at['lift']:.1f} times as many as a list drawn "
        "at random. Choose a length where the curve is still steep.",
        alt=f"Share of leavers by share of customers addressed, tested at {tested_at}: "
        f"{at['captured']:.0%} among the first {at['contacted']:.0%}.",
        chart=diagonal + curve + hover,
        data={"gains": data, "diagonal": pd.DataFrame({"x": [0, 1], "y": [0, 1]})},
        twin=Twin(
            "gains",
            (
                Column("contacted", "Customers addressed", "percent"),
                Column("captured", "Leavers among them", "percent"),
                Column("lift", "Times chance", "decimal"),
            ),
        ),
        height=330,
    )
