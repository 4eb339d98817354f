"""Columns that may be amounts by what they hold, where no name says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations

import pandas as pd

from flows.setup import column_synonyms, foreign_words
from flows.setup.column_synonyms import (
    is_code,
    is_no_amount,
    names_currency,
    plain_name,
    synonym_rank,
)
from flows.setup.table_profiling import ColumnProfile

_FEWEST_AMOUNTS = 5  # different ones; fewer are rates or kinds
_POSITIVE, _WITH_DECIMALS, _EQUAL_SHARE = 0.5, 0.05, 0.95
_MOST_NUMBERS, _MOST_ROWS, _CENT = 12, 20_000, 0.011
_ROUND, _LARGE = 10, 100  # whole amounts of currencies without cents
_NAMED = 3
_MEASURES = re.compile(foreign_words.MEASURES)


def likely_amounts(
    numbers: Mapping[str, ColumnProfile], among: Mapping[str, ColumnProfile] | None = None
) -> list[ColumnProfile]:
    """Columns that hold money by their cells, the likeliest first.

    Money is written with a currency sign, has up to two decimals, or is large and round; it is
    positive in most rows and varies. A quantity times a price, and the sum of two others, come
    first; then the largest sum.

    Parameters
    ----------
    numbers
        All columns of numbers.
    among
        Those that may be chosen; default: all.
    """
    fitting = [c for c in (numbers if among is None else among).values() if _may_be_money(c)]
    return sorted(fitting, key=lambda column: _strength(column, numbers), reverse=True)


def note_on_amounts(taken: ColumnProfile, others: list[ColumnProfile]) -> str:
    """What to say of a column that was taken by its content, with the others that may be."""
    note = (
        f"CHECK: no column is named like an amount; {taken.name!r} is taken, by its numbers: "
        f"{taken.cells.sum():,.2f} in the sampled rows."
    )
    if not others:
        return f"{note} For another: --column value=COLUMN."
    shown = ", ".join(f"{c.name!r} ({c.cells.sum():,.2f})" for c in others[:_NAMED])
    return f"{note} Or {shown}: --column 'value={others[0].name}'."


def _may_be_money(column: ColumnProfile) -> bool:
    plain = plain_name(column.name)
    if (
        is_no_amount(column.name)
        or _MEASURES.search(plain)
        or is_code(plain)
        or column.time is not None
    ):
        return False
    cells = column.cells.dropna()
    paid = cells[cells != 0]
    if not len(paid) or (paid > 0).mean() < _POSITIVE or column.distinct < 2:
        return False
    if _is_written_as_money(column):
        return True
    if paid.nunique() < _FEWEST_AMOUNTS:
        return False
    cents = (paid * 100 - (paid * 100).round()).abs() < 1e-6
    if not cents.all():
        return False
    has_decimals = (paid % 1 != 0).mean() >= _WITH_DECIMALS
    is_round = bool((paid % _ROUND == 0).all() and paid.max() >= _LARGE)
    return bool(has_decimals) or is_round


def _is_written_as_money(column: ColumnProfile) -> bool:
    return column.money or names_currency(plain_name(column.name))


def _strength(
    column: ColumnProfile, numbers: Mapping[str, ColumnProfile]
) -> tuple[bool, bool, float]:
    named = synonym_rank(column.name, column_synonyms.UNIT_PRICE) is None
    is_money = named and _is_written_as_money(column)
    return is_money, named and _follows(column, numbers), float(column.cells.sum())


def _follows(column: ColumnProfile, numbers: Mapping[str, ColumnProfile]) -> bool:
    """Whether a column is the product or the sum of two others in nearly all rows."""
    frame = pd.DataFrame({n: c.cells.to_numpy() for n, c in numbers.items() if n != column.name})
    frame = frame.fillna(0).head(_MOST_ROWS)
    own = column.cells.reset_index(drop=True).head(_MOST_ROWS)
    for first, second in combinations(list(frame)[:_MOST_NUMBERS], 2):
        left, right = frame[first], frame[second]
        if min((left != 0).mean(), (right != 0).mean()) < _WITH_DECIMALS:
            continue
        for whole in (left * right, left + right):
            if ((whole - own).abs() <= _CENT).mean() >= _EQUAL_SHARE and (left != 1).any():
                return True
    return False
