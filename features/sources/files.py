"""Open files as relational tables, lazily; errors never repeat a row's content."""

from __future__ import annotations

import csv
import glob
import gzip
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from features.config.sources import CsvFormat
from features.errors import Problems, UserError
from features.sources.compressed import require_whole
from features.sources.locations import distinct_files
from features.sources.prepared_files import prepare_files
from features.sources.spreadsheets import SPREADSHEETS, chosen_sheets, sheet_rows
from features.sources.typed_files import read_json_files, read_parquet_files
from features.sources.uneven_lines import uneven_lines

# Lines of the engine's message that explain a broken file; other lines repeat a row.
_TELLING_PHRASES = (
    "CSV Error on Line",
    "Expected Number",
    "Value with",
    "Invalid unicode",
    "The CSV Parser",
)
_EMPTY = ("", "\\N", "-", "--")  # an empty cell, as databases and tools write it
_MAX_LINE_BYTES = 2_000_000  # bytes; the engine's own limit


def _engine_message(error: Exception) -> str:
    """Shorten an engine's error about a file, without the rows that it repeats."""
    message_lines = [
        message_line.strip() for message_line in str(error).splitlines() if message_line.strip()
    ]
    telling_lines = [
        message_line
        for message_line in message_lines
        if any(phrase in message_line for phrase in _TELLING_PHRASES)
    ]
    summary = "; ".join(telling_lines or message_lines[:1])[:300]
    for error_class in ("Invalid Input Error: ", "Conversion Error: ", "IO Error: "):
        summary = summary.replace(error_class, "")
    return summary


def unreadable_table(name: str, error: Exception) -> UserError:
    """Return the error for a table that exists but cannot be read."""
    uneven = uneven_lines(str(error))
    if uneven is not None:
        found, hint = uneven
        return UserError(
            f"table {name}",
            found=found,
            expected="rows with one field for each column name",
            hint=f"{hint}; or see the source's `csv:` block",
        )
    return UserError(
        f"table {name}",
        found=_engine_message(error),
        expected="rows that can be read with the declared columns, encoding and delimiter",
        hint="check the file for broken lines, quoting and mixed ends of line (Windows' beside "
        "Unix's), and the source's `csv:` block",
    )


def read_file(
    connection: Any,
    location: str | tuple[str, ...],
    csv_format: CsvFormat,
    *,
    keys: Collection[str] = (),
) -> Any:
    """Open one file, all files of a pattern, or several of either as one table.

    Columns of `keys` keep every digit, whatever types the files declare.

    Raises
    ------
    UserError
        If a file is missing, of an unknown kind, or unreadable.
    """
    file_names, first_path = (
        distinct_files(location),
        Path(location if isinstance(location, str) else location[0]),
    )
    require_whole(file_names)
    file_names, csv_format = prepare_files(file_names, csv_format)
    suffix = Path(file_names[0]).name.lower().removesuffix(".gz").rsplit(".", 1)[-1]
    readers: dict[str, Callable[[], Any]] = {
        "csv": lambda: _read_csv(connection, file_names, csv_format),
        "tsv": lambda: _read_csv(
            connection, file_names, csv_format.model_copy(update={"delimiter": "\t"})
        ),
        "txt": lambda: _read_csv(connection, file_names, csv_format),
        "parquet": lambda: read_parquet_files(connection, file_names, keys),
        "json": lambda: read_json_files(connection, file_names, keys, lines=False),
        "jsonl": lambda: read_json_files(connection, file_names, keys, lines=True),
        "ndjson": lambda: read_json_files(connection, file_names, keys, lines=True),
    }
    readers |= dict.fromkeys(SPREADSHEETS, lambda: _read_sheets(connection, file_names, csv_format))
    if suffix not in readers:
        raise UserError(
            f"file {first_path.name}",
            found=f"a file ending in .{suffix}",
            expected=", ".join(sorted(readers)),
            hint="convert the file, or name it after what it holds",
        )
    try:
        return readers[suffix]()
    except UserError:
        raise
    except Exception as error:
        raise unreadable_table(first_path.name, error) from error


def _read_csv(connection: Any, file_names: list[str], csv_format: CsvFormat) -> Any:
    """Read CSV files as text, without type or dialect detection.

    A detected type would hide rows for the quarantine, and a detected dialect drops lines (comment
    signs, lines above the presumed header).
    """
    by_header: dict[tuple[str, ...], list[str]] = {}
    for file_name in file_names:
        by_header.setdefault(_header(file_name, csv_format), []).append(file_name)
        _refuse_long_line(file_name)
    first_header = next(iter(by_header))
    for header, same_header_files in by_header.items():
        if set(header) != set(first_header):
            raise UserError(
                f"file {Path(same_header_files[0]).name}",
                found=f"columns {', '.join(header)}",
                expected=f"the columns of {Path(file_names[0]).name}: {', '.join(first_header)}",
                hint="files of different tables are named one by one (unpacked, if in an archive)",
            )
    tables = [
        connection.read_csv(
            [glob.escape(file) for file in same_header_files],
            columns=dict.fromkeys(header, "VARCHAR"),
            auto_detect=False,
            header=True,
            delim=csv_format.delimiter,
            quote='"',
            escape='"',
            comment="",
            encoding=csv_format.encoding,
            nullstr=list(_EMPTY),
            skip=csv_format.skip_lines,
        ).select(list(first_header))
        for header, same_header_files in by_header.items()
    ]
    return tables[0] if len(tables) == 1 else tables[0].union(*tables[1:])


