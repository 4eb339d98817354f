"""Contracts with a start and an end, and movements of recurring revenue: what of them counts."""

from __future__ import annotations

import re

import pandas as pd

from flows.setup import foreign_words
from flows.setup.column_synonyms import plain_name, synonym_rank
from flows.setup.datetime_formats import TimeForm, read_times
from flows.setup.order_state_inference import words_of
from flows.setup.readings import counted
from flows.setup.source_draft import SourceProposal, used_columns
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_LINK = r"(_?(date|at|on|time|day|dt|ts))?"
START = (
    rf"(contract|subscription|membership|policy|plan|lease|term|period|abo)?s?_?"
    rf"(start|started|begin|begins|from|valid_?from|activat(ed|ion)|sign_?ed){_LINK}"
    rf"|current_period_start{_LINK}",
    foreign_words.CONTRACT_START,
)
_END = (
    rf"(contract|subscription|membership|policy|plan|lease|term|period|abo)?s?_?"
    rf"(end|ended|ends|until|to|valid_?(to|until)|cancel(l?ed|lation)?|terminat(ed|ion)|expir(es|ed|y"
    rf"|ation)|churn(ed)?|closed){_LINK}|current_period_end{_LINK}",
    foreign_words.CONTRACT_END,
)
_AFTER = 0.95  # share of the ends that lie on the start or behind it
_PLANNED = 0.95  # share of the contracts with an end from which ends are terms, not cancellations
_MOST_TO_COME, _LONGEST_TAIL = 0.05, 31  # share of the ends so many days behind the last start
_GROWS = "new|new_business|expansion|upgrade|upsell|reactivation|renewal|renewed|resubscribed"
_SHRINKS = "contraction|downgrade|downsell|pause|paused"
_LEAVES = "churn|churned|cancel(led|lation|ed)?|termination|lost"
_FEWEST_MOVEMENTS = 3


def propose_movements(found: SourceProposal, table: ProfiledTable) -> bool:
    """Read a table of MRR movements (new, expansion, contraction, churn); False for others."""
    for column in table.columns.values():
        if column.kind != "text" or column.name in used_columns(found) or column.filled < 1:
            continue
        words = {word: plain_name(word).removesuffix("_mrr") for word in words_of(column)}
        kinds = {
            word: next(
                (
                    kind
                    for kind, pattern in (("purchase", _GROWS), ("", _SHRINKS), ("cancel", _LEAVES))
                    if re.fullmatch(pattern, plain)
                ),
                None,
            )
            for word, plain in words.items()
        }
        if len(kinds) < _FEWEST_MOVEMENTS or None in kinds.values():
            continue
        roles: dict[str, list[str]] = {}
        for word, kind in kinds.items():
            if kind:
                roles.setdefault(kind, []).append(word)
        if "purchase" not in roles:
            continue
        found.event_type, found.roles = {"column": column.name}, roles
        found.ignored = [word for word, kind in kinds.items() if not kind]
        bought = column.cells.isin(roles["purchase"]).reset_index(drop=True)
        found.notes["event_type"] = (
            f"CHECK: movements of recurring revenue: {', '.join(roles['purchase'])} count as "
            f"purchases, once each ({counted(found, bought)}), and not every payment. For revenue "
            "and churn of contracts bring the payments too (docs/howto-subscriptions.md)."
        )
        return True
    return False


def contract_ends(found: SourceProposal, table: ProfiledTable) -> SourceProposal | None:
    """Note that rows are contracts with a start and an end; their ends as cancellations.

    None for tables of something else, and where the ends are planned days and no cancellations.
    """
    when = found.columns["occurred_at"]["column"]
    start = table.columns[when]
    is_contract = not found.preset and synonym_rank(when, START) is not None
    end = _end_column(table, start) if is_contract else None
    if end is None or found.event_type not in ("purchase", "touch"):
        return None
    found.event_type = "purchase"
    ends = _days(end)
    # Later ends would move the end of the data to where nothing is known of new contracts.
    to_come = ends > _days(start).max() + pd.Timedelta(days=_LONGEST_TAIL)
    planned = end.filled >= _PLANNED or float(to_come.sum()) > _MOST_TO_COME * ends.notna().sum()
    ended = f"{int(ends.notna().sum()):,} of {table.rows:,} contracts"
    found.notes["event_type"] = (
        f"CHECK: contracts with a start and an end ({end.name!r}): each counts as one purchase on "
        f"its start ({counted(found)}), and not every payment or renewal. "
        + (
            f"Ends of {ended} are planned, or lie behind the last start, and are left out. "
            if planned
            else f"Ends of {ended} count as cancellations. "
        )
        + "For revenue and churn of contracts bring the payments too "
        "(docs/howto-subscriptions.md)."
    )
    if planned:
        return None
    form = end.time or TimeForm({})
    zone = found.columns["occurred_at"].get("zone", "UTC")
    moment = {"column": end.name, **form.keys, **({"zone": zone} if form.naive else {})}
    cancelled = SourceProposal(table, found.lookups, event_type="cancel", only={end.name: ["*"]})
    cancelled.columns = {"customer_id": found.columns["customer_id"], "occurred_at": moment}
    return cancelled


def _end_column(table: ProfiledTable, start: ColumnProfile) -> ColumnProfile | None:
    starts = _days(start)
    for column in table.columns.values():
        if column.time is None or column.name == start.name or column.filled == 0:
            continue
        if synonym_rank(column.name, _END) is None:
            continue
        ends = _days(column)
        both = ends.notna() & starts.notna()
        if both.any() and float((ends[both] >= starts[both]).mean()) >= _AFTER:
            return column
    return None


def _days(column: ColumnProfile) -> pd.Series:
    moments = read_times(column.cells, column.time or TimeForm({}))
    return moments.dt.normalize().reset_index(drop=True)
