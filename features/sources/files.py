"""Files -> relational tables, lazily; what is broken is told once, without any row's content."""

from __future__ import annotations

import csv
import filecmp
import glob
import gzip
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from features.config.sources import CsvFormat, DatasetTable, Location, UrlTable
from features.errors import Problems, UserError
from features.sources.compressed import require_whole
from features.sources.typed_files import read_json, read_parquet

# Where a file is broken, these lines of the engine's message say how; others repeat a row.
TOLD = ("CSV Error on Line", "Expected Number", "Value with", "Invalid unicode", "The CSV Parser")
LONGEST_LINE = 2_000_000  # bytes; the engine's own limit


def describe(location: Location) -> str:
    """Name of a table for messages; a URL's user, password and query stay out of it."""
    if isinstance(location, DatasetTable):
        return f"{location.dataset}.{location.table}"
    if isinstance(location, UrlTable):
        return f"{location.url.split('://', maxsplit=1)[0]}://... table {location.table}"
    if isinstance(location, tuple):
        more = f" and {len(location) - 1} more" if len(location) > 1 else ""
        return f"{_short_name(location[0])}{more}"
    return _short_name(location)


def _short_name(location: str) -> str:
    """The file's name; of ``events/*.parquet`` with its folder, which alone tells what it is."""
    path = Path(location)
    parts = path.parts[-2:] if path.stem == "*" else path.parts[-1:]
    return "/".join(part for part in parts if part != path.anchor)


