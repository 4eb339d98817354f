"""The figure of silences: how many of the silent come back, the longer they have been silent."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from features.history.order_spells import Spells
from flows.setup.horizon_suggestions import RETURNING, Suggestion, gap_quantiles, return_curve
from models.plots.figure_style import COLOURS, TEXT_COLOUR, blank_figure


def return_figure_data(spells: Spells, suggestion: Suggestion) -> pd.DataFrame:
    """What `return_figure` draws.

    Returns
    -------
    DataFrame
        One row a point: line (``returning``: judged points of the curve; ``gaps``: share of
        customers' gaps longer than so many days; ``suggested``: the suggested L), days, share.
    """
    curve = return_curve(spells)
    judged = curve[curve["judged"]]
    quantiles = gap_quantiles(spells)
    parts = [
        pd.DataFrame({"line": "returning", "days": judged["days"], "share": judged["share"]}),
        pd.DataFrame(
            {
                "line": "gaps",
                "days": quantiles["per_customer"],
                "share": 1.0 - quantiles["quantile"],
            }
        ),
        pd.DataFrame(
            {"line": ["suggested"], "days": [suggestion.lapse_days], "share": [RETURNING]}
        ),
    ]
    return pd.concat(parts, ignore_index=True)


def return_figure(spells: Spells, suggestion: Suggestion, *, title: str = "Silence") -> Figure:
    """Draw `return_figure_data`: lapsed begins where hardly any of the silent come back."""
    data = return_figure_data(spells, suggestion)
    figure, axes = blank_figure(7.2, 4.6, title)
    names = {
        "returning": "of those silent for L days, buy in the next L",
        "gaps": "of customers' gaps, are longer than L",
    }
    for (line, label), colour in zip(names.items(), COLOURS, strict=False):
        rows = data[data["line"] == line]
        marker = "o" if line == "gaps" or len(rows) < 3 else ""
        axes.plot(
            rows["days"], rows["share"], color=colour, lw=1.8, marker=marker, ms=4, label=label
        )
    axes.axhline(RETURNING, color=TEXT_COLOUR, lw=1, ls="--")
    axes.annotate(
        f"{RETURNING:.0%}", (1, RETURNING), xycoords=("axes fraction", "data"), xytext=(4, -3),
        textcoords="offset points", color=TEXT_COLOUR, fontsize=9,
    )  # fmt: skip
    axes.axvline(suggestion.lapse_days, color=COLOURS[5], lw=1.2, ls=":")
    axes.annotate(
        f"suggested L = {suggestion.lapse_days}", (suggestion.lapse_days, 1),
        xycoords=("data", "axes fraction"), xytext=(5, -12), textcoords="offset points",
        color=COLOURS[5], fontsize=9,
    )  # fmt: skip
    top = max(0.2, float(data["share"].max()) * 1.12)
    axes.set(ylim=(0, min(top, 1.05)), xlabel="days of silence L", ylabel="share")
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0.93))
    return figure
