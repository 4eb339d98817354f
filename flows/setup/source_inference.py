"""What the columns of an undescribed table most likely are, as a source of a config."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from features.config.sources import ATTRIBUTE_NAME
from features.contracts import EVENT_COLUMNS
from features.errors import Problems, UserError
from flows.setup import column_synonyms, foreign_words
from flows.setup.amount_inference import copied_rows, propose_amount
from flows.setup.column_synonyms import plain_name, snake_case, synonym_rank
from flows.setup.contracts import START
from flows.setup.customer_by_content import likely_customers, note_on_customers
from flows.setup.customer_column import customer_of, note_on_names, note_on_surnames
from flows.setup.datetime_formats import read_times
from flows.setup.event_type_inference import propose_types
from flows.setup.order_column import order_column
from flows.setup.order_state_inference import words_of
from flows.setup.period_text import example_of_periods
from flows.setup.presets import (
    apply_preset,
    clock_zone,
    preset_columns,
    preset_named,
    recognise,
    type_column,
)
from flows.setup.readings import counted, is_purchase
from flows.setup.row_exclusions import fill_guests, leave_out_tests
from flows.setup.rows_without_amounts import leave_out_suppliers, leave_out_unpaid
from flows.setup.source_draft import Lookup, SourceProposal, best_column, used_columns
from flows.setup.subtotals import leave_out_subtotals
from flows.setup.table_profiling import ColumnProfile, ProfiledTable
from flows.setup.time_by_content import note_on_time, time_by_content
from flows.setup.unread_times import refuse_other_calendar, why_no_time

MOST_ATTRIBUTES, MOST_CHOICES = 6, 500
_LONGEST_LAG = pd.Timedelta(days=30)
FIELDS = (
    "customer_id",
    "anonymous_id",
    "occurred_at",
    "known_at",
    "value",
    "value_times",
    "order_id",
    "event_type",
    "event_id",
    "session_id",
    "channel",
    "is_machine",
)
_FEWEST_COLUMNS = 4  # narrower tables hold equal rows by chance
_WON = re.compile(rf"(^|_)won(_|$)|closedwon|{foreign_words.DEAL_WON}")
_CODES = re.compile(r".*(id|code|nr|no|number|key|store|shop|size)$")


def time_of(table: ProfiledTable) -> ColumnProfile | None:
    """The column that says when."""

    def moment(column: ColumnProfile) -> bool:
        return (
            column.time is not None and synonym_rank(column.name, column_synonyms.NOT_TIME) is None
        )

    named = _closing_time(table) or best_column(table.columns, column_synonyms.TIME, moment)
    others = [c for c in table.columns.values() if moment(c) and c.kind != "number"]
    named = named or best_column(table.columns, START, moment)
    return named or time_by_content(others)


def _closing_time(table: ProfiledTable) -> ColumnProfile | None:
    """When deals were won, where a column of stages says that some were."""
    stages = best_column(
        table.columns,
        column_synonyms.STATUS,
        lambda c: any(_WON.search(plain_name(word)) for word in words_of(c)),
    )
    won = any(re.fullmatch("(is_)?(closed_)?won", snake_case(name)) for name in table.columns)
    if stages is None and not won:
        return None
    return best_column(table.columns, column_synonyms.CLOSED, lambda c: c.time is not None)


def columns_said(settings: list[str]) -> dict[str, str]:
    """Event column: table column, of the options FIELD=COLUMN.

    Raises
    ------
    UserError
        For an option of another form.
    """
    given = {}
    for setting in settings:
        name, sign, column = setting.partition("=")
        if not sign or name not in FIELDS or not column:
            raise UserError(
                f"--column {setting}",
                found=repr(name),
                expected=f"FIELD=COLUMN, where FIELD is one of: {', '.join(FIELDS)}",
            )
        given[name] = column
    return given


def propose_source(
    table: ProfiledTable,
    *,
    zone: str,
    lookups: tuple[Lookup, ...] = (),
    given: Mapping[str, str] | None = None,
    preset: str | None = None,
) -> SourceProposal:
    """The likeliest meaning of a table's columns.

    Parameters
    ----------
    table
        From `inspect`; with the columns of its lookups.
    zone
        Of clock times that tell none.
    given
        Event column: table column, as the user said.
    preset
        Name of a preset to take, whatever the columns; default: the one that they are known by.

    Raises
    ------
    UserError
        Where no column says who or when, or an amount cannot be added up.
    """
    said = {name: table.columns[column] for name, column in (given or {}).items()}
    taken = preset or recognise(table)
    found = SourceProposal(table, lookups, preset=taken or "")
    form = None if taken is None else preset_named(taken)
    if form is not None:
        said = {**preset_columns(form, table), **said}
        zone = clock_zone(form, said.get("occurred_at")) or zone
    problems = Problems()
    with problems.collect():
        _who(found, table, said)
    with problems.collect():
        _when(found, table, said, zone)
    if problems.errors:
        raise missing_columns(table, problems)
    order = said.get("order_id")
    if order is None and form is None:
        order = order_column(found, table)
    if order is not None:
        found.columns["order_id"] = order.name
    if form is None or "value" in said:
        propose_amount(found, table, said, order)
    types = said.get("event_type") or (None if form is None else type_column(form, table))
    if form is None or types is not None:
        propose_types(found, table, said if types is None else {**said, "event_type": types})
    if form is not None:
        apply_preset(found, form)
    else:
        leave_out_tests(found, table)
        leave_out_subtotals(found, table)
        leave_out_suppliers(found)
        leave_out_unpaid(found)
    _rest(found, table, said)
    _attributes(found, table)
    for name, column in said.items():
        if name not in FIELDS and name not in found.columns:
            found.columns[name] = column.name
    return found


def missing_columns(table: ProfiledTable, problems: Problems) -> UserError:
    """What a table lacks, with one command that names all of it."""
    error = problems.joined()
    if len(problems.errors) < 2:
        return error
    return UserError(
        table.name,
        found="; ".join(str(problem.found) for problem in error.problems),
        expected="; ".join(problem.expected for problem in error.problems),
        hint="name them: stagecast init "
        f"{shlex.quote(table.name)} --column customer_id=COLUMN --column occurred_at=COLUMN",
    )


def _names(table: ProfiledTable) -> str:
    names = list(table.columns)
    return ", ".join(names[:15]) + (", ..." if len(names) > 15 else "")


def _who(found: SourceProposal, table: ProfiledTable, said: Mapping[str, ColumnProfile]) -> None:
    named = said.get("customer_id") or customer_of(table)
    column = named or next(iter(likely_customers(table)), None)
    if column is None:
        raise UserError(
            table.name,
            found=f"no column that names the customer (columns: {_names(table)})",
            expected="a column like customer_id, user_id or client_no",
            hint="name it: --column customer_id=COLUMN",
        )
    found.columns["customer_id"] = column.name
    found.notes["customer_id"] = "" if named else note_on_customers(table, column)
    found.notes["customer_id"] += note_on_surnames(table, column)
    if "customer_id" not in said:
        found.notes["customer_id"] += note_on_names(table, column)
    if synonym_rank(column.name, column_synonyms.EMAIL) is not None:
        found.notes["customer_id"] += (
            " CHECK: e-mail addresses as ids stand in every table and export; a key is better"
        )
    elif column.filled < 1:
        found.notes["customer_id"] += (
            f" empty in {1 - column.filled:.1%} of the sampled rows: guests, who are set aside"
        )
    unknown = said.get("anonymous_id") or best_column(table.columns, column_synonyms.ANONYMOUS)
    if unknown is not None and unknown.name != column.name:
        found.columns["anonymous_id"] = unknown.name
    if not found.preset and "customer_id" not in said:
        fill_guests(found, table)


def _when(
    found: SourceProposal, table: ProfiledTable, said: Mapping[str, ColumnProfile], zone: str
) -> None:
    column = said.get("occurred_at") or time_of(_own_columns(found, table)) or time_of(table)
    near = column or best_column(table.columns, column_synonyms.TIME)
    if near is not None:
        refuse_other_calendar(table, near)
    if column is None or column.time is None:
        _refuse_periods(table, column)
        raise UserError(
            table.name,
            found=f"no column that says when (columns: {_names(table)})"
            f"{why_no_time(table, column)}",
            expected="dates like 2024-01-31 or 31.01.2024, times with or without an offset, or "
            "seconds since 1970",
            hint="name it: --column occurred_at=COLUMN, or write its dates in one of these forms",
        )
    found.columns["occurred_at"] = _moment(column, zone)
    found.notes["occurred_at"] = _doubts(column, zone)
    if "occurred_at" not in said:
        found.notes["occurred_at"] += note_on_time(table, column)
    known = said.get("known_at") or best_column(
        table.columns, column_synonyms.KNOWN, lambda c: c.time is not None
    )
    if known is None or known.time is None or known.name == column.name:
        return
    lag = read_times(known.cells, known.time) - read_times(column.cells, column.time)
    if lag.median() <= _LONGEST_LAG and (lag < pd.Timedelta(0)).mean() <= 0.01:
        found.columns["known_at"] = _moment(known, zone)
    else:
        found.notes["occurred_at"] += (
            f" {known.name!r} is not taken as known_at: it lies {lag.median().days} days behind."
        )


def _own_columns(found: SourceProposal, table: ProfiledTable) -> ProfiledTable:
    """A table without its lookups' columns: a refund has its own day, not that of its order."""
    joined = {name for lookup in found.lookups for name in lookup.table.columns}
    own = {name: column for name, column in table.columns.items() if name not in joined}
    return replace(table, columns=own)


