"""Warnings about measured figures: where a forecast was far off at a test date, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MOST_BIAS = 15.0  # percent of the total
COVERAGE = (0.70, 0.90)  # of the 80 % interval at one date


def concerns(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Sentences about CLV totals, CLV intervals and churn rates that were far off.

    Parameters
    ----------
    records
        Figures as they stand in ``backtest.json``.

    Returns
    -------
    One sentence a finding with the figures and the likeliest cause, by date; empty where all is
    well.
    """
    found: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for one in records:
        if one["subset"] == "all" and one["value"] is not None:
            at = found.setdefault((str(one["snapshot_at"]), str(one["model"])), {})
            at[str(one["method"]), str(one["metric"])] = float(one["value"])
    told = []
    for (date, model), figures in sorted(found.items()):
        if model == "clv":
            told += [*_total(date, figures), *_interval(date, figures)]
        if model == "churn":
            told += _rate(date, figures)
    return told


def _total(date: str, figures: Mapping[tuple[str, str], float]) -> list[str]:
    bias = figures.get(("champion", "bias_pct"), 0.0)
    plain = figures.get(("btyd", "bias_pct"), 0.0)
    if abs(bias) <= MOST_BIAS:
        return []
    if plain * bias > 0 and abs(plain) > MOST_BIAS / 2:
        moved = "less" if bias > 0 else "more"
        why = (
            f"BTYD, which assumes that buyers keep their pace, is off by {plain:+.0f} % too: they "
            f"bought {moved} than before (season or trend), which no label known on that day shows"
        )
    else:
        why = (
            f"BTYD alone is off by {plain:+.0f} %: the correction learned from earlier dates did "
            "not hold at this one"
        )
    return [f"clv at {date}: expected spend was {bias:+.0f} % of the actual total off; {why}"]


def _interval(date: str, figures: Mapping[tuple[str, str], float]) -> list[str]:
    share = figures.get(("champion", "coverage"))
    if share is None or COVERAGE[0] <= share <= COVERAGE[1]:
        return []
    return [
        f"clv at {date}: the 80 % interval held {share:.0%} of the customers; spend drifted since "
        "the labels it was fitted on"
    ]


def _rate(date: str, figures: Mapping[tuple[str, str], float]) -> list[str]:
    bias = figures.get(("champion", "bias_pct"), 0.0)
    if abs(bias) <= MOST_BIAS:
        return []
    return [
        f"churn at {date}: expected leavers were {bias:+.0f} % of the actual number off; the base "
        "rate moved since the labels known on that day (season or trend). The order of customers "
        "is not touched by this"
    ]
