"""Purchases that several tables hold count once: those of the table that carries the amounts."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from features.contracts import LEFT_OUT
from features.sources.keys import key_values
from flows.setup.datetime_formats import TimeForm, read_times
from flows.setup.readings import amounts, counted, is_purchase
from flows.setup.source_draft import SourceProposal

_SAME_ORDERS, _SAME_DAYS = 0.5, 0.8  # share of the smaller table's orders, or customers' days


def settle_purchases(
    sources: Sequence[SourceProposal],
) -> tuple[list[SourceProposal], list[tuple[str, str]]]:
    """The sources in which every purchase counts once, and the tables left out with the reason."""
    kept: list[SourceProposal] = []
    left_out: list[tuple[str, str]] = []
    ranked = sorted(sources, key=_rank, reverse=True)
    for source in ranked:
        better = next((other for other in kept if _doubles(source, other)), None)
        if better is None:
            kept.append(source)
            continue
        reason = (
            f"CHECK: its purchases are those of {better.table.name}. They would count twice: "
            f"{counted(source, is_purchase(source))} beside {counted(better, is_purchase(better))}."
        )
        if _without_purchases(source):
            source.notes["event_type"] = f"{reason} Purchases are left out here."
            kept.append(source)
        else:
            left_out.append((source.table.name, reason))
    return [s for s in sources if any(s is each for each in kept)], left_out


def _rank(source: SourceProposal) -> tuple[bool, bool, int]:
    """Tables with amounts first; then lines joined to their orders; then the longer one."""
    lines = bool(source.lookups) and "payment" not in source.table.name.lower()
    return "value" in source.columns, lines, source.table.rows


def _doubles(source: SourceProposal, better: SourceProposal) -> bool:
    """Whether the purchases of a source are those of another, as well."""
    mine, others = is_purchase(source), is_purchase(better)
    if not mine.any() or not others.any():
        return False
    if "value" not in source.columns and "value" in better.columns:
        return True
    ids = [_cells(each, "order_id") for each in (source, better)]
    if ids[0] is not None and ids[1] is not None:
        return _shared(ids[0][mine], ids[1][others]) >= _SAME_ORDERS
    days = [_customer_days(each)[bought] for each, bought in ((source, mine), (better, others))]
    if "value" not in source.columns:
        return _shared(*days) >= _SAME_DAYS
    totals = []
    for each, bought in ((source, mine), (better, others)):
        amount = amounts(each)
        totals.append(0.0 if amount is None else float(amount[bought.to_numpy()].sum()))
    alike = min(totals) > 0.5 * max(totals)
    return alike and _shared(*days) >= _SAME_DAYS


def _cells(source: SourceProposal, name: str) -> pd.Series | None:
    column = source.columns.get(name)
    if column is None:
        return None
    return key_values(source.table.columns[column].cells.reset_index(drop=True))


def _customer_days(source: SourceProposal) -> pd.Series:
    when = source.columns["occurred_at"]["column"]
    column = source.table.columns[when]
    who = key_values(source.table.columns[source.columns["customer_id"]].cells)
    days = read_times(column.cells, column.time or TimeForm({})).dt.strftime("%Y-%m-%d")
    return (who + " " + days).reset_index(drop=True)


def _shared(mine: pd.Series, others: pd.Series) -> float:
    """Share of the values of the shorter list that stand in the other."""
    one, other = set(mine.dropna()), set(others.dropna())
    return len(one & other) / max(min(len(one), len(other)), 1)


def _without_purchases(source: SourceProposal) -> bool:
    """Leave the purchases of a source out of it; False where nothing else would be left."""
    kind = source.event_type
    if isinstance(kind, str) or not (set(source.roles) - {"purchase"}):
        return False
    words = {**kind.get("words", {}), **dict.fromkeys(source.roles["purchase"], LEFT_OUT)}
    source.event_type = {**kind, "words": words}
    source.roles = {role: types for role, types in source.roles.items() if role != "purchase"}
    return True
