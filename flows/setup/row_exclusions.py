"""Rows that are no orders or no customers by themselves: tests, guests, entries without amounts."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from features.contracts import LEFT_OUT
from flows.setup import column_synonyms
from flows.setup.column_synonyms import plain_name, role_of
from flows.setup.order_state_inference import words_of
from flows.setup.order_states import says_yes
from flows.setup.readings import counted, is_purchase
from flows.setup.source_draft import SourceProposal, best_column, used_columns
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_TEST = re.compile(
    r"(is_)?(dry_?run|test|sandbox|dummy)(_?(mode|orders?|payments?|transactions?|purchases?|data|flag|row))?"
    r"|test_?(bestellung|zahlung)|(commande|pedido|ordine)_(de_|di_)?(test|prueba|prova)"
)
_LIVE = re.compile(r"(is_)?(live|production)(_?mode)?")
_MODE = re.compile(r"(payment_?|order_?)?(mode|environment|env)")
_LIVE_WORDS, _TEST_WORDS = {"live", "production", "prod"}, {"test", "testing", "sandbox", "staging"}
_MOST_WORDS, _FULL = 30, 0.99
_FEWEST_ROWS = 5  # with or without an amount, from which a word says something


def leave_out_tests(found: SourceProposal, table: ProfiledTable) -> None:
    """Leave out rows that a column marks as tests: by a flag, or by a mode (live, test)."""
    for column in table.columns.values():
        if column.name in used_columns(found) or column.filled == 0:
            continue
        words = words_of(column)
        tests = [word for word in words if _is_test(column.name, word.lower())]
        real = [word for word in words if _is_test(column.name, word.lower()) is False]
        if not tests or not real or len(tests) + len(real) < len(words):
            continue
        every = counted(found, is_purchase(found))
        found.only[column.name] = real if column.filled == 1 else [*real, ""]
        note = (
            f"CHECK: rows are tests where {column.name!r} is {' or '.join(map(repr, tests))}, and "
            f"are left out. With them: {every}; without: {counted(found, is_purchase(found))}."
        )
        found.notes["only"] = f"{found.notes.get('only', '')} {note}".strip()


def _is_test(name: str, word: str) -> bool | None:
    """Whether a word marks a test, by the name of its column; None where it tells nothing."""
    plain = plain_name(name.rsplit(".", 1)[-1])
    if _MODE.fullmatch(plain):
        return True if word in _TEST_WORDS else False if word in _LIVE_WORDS else None
    is_live = _LIVE.fullmatch(plain) is not None
    if not is_live and not _TEST.fullmatch(plain):
        return None
    said = says_yes(word)
    return None if said is None else said != is_live


def fill_guests(found: SourceProposal, table: ProfiledTable) -> None:
    """Let the e-mail address say who a guest is: a row with the customer id 0, or with none."""
    name = found.columns["customer_id"]
    mail = best_column(table.columns, column_synonyms.EMAIL, lambda c: c.kind == "text")
    if mail is None or mail.name == name or "anonymous_id" in found.columns:
        return
    cells = table.columns[name].cells.reset_index(drop=True)
    is_guest = cells.isna() | cells.astype(str).isin(["0", "0.0"])
    addresses = mail.cells.reset_index(drop=True)
    if is_guest.all() or not (is_guest & addresses.notna()).any():
        return
    found.fill_from[name] = [mail.name]
    found.notes["customer_id"] = (
        f"CHECK: empty or 0 in {is_guest.mean():.1%} of the sampled rows: guests, who are known by "
        f"{mail.name!r} ({addresses[is_guest].nunique():,} of them). Someone with both counts as "
        "two customers."
    )


def propose_paid_words(found: SourceProposal, table: ProfiledTable) -> bool:
    """Let a column say which rows are purchases: those of its words that have amounts.

    Points that are redeemed stand among purchases, without an amount.
    """
    value = table.columns[found.columns["value"]]
    if value.filled >= _FULL or "value_times" in found.columns:
        return False
    has_amount = value.cells.notna().reset_index(drop=True)

    def divides(column: ColumnProfile) -> bool:
        if column.kind != "text" or column.name in used_columns(found) or column.filled < _FULL:
            return False
        if not 2 <= column.distinct <= _MOST_WORDS:
            return False
        groups = has_amount.groupby(column.cells.reset_index(drop=True))
        shares, sizes = groups.mean(), groups.size()
        return bool(np.isin(shares, [0.0, 1.0]).all()) and all(
            sizes[shares == share].sum() >= _FEWEST_ROWS for share in (0.0, 1.0)
        )

    fitting = {name: column for name, column in table.columns.items() if divides(column)}
    named = best_column(fitting, column_synonyms.EVENT_TYPE)
    column = named or min(fitting.values(), key=lambda c: c.distinct, default=None)
    if column is None:
        return False
    cells = column.cells.reset_index(drop=True)
    paid = pd.Series(has_amount.to_numpy()).groupby(cells).all()
    words = {
        word: LEFT_OUT
        if not paid.get(word, False)
        else "refund"
        if role_of(word)[1] == "refund"
        else "purchase"
        for word in words_of(column)
    }
    found.event_type = {"column": column.name, "words": words}
    left_out = ", ".join(repr(word) for word, kind in words.items() if kind == LEFT_OUT)
    amounts = "; ".join(
        f"{word!r} as {kind}: {counted(found, cells == word)}"
        for word, kind in words.items()
        if kind != LEFT_OUT
    )
    found.notes["event_type"] = (
        f"CHECK: rows with {left_out} in {column.name!r} have no amount and are left out. "
        f"{amounts}."
    )
    return True
