"""Currency, decimals and hundredths of the amounts of a proposed source."""

from __future__ import annotations

import re

import pandas as pd

from flows.setup import column_synonyms
from flows.setup.column_synonyms import MINOR_UNITS, plain_name
from flows.setup.readings import counted
from flows.setup.source_draft import SourceProposal, best_column
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_NO_CENTS = {"JPY", "KRW", "CLP", "HUF", "VND", "IDR", "PYG", "ISK", "UGX", "COP", "INR", "RSD"}
_EXPONENT = re.compile(r"(amount_|currency_)?(exponent|decimals?|decimal_places|precision|scale)")
_FEWEST_PRICES, _EQUAL_SHARE = (
    20,
    0.95,
)  # from which their last digits say something, and how many do


def tell_money(found: SourceProposal, table: ProfiledTable, money: ColumnProfile | None) -> None:
    """Set decimals and currency of a source."""
    if money is not None and money.kind == "number":
        found.decimals = _decimals(money.cells)
        _scale_cents(found, money)
        if money.thousands:
            _tell_thousands(found, money)
        elif found.value_scale == 1 and _may_be_cents(found, money):
            total = money.cells.sum()
            found.notes["value"] = (
                f"{found.notes.get('value', '')} CHECK: {money.name!r} holds whole numbers only, "
                f"as prices in cents do: {total:,.0f} in the sampled rows. If these "
                f"are hundredths ({total / 100:,.2f}), set `value_scale: 0.01`."
            ).strip()
    currency = best_column(table.columns, column_synonyms.CURRENCY, lambda c: c.distinct > 0)
    if currency is not None:
        found.currency = str(currency.cells.mode()[0])
        if currency.distinct > 1:
            found.currency = "mixed"
            _tell_currencies(found, currency)


def _scale_cents(found: SourceProposal, money: ColumnProfile) -> None:
    """Read whole amounts as cents, where the name of their column says so."""
    amounts = money.cells.dropna()
    named = money.name == found.columns.get("value")
    says_so = MINOR_UNITS.search(plain_name(money.name)) or _has_exponent(found, money)
    if not named or not says_so or (amounts % 1 != 0).any():
        return
    found.value_scale *= 0.01
    found.decimals = 2
    found.notes["value"] = (
        f"{found.notes.get('value', '')} CHECK: {money.name!r} is read as hundredths, by name: "
        f"{amounts.sum() / 100:,.2f} in the sampled rows, as written {amounts.sum():,.0f}. If it "
        "holds whole amounts, remove `value_scale`."
    ).strip()


def _has_exponent(found: SourceProposal, money: ColumnProfile) -> bool:
    """Whether a column beside an amount says that its last two digits are decimals."""
    parent = money.name.rpartition(".")[0]
    for column in found.table.columns.values():
        beside, _, name = column.name.rpartition(".")
        if beside == parent and _EXPONENT.fullmatch(plain_name(name)) and column.kind == "number":
            return bool((column.cells.dropna() == 2).all())
    return False


def _may_be_cents(found: SourceProposal, money: ColumnProfile) -> bool:
    """Whether whole amounts look like prices in hundredths, in a currency that has them."""
    cells = money.cells.dropna()
    cells = cells[cells != 0].abs()
    if money.name != found.columns.get("value") or len(cells) < _FEWEST_PRICES:
        return False
    currency = best_column(found.table.columns, column_synonyms.CURRENCY, lambda c: c.distinct > 0)
    codes = set() if currency is None else set(currency.cells.dropna().astype(str).str.upper())
    if not codes or codes & _NO_CENTS or (cells % 1 != 0).any() or (cells < 100).any():
        return False
    location = found.table.location
    first = location[0] if isinstance(location, tuple) else location
    if isinstance(first, str) and re.search(r"[.](jsonl?|ndjson)([.]\w+)?$", first.lower()):
        return True  # saved answers of an interface
    return bool((cells % 100).isin([0, 50, 90, 95, 99]).mean() >= _EQUAL_SHARE)


def _tell_thousands(found: SourceProposal, money: ColumnProfile) -> None:
    """Say that points are read as parting thousands, with the sum of either reading."""
    total = money.cells.sum()
    decimals = money.cells.where(money.cells.abs() < 1000, money.cells / 1000).sum()
    found.notes["value"] = (
        f"{found.notes.get('value', '')} CHECK: the points in {money.name!r} part thousands, since "
        f"three digits follow each: {total:,.0f} in the sampled rows. If they part decimals "
        f"({decimals:,.2f}), set `csv: {{decimal: '.'}}` and remove `decimals`."
    ).strip()


def _tell_currencies(found: SourceProposal, currency: ColumnProfile) -> None:
    """Keep the currency of each row for the guards of a run, and say what each comes to."""
    found.columns["currency"] = currency.name
    cells = currency.cells.reset_index(drop=True)
    by_money = cells.value_counts().index[:3]
    totals = "; ".join(f"{word}: {counted(found, cells == word)}" for word in by_money)
    found.notes["currency"] = (
        f"CHECK: amounts in {currency.distinct} currencies are added up as if they were one "
        f"({totals}). To keep one of them, add under the source: "
        f"only: {{{currency.name}: [{by_money[0]}]}}"
    )


def _decimals(cells: pd.Series) -> int:
    values = cells.dropna().head(10_000)
    for digits in range(2, 6):
        if ((values - values.round(digits)).abs() < 1e-9).mean() > 0.999:
            return digits
    return 6