def _read_sheets(connection: Any, file_names: list[str], csv_format: CsvFormat) -> Any:
    """Read the chosen sheets of each spreadsheet as text; the columns must be the same in all."""
    tables: list[pa.Table] = []
    for file_name, title in [
        (name, title) for name in file_names for title in chosen_sheets(name, csv_format.sheet)
    ]:
        rows = sheet_rows(file_name, title)[csv_format.skip_lines :]
        header = _checked_header(rows[0] if rows else [], file_name, csv_format)
        columns = [
            [None if row[place] in _EMPTY else row[place] for row in rows[1:]]
            for place in range(len(header))
        ]
        arrays = [pa.array(column, pa.string()) for column in columns]
        tables.append(pa.table(dict(zip(header, arrays, strict=True))))
        first_header = tables[0].column_names
        if set(header) != set(first_header):
            raise UserError(
                f"file {Path(file_name).name}, sheet {title!r}",
                found=f"columns {', '.join(header)}",
                expected=f"the columns of {Path(file_names[0]).name}: {', '.join(first_header)}",
            )
    whole = pa.concat_tables([table.select(tables[0].column_names) for table in tables])
    return connection.create_table(f"sheet_{uuid.uuid4().hex}", whole, temp=True)


def _refuse_long_line(file_name: str) -> None:
    """Refuse a last line longer than the engine's limit: it would drop the row silently."""
    with Path(file_name).open("rb") as stream:
        file_size = stream.seek(0, 2)
        if file_size <= _MAX_LINE_BYTES:
            return
        stream.seek(file_size - _MAX_LINE_BYTES)
        last_bytes = stream.read()
    # Compressed files have no visible lines here, and are not read in parallel.
    if not file_name.lower().endswith(".gz") and b"\n" not in last_bytes[:-1]:
        raise UserError(
            f"file {Path(file_name).name}",
            found=f"a line of more than {_MAX_LINE_BYTES:,} bytes",
            expected="lines of events",
            hint="check the file for an open quote or lost line ends",
        )


def _header(file_name: str, csv_format: CsvFormat) -> tuple[str, ...]:
    """Return the column names in the first line of a file."""
    encoding = "utf-8-sig" if csv_format.encoding == "utf-8" else csv_format.encoding
    config_place = f"file {Path(file_name).name}"
    try:
        with _open_text(file_name, encoding) as stream:
            for _ in range(csv_format.skip_lines):
                next(stream, "")
            header_cells = next(csv.reader(stream, delimiter=csv_format.delimiter), [])
    except (UnicodeError, OSError, EOFError, csv.Error) as error:
        raise UserError(
            config_place,
            found=f"a header that cannot be read ({error.__class__.__name__})",
            expected=f"a header line in {csv_format.encoding}",
            hint="check the file, and the source's `csv: {encoding: ...}`",
        ) from error
    return _checked_header(header_cells, file_name, csv_format)


def _checked_header(
    header_cells: Sequence[str], file_name: str, csv_format: CsvFormat
) -> tuple[str, ...]:
    """Return column names without blanks; refuse an empty header and repeated names."""
    config_place = f"file {Path(file_name).name}"
    header = tuple(
        cell.strip() or f"column{position}" for position, cell in enumerate(header_cells)
    )
    if not header:
        raise UserError(
            config_place, found="an empty file", expected="a header line and at least one row"
        )
    if any("\0" in cell for cell in header):
        raise UserError(
            config_place,
            found="a column name with a NUL byte",
            expected=f"a header line in {csv_format.encoding}",
            hint="check the file, and the source's `csv: {encoding: ...}`",
        )
    if len(set(header)) < len(header):
        repeated_name = next(cell for cell in header if header.count(cell) > 1)
        raise UserError(
            config_place, found=f"column {repeated_name!r} twice", expected="unique column names"
        )
    return header


def _open_text(file_name: str, encoding: str) -> IO[str]:
    if file_name.lower().endswith(".gz"):
        return gzip.open(file_name, "rt", encoding=encoding, newline="")
    return Path(file_name).open(encoding=encoding, newline="")


def require_column(table: Any, column: str, config_place: str) -> Any:
    """Return a column of a table.

    Raises
    ------
    UserError
        Where there is no such column.
    """
    if column not in table.columns:
        single_column = len(table.columns) == 1
        raise UserError(
            config_place,
            found=f"no column {column!r}",
            expected=f"one of: {', '.join(table.columns)}",
            hint="set the source's `csv: {delimiter: ...}`"
            if single_column
            else "correct the column name in the config",
        )
    return table[column]


def require_columns(table: Any, columns: Iterable[str], config_place: str) -> None:
    """Stop if a table lacks columns.

    Raises
    ------
    UserError
        Naming every column that is missing.
    """
    problems = Problems()
    for column in dict.fromkeys(columns):
        with problems.collect():
            require_column(table, column, config_place)
    problems.refuse()


def zone_missing(config_place: str, column: str) -> UserError:
    """Return the error for clock times without a zone."""
    return UserError(
        config_place,
        found=f"instants without a zone in column {column!r}",
        expected="a zone for naive times, or offsets in the data",
        hint=f"write {{column: {column}, zone: UTC}} (or the zone the clock was in), or "
        f"{{column: {column}, as: local_date}} where it is a calendar date",
    )


def wrong_type(config_place: str, column: str, column_type: object, expected: str) -> UserError:
    """Return the error for a column of an unusable type."""
    return UserError(
        config_place,
        found=f"column {column!r} of type {column_type}",
        expected=expected,
        hint=f"write {{column: {column}, as: local_date}}"
        if str(column_type) == "date"
        else "map another column, or convert this one",
    )
