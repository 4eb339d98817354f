"""After how many days customers order again, and what the limits of the stages mean on that."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd

from features.history.history import History
from features.history.order_spells import Spells
from flows.report.figure import Column, DataTable, Figure, cell_text

_FEWEST = 30  # silences that were watched for so long; longer ones are not drawn
_MOST_POINTS = 200


def order_gaps(history: History, at: int) -> pd.DataFrame:
    """Share of orders that were followed by another one, by days since; a mean over customers.

    Frequent customers have many orders; each customer counts the same here.

    Parameters
    ----------
    history
        Days of the customers.
    at
        Day number of the scores.

    Returns
    -------
    DataFrame
        days, share (0 to 1; orders without a next one count for as long as they were watched, by
        Kaplan and Meier), n (silences watched for longer). Empty without orders.
    """
    orders = history.roles.get("purchase")
    if orders is None or not (orders.settled.day < at).any():
        return pd.DataFrame(columns=["days", "share", "n"])
    spells = Spells.of(history, at)
    days = np.flatnonzero(spells.lasting[1] >= _FEWEST)
    weights = 1.0 / np.bincount(spells.customer)[spells.customer]
    size = int(spells.days.max()) + 2
    closed = spells.closed
    ended = np.bincount(spells.days[closed], weights=weights[closed], minlength=size)
    seen = np.bincount(spells.days, weights=weights, minlength=size)
    at_least = np.maximum(seen[::-1].cumsum()[::-1], 1e-12)
    share = 1.0 - np.cumprod(np.clip(1.0 - ended / at_least, 0.0, 1.0))
    return pd.DataFrame({"days": days, "share": share[days], "n": spells.lasting[1][days]})


def order_gaps_figure(gaps: pd.DataFrame, limits: Mapping[str, int]) -> Figure:
    """Draw `order_gaps` with limits in days, by what they mean."""
    shown = gaps.iloc[:: max(len(gaps) // _MOST_POINTS, 1)].reset_index(drop=True)
    marks = pd.DataFrame(
        [(days, words, _share(gaps, days)) for words, days in limits.items()],
        columns=["days", "limit", "share"],
    )
    line = (
        alt.Chart(alt.NamedData("gaps"))
        .mark_line(strokeWidth=2.5, color="#1D5A94", interpolate="step-after")
        .encode(
            x=alt.X("days:Q", title="days since an order", axis=alt.Axis(tickCount=8)),
            y=alt.Y(
                "share:Q",
                title="have ordered again",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format=".0%", tickCount=5),
            ),
            tooltip=[
                alt.Tooltip("days:Q", title="days since an order"),
                alt.Tooltip("share:Q", title="have ordered again", format=".1%"),
            ],
        )
    )
    limit_chart = alt.Chart(alt.NamedData("limits")).encode(x="days:Q")
    rules = limit_chart.mark_rule(strokeDash=[5, 4], color="#8A6D1D", strokeWidth=1.5)
    words = limit_chart.mark_text(align="left", dx=5, dy=-6, angle=270, color="#8A6D1D").encode(
        text="limit:N", y=alt.value(200)
    )
    return Figure(
        key="gaps",
        title="When customers order again",
        caption="Where the line goes flat, customers hardly come back by themselves: "
        "write before that. Every customer counts the same; recent orders count only for the days "
        "since them.",
        alt="A rising line: share of customers who have ordered again, by days since an order. "
        + limit_sentence(gaps, limits),
        chart=alt.layer(line, rules, words) if len(marks) else line,
        data={"gaps": shown, "limits": marks},
        table=DataTable(
            "gaps",
            (
                Column("days", "Days since an order", "int"),
                Column("share", "Have ordered again", "percent"),
                Column("n", "Watched for longer", "int"),
            ),
        ),
        height=280,
        notes=[limit_sentence(gaps, limits)],
    )


def limit_sentence(gaps: pd.DataFrame, limits: Mapping[str, int]) -> str:
    """Say how many have ordered again by each limit, and how many come back after the longest."""
    parts = [
        f"{_of_100(_share(gaps, days))} customers have ordered again {days} days after an order "
        f"(limit of {words})"
        for words, days in _joined(limits)
        if days <= gaps["days"].max()
    ]
    last_day, last = int(gaps["days"].max()), float(gaps["share"].iloc[-1])
    if not parts:
        return f"{_of_100(last)} customers have ordered again {last_day} days after an order."
    longest = max(days for days in limits.values() if days <= last_day)
    rest = 1.0 - _share(gaps, longest)
    text = "; ".join(parts)
    if rest > 0 and last_day > longest:
        back = (last - _share(gaps, longest)) / rest
        text += (
            f". Of those silent for longer than {longest} days, {_of_100(back)} order again by day "
            f"{last_day} after that order"
        )
    return text + "."


def _joined(limits: Mapping[str, int]) -> list[tuple[str, int]]:
    """Limits by their days; those with the same number of days are one."""
    names: dict[int, list[str]] = {}
    for name, days in limits.items():
        names.setdefault(days, []).append(name)
    return [(" and ".join(words), days) for days, words in names.items()]


def _of_100(share: float) -> str:
    return f"{cell_text(100 * share, 'int')} of 100"


def _share(gaps: pd.DataFrame, days: int) -> float:
    """Share at a number of days; that of the last known day beyond it."""
    place = int(np.searchsorted(gaps["days"], days, side="right")) - 1
    return float(gaps["share"].iloc[max(place, 0)])