def _refuse_periods(table: ProfiledTable, said: ColumnProfile | None) -> None:
    """Stop at weeks or quarters in the place of days, with the first day of the first."""
    for column in table.columns.values() if said is None else (said,):
        period = example_of_periods(column.cells) if column.kind == "text" else None
        if period is not None:
            kind, text, day = period
            raise UserError(
                table.name,
                found=f"a column of {kind}s instead of days: {column.name!r} ({text})",
                expected="dates like 2024-01-31, one in each row",
                hint=f"add a column with the first day of each {kind} ({text}: {day}); better, "
                "export the orders behind this table with their dates",
            )


def _moment(column: ColumnProfile, zone: str) -> dict[str, str]:
    form = column.time
    if form is None:
        return {"column": column.name}
    return {"column": column.name, **form.keys, **({"zone": zone} if form.naive else {})}


def _doubts(column: ColumnProfile, zone: str) -> str:
    form = column.time
    told = []
    if form is not None and form.naive:
        told.append(f"CHECK: these clock times name no zone; taken as {zone} (--timezone).")
    if form is not None and form.doubt:
        told.append(f"CHECK: {form.doubt}.")
    return " ".join(told)


def _rest(found: SourceProposal, table: ProfiledTable, said: Mapping[str, ColumnProfile]) -> None:
    """The optional columns."""
    kinds: dict[str, tuple[str, ...]] = {
        "session_id": column_synonyms.SESSION,
        "channel": column_synonyms.CHANNEL,
        "is_machine": column_synonyms.MACHINE,
    }
    for name, patterns in kinds.items():
        used = used_columns(found)
        free = {n: c for n, c in table.columns.items() if n not in used and c.filled > 0}
        column = said.get(name) or best_column(free, patterns)
        if column is not None:
            found.columns[name] = column.name
    used = used_columns(found)
    if found.event_id is not None and "event_id" not in said:
        return
    key = said.get("event_id") or best_column(
        table.columns, column_synonyms.EVENT_ID, lambda c: c.name not in used and c.unique
    )
    found.event_id = None if key is None else key.name
    if found.event_id is None:
        _tell_copies(found, table)


