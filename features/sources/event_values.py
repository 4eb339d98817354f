"""Event type and amount of a row, where they rest on more than one cell."""

from __future__ import annotations

import functools
import operator
from typing import Any

import ibis
from ibis.expr.types import Table, Value

from features.config.sources import ColumnRef, CsvFormat, EventSource
from features.contracts import LEFT_OUT
from features.errors import Problems
from features.sources.column_parsing import parse_number
from features.sources.files import require_column, require_columns
from features.sources.key_columns import key_column, text_column

_DASHES = "^[ \t]*[-\u2010-\u2015\u2212]+[ \t]*$"


def fill_within_orders(
    table: Table, source: EventSource, config_place: str, problems: Problems
) -> Table:
    """Fill empty cells of `fill_within_order` from another line of the same order.

    Exports write what belongs to the whole order on its first line only. If the lines of an order
    say several things, an empty cell takes the first in sort order.
    """
    order_id = source.columns.order_id
    with problems.collect():
        require_columns(table, source.fill_within_order, f"{config_place}.fill_within_order")
    names = [name for name in source.fill_within_order if name in table.columns]
    if not names or order_id not in table.columns:
        return table
    order = ibis.window(group_by=key_column(table[order_id]))
    has_order = key_column(table[order_id]).notnull()
    filled = {}
    for name in names:
        cell = _word(table, name)
        same_order = has_order.ifelse(cell.min().over(order), ibis.null(cell.type()))
        filled[name] = cell.coalesce(same_order)
    return table.mutate(**filled)


def fill_from_columns(
    table: Table, source: EventSource, config_place: str, problems: Problems
) -> Table:
    """Fill empty cells of `fill_from` from other columns of the same row, in their order.

    The id 0 of a customer is that of all guests and counts as empty.
    """
    filled = {}
    for name, others in source.fill_from.items():
        with problems.collect():
            require_columns(table, (name, *others), f"{config_place}.fill_from")
        if name not in table.columns:
            continue
        is_customer = name == source.columns.customer_id
        names = [name, *(other for other in others if other in table.columns)]
        cells = [key_column(table[n]) if is_customer else _word(table, n) for n in names]
        if is_customer:
            cells = [cell.nullif("0") for cell in cells]
        elif len({cell.type() for cell in cells}) > 1:
            cells = [cell.cast("string") for cell in cells]
        filled[name] = ibis.coalesce(*cells)
    return table.mutate(**filled) if filled else table


def _word(table: Table, name: str) -> Value:
    """Return a column's cells, null where a text is blank."""
    column = table[name]
    return column.strip().nullif("") if column.type().is_string() else column


def event_type_column(
    table: Table, source: EventSource, config_place: str, problems: Problems
) -> Value:
    """Return the event type of each row: the constant, or what its columns and words say.

    Rows whose columns in `only` hold no allowed word have the type `LEFT_OUT`; null where all
    cells that could tell are empty.
    """
    type_names = source.event_type.columns if isinstance(source.event_type, ColumnRef) else ()
    cells: dict[str, Value] = {}
    for name in dict.fromkeys((*type_names, *source.only)):
        with problems.collect():
            cells[name] = text_column(require_column(table, name, f"{config_place}.event_type"))
    if not {*type_names, *source.only} <= set(cells):
        return ibis.null("string")
    event_type = _named_type(source.event_type, cells)
    for name, words in source.only.items():
        allowed = ibis.literal(True)
        with problems.collect():
            tests = [_allows(table, name, cells[name], word, source.csv) for word in words]
            allowed = functools.reduce(operator.or_, tests)
        event_type = allowed.fill_null(False).ifelse(event_type, ibis.literal(LEFT_OUT))
    return event_type


def _allows(table: Table, name: str, cell: Value, word: str, csv_format: CsvFormat) -> Value:
    """Whether a cell holds a word of `only`.

    ``*`` is any word, an empty one an empty cell; ``>0`` and ``<0`` compare numbers.
    """
    plain_word = word.replace(" ", "")
    if not plain_word:
        return cell.isnull()
    if plain_word == "*":
        return cell.notnull()
    if plain_word in (">0", "<0"):
        number = parse_number(table, name, csv_format, "only")
        return number > 0 if plain_word == ">0" else number < 0
    return cell.lower() == ibis.literal(word.strip()).lower()


def _named_type(event_type: str | ColumnRef, cells: dict[str, Value]) -> Value:
    """Return the type of each row by its cells and words."""
    if not isinstance(event_type, ColumnRef):
        return ibis.literal(event_type)
    written = cells[event_type.column]
    if event_type.otherwise is not None:
        written = written.coalesce(cells[event_type.otherwise])
    if "" in event_type.words:
        written = written.fill_null("")
    branches: list[tuple[Any, Any]] = [
        # The engine lowers both: Python makes two signs of the Turkish İ.
        (written.lower() == ibis.literal(word.strip()).lower(), ibis.literal(name))
        for word, name in event_type.words.items()
    ]
    return ibis.cases(*branches, else_=written) if branches else written


def amount_columns(
    table: Table, source: EventSource, config_place: str, problems: Problems
) -> tuple[Value, Value]:
    """Return the amount of each row (float64, null if unreadable), and whether its cell is filled.

    The amount is `value` times `value_times`, less `value_less` (empty cells count as 0), times
    `value_scale`; or `value_of_each`. What is less has any sign, and takes from the size of the
    amount: of a returned order of -100 with a discount of 10 (or -10) -90 go back.
    """
    columns = source.columns
    amount: Value = ibis.null("float64")
    filled: Value = ibis.literal(False)
    if source.value_of_each is not None:
        # The engine would read a bare number as a decimal of few digits.
        return ibis.literal(str(source.value_of_each)).cast("float64"), ibis.literal(True)
    if columns.value is None:
        return amount, filled

    def number(name: str, config_key: str) -> Value:
        with problems.collect():
            return parse_number(table, name, source.csv, f"{config_place}.{config_key}")
        return ibis.null("float64")

    amount = number(columns.value, "value")
    if columns.value in table.columns:
        filled = _is_filled(table[columns.value])
    if columns.value_times is not None:
        amount *= number(columns.value_times, "value_times")
    direction = (amount < 0).ifelse(-1.0, 1.0)
    for name in columns.value_less:
        less = number(name, "value_less").abs() * direction
        # An unreadable cell stays null, so that the row is bad and not too high.
        empty = ~_is_filled(table[name]) if name in table.columns else ibis.literal(True)
        amount -= empty.ifelse(0.0, less)
    if source.value_scale != 1:
        amount *= source.value_scale
    return amount, filled


def _is_filled(cell: Value) -> Value:
    """Whether a cell of numbers holds something: exports write dashes for nothing."""
    if not cell.type().is_string():
        return cell.notnull()
    return cell.notnull() & ~cell.re_search(_DASHES)