def said(error: Exception) -> str:
    """What an engine's error says about a file, without the rows that it repeats."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if any(word in line for word in TOLD)]
    short = "; ".join(told or lines[:1])[:300]
    for noise in ("Invalid Input Error: ", "Conversion Error: ", "IO Error: "):
        short = short.replace(noise, "")
    return short


def unreadable(name: str, error: Exception) -> UserError:
    """The one message for a table that exists and cannot be read."""
    return UserError(
        f"sources: {name}",
        found=said(error),
        expected="rows that can be read with the declared columns, encoding and delimiter",
        hint="check the file for broken lines, quoting and mixed ends of line (Windows' beside "
        "Unix's), and the source's `csv:` block",
    )


def read_file(
    connection: Any,
    location: str | tuple[str, ...],
    form: CsvFormat,
    *,
    keys: Collection[str] = (),
) -> Any:
    """The table in a file, in all files that a pattern matches, or in several of either.

    Columns of `keys` keep every digit, whatever types the files give them.

    Raises
    ------
    UserError
        Where the file is missing, of an unknown kind, or unreadable.
    """
    names, path = matches(location), Path(location if isinstance(location, str) else location[0])
    suffix = path.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]
    require_whole(names)
    readers: dict[str, Callable[[], Any]] = {
        "csv": lambda: _read_csv(connection, names, form),
        "tsv": lambda: _read_csv(connection, names, form.model_copy(update={"delimiter": "\t"})),
        "txt": lambda: _read_csv(connection, names, form),
        "parquet": lambda: read_parquet(connection, names, keys),
        "json": lambda: read_json(connection, names, keys, lines=False),
        "jsonl": lambda: read_json(connection, names, keys, lines=True),
        "ndjson": lambda: read_json(connection, names, keys, lines=True),
    }
    if suffix not in readers:
        raise UserError(
            f"sources: {path.name}",
            found=f"a file ending in .{suffix}",
            expected=", ".join(sorted(readers)),
            hint="convert the file, or name it after what it holds",
        )
    try:
        return readers[suffix]()
    except UserError:
        raise
    except Exception as error:
        raise unreadable(path.name, error) from error


def twins(names: Sequence[str]) -> dict[str, str]:
    """Files with the very content of another one, which was delivered twice; the first counts."""
    by_size: dict[int, list[str]] = {}
    found: dict[str, str] = {}
    for name in names:
        alike = by_size.setdefault(os.path.getsize(name), [])
        same = [other for other in alike if filecmp.cmp(name, other, shallow=False)]
        if same:
            found[name] = same[0]
        else:
            alike.append(name)
    return found


def matches(location: str | tuple[str, ...]) -> list[str]:
    """Paths of the files at a location, each content once.

    Raises
    ------
    UserError
        Where there is none.
    """
    names = there(location)
    again = twins(names)
    return [name for name in names if name not in again]


def there(location: str | tuple[str, ...]) -> list[str]:
    """Paths of all files at a location.

    Raises
    ------
    UserError
        Where there is none.
    """
    if isinstance(location, tuple):
        return list(dict.fromkeys(name for one in location for name in there(one)))
    path = Path(location)
    if path.is_file():
        return [str(path)]
    found = sorted(path.parent.glob(path.name)) if path.parent.is_dir() else []
    files = [str(file) for file in found if file.is_file()]
    if not files:
        raise UserError(
            f"sources: {path}",
            found="a folder" if path.is_dir() else "no such file",
            expected="a csv, parquet or json lines file (or a glob of them)",
            hint="check the path; relative paths start at the config's folder",
        )
    return files


def _read_csv(connection: Any, names: list[str], form: CsvFormat) -> Any:
    """Everything as text, nothing guessed.

    A guessed type would hide the rows that must be set aside, and a guessed dialect drops lines
    (those that start with a comment sign, or stand above the likeliest header).
    """
    by_header: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        by_header.setdefault(_header(name, form), []).append(name)
        _refuse_endless_line(name)
    first = next(iter(by_header))
    for header, files in by_header.items():
        if set(header) != set(first):
            raise UserError(
                f"sources: {Path(files[0]).name}",
                found=f"columns {', '.join(header)}",
                expected=f"the columns of {Path(names[0]).name}: {', '.join(first)}",
            )
    tables = [
        connection.read_csv(
            [glob.escape(file) for file in files],
            columns=dict.fromkeys(header, "VARCHAR"),
            auto_detect=False,
            header=True,
            delim=form.delimiter,
            quote='"',
            escape='"',
            comment="",
            encoding=form.encoding,
            nullstr="",
        ).select(list(first))
        for header, files in by_header.items()
    ]
    return tables[0] if len(tables) == 1 else tables[0].union(*tables[1:])


def _refuse_endless_line(name: str) -> None:
    """Refuse a last line longer than the engine reads: it would drop the row without a word."""
    with Path(name).open("rb") as file:
        size = file.seek(0, 2)
        if size <= LONGEST_LINE:
            return
        file.seek(size - LONGEST_LINE)
        end = file.read()
    # What is compressed has no lines here, and is not read side by side either.
    if not name.lower().endswith(".gz") and b"\n" not in end[:-1]:
        raise UserError(
            f"sources: {Path(name).name}",
            found=f"a line of more than {LONGEST_LINE:,} bytes",
            expected="lines of events",
            hint="check the file for an open quote or lost line ends",
        )


def _header(name: str, form: CsvFormat) -> tuple[str, ...]:
    """Column names in the first line of a file."""
    encoding = "utf-8-sig" if form.encoding == "utf-8" else form.encoding
    where = f"sources: {Path(name).name}"
    try:
        with _opened(name, encoding) as file:
            found = next(csv.reader(file, delimiter=form.delimiter), [])
    except (UnicodeError, OSError, EOFError, csv.Error) as error:
        raise UserError(
            where,
            found=f"a header that cannot be read ({error.__class__.__name__})",
            expected=f"a header line in {form.encoding}",
            hint="check the file, and the source's `csv: {encoding: ...}`",
        ) from error
    header = tuple(cell.strip() or f"column{i}" for i, cell in enumerate(found))
    if not header:
        raise UserError(
            where, found="an empty file", expected="a header line and at least one event"
        )
    if any("\0" in cell for cell in header):
        raise UserError(
            where,
            found="a column name with a NUL byte",
            expected=f"a header line in {form.encoding}",
            hint="check the file, and the source's `csv: {encoding: ...}`",
        )
    if len(set(header)) < len(header):
        twice = next(cell for cell in header if header.count(cell) > 1)
        raise UserError(where, found=f"column {twice!r} twice", expected="unique column names")
    return header


def _opened(name: str, encoding: str) -> IO[str]:
    if name.lower().endswith(".gz"):
        return gzip.open(name, "rt", encoding=encoding, newline="")
    return Path(name).open(encoding=encoding, newline="")


def require(table: Any, column: str, where: str) -> Any:
    """A column of a table.

    Raises
    ------
    UserError
        Where there is no such column.
    """
    if column not in table.columns:
        alone = len(table.columns) == 1
        raise UserError(
            where,
            found=f"no column {column!r}",
            expected=f"one of: {', '.join(table.columns)}",
            hint="set the source's `csv: {delimiter: ...}`"
            if alone
            else "correct the column name in the config",
        )
    return table[column]


def require_all(table: Any, columns: Iterable[str], where: str) -> None:
    """Refuse a table that lacks columns.

    Raises
    ------
    UserError
        Naming every column that is missing.
    """
    problems = Problems()
    for column in dict.fromkeys(columns):
        with problems.collect():
            require(table, column, where)
    problems.refuse()


def no_zone(where: str, column: str) -> UserError:
    """The message for clock times that could mean any instant."""
    return UserError(
        where,
        found=f"instants without a zone in column {column!r}",
        expected="a zone for naive times, or offsets in the data",
        hint=f"write {{column: {column}, zone: UTC}} (or the zone the clock was in), or "
        f"{{column: {column}, as: local_date}} where it is a calendar date",
    )


def wrong_type(where: str, column: str, kind: object, expected: str) -> UserError:
    """The message for a column that cannot hold what is asked of it."""
    return UserError(
        where,
        found=f"column {column!r} of type {kind}",
        expected=expected,
        hint=f"write {{column: {column}, as: local_date}}"
        if str(kind) == "date"
        else "map another column, or convert this one",
    )