def _tell_copies(found: SourceProposal, table: ProfiledTable) -> None:
    """Where rows are exact copies of others, an id that is unique without them says so."""
    copies = copied_rows(table)
    if not copies.any() or len(table.columns) < _FEWEST_COLUMNS:
        return
    if counted(found, is_purchase(found)) == counted(found, is_purchase(found) & ~copies):
        return
    both = f"With copies: {counted(found)}; without: {counted(found, ~copies)}."
    names = [found.columns.get("order_id"), *table.columns]
    patterns = (*column_synonyms.EVENT_ID, *column_synonyms.ORDER)
    for name in names:
        if name is None or synonym_rank(name, patterns) is None:
            continue
        cells = table.columns[name].cells.reset_index(drop=True)[~copies]
        if cells.notna().all() and cells.is_unique:
            found.event_id = name
            found.notes["event_id"] = (
                f"CHECK: {int(copies.sum()):,} of {table.rows:,} rows are copies of others; each "
                f"{name!r} counts once. {both}"
            )
            return
    found.notes["occurred_at"] += (
        f" CHECK: {int(copies.sum()):,} of {table.rows:,} rows are copies of others, and count: no "
        f"id tells them apart. {both}"
    )


def _attributes(found: SourceProposal, table: ProfiledTable) -> None:
    """Columns of a few choices that are told of things, not of people."""
    used = used_columns(found)
    fit: list[tuple[int, str, str]] = []
    for column in table.columns.values():
        name = snake_case(column.name)
        if column.name in used or column.time is not None:
            continue
        if column_synonyms.is_personal(column.name):
            found.personal.append(column.name)
        elif column_synonyms.OUTCOME.search(name) and (_choices(column) or column.kind == "flag"):
            found.outcomes.append(column.name)
        elif _choices(column) and synonym_rank(column.name, column_synonyms.CURRENCY) is None:
            plain = name if ATTRIBUTE_NAME.fullmatch(name) else f"attribute_{len(fit)}"
            taken = plain in EVENT_COLUMNS or plain in FIELDS
            fit.append((column.distinct, f"{plain}_name" if taken else plain, column.name))
    for number, (_, name, source) in enumerate(sorted(fit)):
        (found.columns if number < MOST_ATTRIBUTES else found.spare)[name] = source


def _choices(column: ColumnProfile) -> bool:
    code = column.kind == "text" or (
        column.kind == "number"
        and (_CODES.fullmatch(snake_case(column.name)) is not None)
        and bool((column.cells.dropna() % 1 == 0).all())
    )
    if not code or column.filled < 0.2 or not 2 <= column.distinct <= MOST_CHOICES:
        return False
    if column.distinct > max(len(column.cells) / 5, 2):
        return False
    return column.kind == "number" or float(column.cells.dropna().str.len().mean()) <= 40
