"""Which column holds what an order line brought, so that adding it up gives what was paid."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from features.errors import Problems, UserError
from flows.setup import column_synonyms
from flows.setup.amount_by_content import likely_amounts, note_on_amounts
from flows.setup.column_synonyms import may_be_amount
from flows.setup.event_type_inference import role_of_table
from flows.setup.money_units import tell_money
from flows.setup.readings import counted, is_allowed
from flows.setup.source_draft import SourceProposal, best_column, used_columns
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_EQUAL_SHARE = (
    0.95  # share of the orders with several lines from which an amount is the order's total
)


_ONE_OF_TWO = 0.98  # share of a ledger's rows with either a debit or a credit
_GROWTH = 1.15  # mean total of orders with several lines, at least, by that of orders with one
_FEWEST_PRICES = 20  # from which their last digits say something
_OF_CUSTOMERS = 0.5  # as often as the other side's a side's rows must name a customer
_SAME_SUM = 0.002  # sums that differ by less are the same amounts


def propose_amount(
    found: SourceProposal,
    table: ProfiledTable,
    said: Mapping[str, ColumnProfile],
    order: ColumnProfile | None,
) -> None:
    """Set `value` (and `value_times`) of a source, with decimals and currency.

    Raises
    ------
    UserError
        Where the only amounts are order totals repeated on every line.
    """
    _require_numbers(table, said)
    if _propose_debits(found, table, said):
        return
    if "value" in said:
        found.columns["value"] = said["value"].name
        if "value_times" in said:
            found.columns["value_times"] = said["value_times"].name
        elif not found.preset and _of_the_order(found, said["value"], order, ~copied_rows(table)):
            _count_once(found, said["value"], order)
        tell_money(found, table, said["value"])
        return
    used = used_columns(found)
    numbers = {
        name: column
        for name, column in table.columns.items()
        if column.kind == "number" and name not in used and column.cells.notna().any()
    }
    pieces = said.get("value_times") or best_column(numbers, column_synonyms.QUANTITY)
    prices = best_column(numbers, column_synonyms.UNIT_PRICE)
    amounts = {
        name: c
        for name, c in numbers.items()
        if may_be_amount(name)
        and (pieces is None or name != pieces.name)
        and not (pieces is not None and prices is not None and name == prices.name)
    }
    amounts = _paid_when_dated(found, amounts) or amounts
    copies = copied_rows(table)
    whole = [name for name, c in amounts.items() if _of_the_order(found, c, order, ~copies)]
    value = best_column({n: c for n, c in amounts.items() if n not in whole}, column_synonyms.VALUE)
    if not amounts and prices is None and role_of_table(table) == "refund":
        value = best_column(numbers, column_synonyms.REFUNDED) or best_column(
            numbers, column_synonyms.VALUE
        )
    if value is None and not whole and (prices is None or pieces is None):
        by_content = _by_content(found, numbers, order, ~copies)
        if by_content is not None:
            found.columns["value"] = by_content.name
            _subtract_refunded(found, by_content, numbers, order)
            tell_money(found, table, by_content)
            return
    if value is None and prices is not None and pieces is not None:
        found.columns |= {"value": prices.name, "value_times": pieces.name}
        found.notes["value"] = f"CHECK: a price a piece, times {pieces.name!r}."
    elif value is not None:
        found.columns["value"] = value.name
        if whole:
            found.notes["value"] = f"of the line; {whole[0]!r} repeats the order's total."
        _subtract_refunded(found, value, numbers, order)
        _tell_alternative(found, value, amounts)
    elif whole:
        raise UserError(
            f"{table.name}: {whole[0]}",
            found="the same amount on every line of an order: the order's total, which would count "
            "once a line",
            expected="a column with the amount of each line, or one row an order",
            hint="add it to the export, or name it: --column value=COLUMN; or let each order count "
            f"once: --column 'value={whole[0]}'",
        )
    money = best_column(numbers, column_synonyms.VALUE) or value or prices
    if value is None and "value" not in found.columns:
        text = best_column(table.columns, column_synonyms.VALUE, lambda c: c.kind == "text")
        unread = f" ({text.name!r} is no number: currency signs, thousands?)" if text else ""
        found.notes["value"] = f"CHECK: no column of amounts was found{unread}."
    tell_money(found, table, money)


def _paid_when_dated(
    found: SourceProposal, amounts: Mapping[str, ColumnProfile]
) -> dict[str, ColumnProfile]:
    """The amounts that are empty or 0 in just the rows without a time: those that were paid."""
    time = found.columns["occurred_at"]
    column = found.table.columns[time["column"] if isinstance(time, dict) else time]
    undated = column.cells.isna().to_numpy()
    if not undated.any() or undated.all():
        return {}
    return {
        name: amount
        for name, amount in amounts.items()
        if ((amount.cells.fillna(0) == 0).to_numpy() == undated).mean() >= _ONE_OF_TWO
    }


def _by_content(
    found: SourceProposal,
    numbers: Mapping[str, ColumnProfile],
    order: ColumnProfile | None,
    rows: pd.Series,
) -> ColumnProfile | None:
    """The likeliest amount of rows that are no cases or visits, where no name tells; noted."""
    if role_of_table(found.table) not in (None, "purchase"):
        return None
    likely = [c for c in likely_amounts(numbers) if not _of_the_order(found, c, order, rows)]
    if not likely:
        return None
    found.notes["value"] = note_on_amounts(likely[0], likely[1:])
    return likely[0]


def _count_once(found: SourceProposal, total: ColumnProfile, order: ColumnProfile | None) -> None:
    """Let each order count once, where its total stands on all of its lines."""
    assert order is not None
    every_line = counted(found)
    found.event_id = order.name
    found.notes["event_id"] = (
        f"CHECK: {total.name!r} is the order's total on each of its lines, so each {order.name!r} "
        f"counts once, with what its last line says. All lines: {every_line}; once: "
        f"{counted(found)}."
    )


def _propose_debits(
    found: SourceProposal, table: ProfiledTable, said: Mapping[str, ColumnProfile]
) -> bool:
    """Take the debits of a ledger with one column of debits and one of credits.

    Every row has an amount in one of the two. The other column is taken if the user names it.
    """
    used = used_columns(found)
    numbers = {
        name: column
        for name, column in table.columns.items()
        if column.kind == "number" and name not in used and column.cells.notna().any()
    }
    debit = best_column(numbers, column_synonyms.DEBIT)
    credit = best_column(numbers, column_synonyms.CREDIT)
    if debit is None or credit is None or said.get("value", debit).name not in (
        debit.name, credit.name,
    ):  # fmt: skip
        return False
    has_debit, has_credit = (
        column.cells.reset_index(drop=True).fillna(0) != 0 for column in (debit, credit)
    )
    is_ledger = (has_debit ^ has_credit).mean() >= _ONE_OF_TWO
    if not is_ledger or not has_debit.any() or not has_credit.any():
        return False
    readings = {}
    sides = [(credit, debit), (debit, credit)]  # the last one is taken
    who = found.table.columns[found.columns["customer_id"]].cells.reset_index(drop=True)
    if who[has_debit].notna().mean() < _OF_CUSTOMERS * who[has_credit].notna().mean():
        sides.reverse()  # a business' own statement: customers stand beside what came in
    for column, other in sides:
        found.columns["value"] = column.name
        negative = (column.cells < 0).sum() > (column.cells > 0).sum()
        found.value_scale = -1.0 if negative else 1.0
        found.only = {column.name: ["<0" if negative else ">0"]}
        readings[column.name] = counted(found, is_allowed(found))
        if said.get("value") is column:
            tell_money(found, table, column)
            return True
        found.alternatives["value"] = (column.name, other.name)
    other, taken = sides[0][0], sides[1][0]
    words = {debit.name: "debits", credit.name: "credits"}
    found.notes["value"] = (
        f"CHECK: every row is a debit or a credit, and {words[taken.name]} are read as purchases: "
        f"{readings[taken.name]}; {words[other.name]}: {readings[other.name]}. For those: --column "
        f"'value={other.name}'."
    )
    tell_money(found, table, taken)
    return True


def _require_numbers(table: ProfiledTable, said: Mapping[str, ColumnProfile]) -> None:
    """Stop at columns of numbers that the user named, and that hold something else.

    Raises
    ------
    UserError
        Saying how many of their cells are no numbers.
    """
    problems = Problems()
    for name in ("value", "value_times"):
        column = said.get(name)
        if column is None or column.kind == "number":
            continue
        numbers = pd.to_numeric(column.cells, errors="coerce")
        unread = int((numbers.isna() & column.cells.notna()).sum())
        problems.add(
            UserError(
                f"--column {name}={column.name}",
                found=f"{unread:,} of {int(column.cells.notna().sum()):,} filled cells of "
                f"{table.name} that read as no number",
                expected="numbers like 1234.50, 1.234,50 or $1,234.50, one in each cell",
                hint="name another column; or leave the option out, and every order counts as 1",
            )
        )
    problems.refuse()


def _tell_alternative(
    found: SourceProposal, value: ColumnProfile, amounts: Mapping[str, ColumnProfile]
) -> None:
    """Note another column of amounts that adds up to something else: net beside gross."""
    chosen = value.cells.reset_index(drop=True)
    for name, column in amounts.items():
        cells = column.cells.reset_index(drop=True)
        ratio = (cells / chosen)[chosen.abs() > 0]
        # Amounts of the same thing, with and without tax: nearly the same ratio in all rows.
        both = ratio.dropna()
        alike = both.between(0.6, 1.7).mean() > _EQUAL_SHARE and len(both) > len(ratio) / 2
        if name == value.name or not alike or abs(cells.sum() / chosen.sum() - 1) < _SAME_SUM:
            continue
        note = found.notes.get("value", "")
        found.alternatives["value"] = (value.name, name)
        found.notes["value"] = (
            f"{note} CHECK: {value.name!r} adds up to {chosen.sum():,.2f} in the sampled rows, "
            f"{name!r} to {cells.sum():,.2f}. For the other: --column 'value={name}'."
        ).strip()
        return


def _subtract_refunded(
    found: SourceProposal,
    value: ColumnProfile,
    numbers: Mapping[str, ColumnProfile],
    order: ColumnProfile | None,
) -> None:
    """Set `value_less` where a column says how much of each amount was paid back."""
    if "net" in value.name.lower().replace("_", " ").split():
        return

    def is_part(column: ColumnProfile) -> bool:
        """Return True if every cell is a part of the amount in its row."""
        cells = column.cells.reset_index(drop=True).fillna(0)
        paid = value.cells.reset_index(drop=True).fillna(0)
        within = (cells >= 0) & (cells <= paid.abs() + 0.005)
        return (
            column.name != value.name
            and bool(within.all())
            and bool((cells > 0).any())
            and not _of_the_order(found, column, order, cells > 0)
        )

    refunded = best_column(numbers, column_synonyms.REFUNDED, is_part)
    if refunded is not None:
        found.columns["value_less"] = [refunded.name]
        note = found.notes.get("value", "")
        found.notes["value"] = f"{note} less {refunded.name!r}, paid back.".strip()


def copied_rows(table: ProfiledTable) -> pd.Series:
    """Whether each sampled row repeats an earlier one in every column."""
    cells = {name: column.cells.reset_index(drop=True) for name, column in table.columns.items()}
    return pd.DataFrame(cells).astype(str).duplicated()


def _of_the_order(
    found: SourceProposal, amount: ColumnProfile, order: ColumnProfile | None, rows: pd.Series
) -> bool:
    """Whether an amount is the same on all lines of (nearly) every order with several.

    Equal amounts on several days are payments, each of which counts.
    """
    if order is None:
        return False
    when = found.columns["occurred_at"]
    time = when["column"] if isinstance(when, dict) else when
    cells = {
        "order": order.cells.to_numpy(),
        "amount": amount.cells.to_numpy(),
        "time": found.table.columns[str(time)].cells.to_numpy(),
    }
    lines = pd.DataFrame(cells)[rows.to_numpy()].dropna()
    grouped = lines.groupby("order").agg({"amount": ["size", "nunique"], "time": "nunique"})
    several = grouped[grouped["amount"]["size"] > 1]
    same = several["amount"]["nunique"] == 1
    at_once = several["time"]["nunique"] == 1
    return (
        len(several) >= 5
        and bool(same.mean() >= _EQUAL_SHARE)
        and bool(at_once.mean() >= 1 - _EQUAL_SHARE)
        and _grows_with_lines(lines)
    )


def _grows_with_lines(lines: pd.DataFrame) -> bool:
    """Whether orders with more lines have larger amounts, as totals do and prices of one line not.

    True where too few orders tell.
    """
    orders = lines.groupby("order")["amount"].agg(["size", "first"])
    alone, several = orders["first"][orders["size"] == 1], orders["first"][orders["size"] > 1]
    if min(len(alone), len(several)) < _FEWEST_PRICES:
        return True
    return bool(several.mean() > _GROWTH * alone.mean())
