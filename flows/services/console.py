"""Console output of commands: steps, warnings, tables and JSON results."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from features.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

# Progress goes to stderr, so that the output of a command can be piped.
# No text is markup or an emoji: names of files, arms and columns may hold brackets.
progress_console = Console(stderr=True, markup=False, emoji=False)
console = Console(markup=False, emoji=False)


# Further receivers of every line, such as the log of a scheduled run.
listeners: list[Callable[[str], None]] = []
_groups: list[list[str]] = []  # warnings so far of each `grouped_warnings` that is open


def step(text: str) -> None:
    """Print a line of progress."""
    _notify(text)
    progress_console.print(Text("›", "bold cyan"), text, highlight=False)


def warn(text: str) -> None:
    """Print a warning; within `grouped_warnings` only the first time that it comes."""
    if _groups:
        if text in _groups[-1]:
            return
        _groups[-1].append(text)
    _notify(f"warning: {text}")
    progress_console.print(Text("!", "bold yellow"), text, highlight=False)


@contextmanager
def grouped_warnings() -> Iterator[None]:
    """Print each warning once, and list several once more at the end.

    By then the lines of long steps have moved the first ones out of sight. The list is printed
    beside the progress, not among the results.
    """
    warnings: list[str] = []
    _groups.append(warnings)
    try:
        yield
    finally:
        _groups.remove(warnings)
    if len(warnings) > 1:
        progress_console.print(Text(f"{len(warnings)} warnings:", "bold yellow"))
        for text in warnings:
            progress_console.print(f"  - {text}", highlight=False, soft_wrap=True)


def bold(text: object) -> Text:
    """A bold part of a line."""
    return Text(str(text), "bold")


def _notify(text: str) -> None:
    for listener in listeners:
        listener(text)


_UNBROKEN_LENGTH = 28  # names up to this number of characters are not wrapped


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table with right-aligned numbers.

    A table that does not fit the width of the terminal without breaking words is printed as lines:
    one a row where there are two columns, else one a cell below the first cell of its row.
    """
    if not rows:
        console.print(bold(title), "none", sep=": ")
        return
    # Do not wrap names in the first column: a wrapped name cannot be copied.
    is_name_column = all(len(_cell(row[0])) <= _UNBROKEN_LENGTH for row in rows)
    if _least_width(columns, rows, is_name_column) > console.width:
        _print_lines(title, columns, rows)
        return
    rich_table = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        numeric = all(isinstance(row[number], int | float) for row in rows)
        unbroken = number == 0 and is_name_column
        rich_table.add_column(
            column, justify="right" if numeric else "left", overflow="fold", no_wrap=unbroken
        )
    for row in rows:
        rich_table.add_row(*(_cell(value) for value in row))
    console.print(rich_table)


def _least_width(
    columns: Sequence[str], rows: Sequence[Sequence[object]], is_name_column: bool
) -> int:
    """Characters that a table needs so that no word breaks: its longest words, and the lines."""
    width = 1
    for number, column in enumerate(columns):
        cells = [_cell(row[number]) for row in rows]
        words = [word for text in (column, *cells) for word in text.split()]
        if number == 0 and is_name_column:
            words += cells
        width += max((cell_len(word) for word in words), default=0) + 3
    return width


def _print_lines(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows as lines that break nowhere, so that a path can be copied."""
    console.print(bold(title), soft_wrap=True)
    heading_width = max(len(column) for column in columns[1:])
    key_width = max(len(_cell(row[0])) for row in rows)
    for row in rows:
        if len(columns) == 2:
            console.print(f"  {_cell(row[0]):<{key_width}}  {_cell(row[1])}", soft_wrap=True)
            continue
        console.print(bold(f"  {_cell(row[0])}"), soft_wrap=True)
        for column, value in zip(columns[1:], row[1:], strict=True):
            console.print(f"    {column:<{heading_width}}  {_cell(value)}", soft_wrap=True)


def command_text(command: str) -> str:
    """A stagecast command as the user types it, by the way in which this process was started.

    With ``uv run`` in a project of uv, with ``uvx`` or ``pipx run`` from an environment that they
    made for one call, else as it is. ``--from`` or ``--spec`` names the file or address that the
    package was installed from, and the package itself for a program of another one.
    """
    source = _installed_from()
    if source is None and not command.startswith("stagecast "):
        source = "stagecast"
    starter = _starter(sys.prefix, os.environ, source)
    return f"{starter} {command}" if starter else command


def _starter(prefix: str, environment: Mapping[str, str], source: str | None) -> str:
    """What stands before ``stagecast``: empty if it is a command of its own."""
    parts = Path(prefix).parts
    if "UV" in environment and _ONE_CALL.intersection(parts):
        return f"uvx --from {shlex.quote(source)}" if source else "uvx"
    if "pipx" in parts and ".cache" in parts:
        return f"pipx run --spec {shlex.quote(source)}" if source else "pipx run"
    return "uv run" if "UV" in environment else ""


def _installed_from() -> str | None:
    """File or address that the package was installed from; None from a registry or in place."""
    try:
        text = importlib.metadata.distribution("stagecast").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None
    origin = json.loads(text or "{}")
    if origin.get("dir_info", {}).get("editable") or "url" not in origin:
        return None
    address = str(origin["url"])
    return unquote(address.removeprefix("file://")) if address.startswith("file://") else address


# Folders of uv's cache that hold the environment of one `uvx` call, or of `uv run --with`.
_ONE_CALL = frozenset({"archive-v0", "environments-v2"})


def deliver_result(content: Any, json_file: Path | None, show: Callable[[], object]) -> None:
    """Show a result, and write it as JSON if a file is given; for ``-`` print only the JSON."""
    if json_file is None or str(json_file) != "-":
        show()
    if json_file is not None:
        write_json(content, json_file)


def json_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as JSON records: missing values are null, dates are ISO strings."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso"))
    return rows


def write_json(content: Any, file: Path) -> None:
    """Write a result as JSON; the file ``-`` is standard output.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
    if str(file) == "-":
        print(text)
        return
    partial = file.with_name(file.name + ".partial")
    with _writable(file, "--json"):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(file)


def write_table_file(
    frame: pd.DataFrame, file: Path, option: str, *, decimals: int | None = None
) -> None:
    """Write a table as CSV to the file of an option.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    from features.storage.csv_files import write_csv

    with _writable(file, option):
        write_csv(file, frame, decimals=decimals)


@contextmanager
def _writable(file: Path, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            option, found=f"{file}: {error.strerror}", expected="a file to write"
        ) from error


def short_number(number: float) -> str:
    """Three digits, more before the point; a dash for NaN."""
    if number != number:
        return "-"
    return f"{number:.3g}" if abs(number) < 100 else f"{number:,.0f}"


def interval_text(low: float, high: float) -> str:
    """Both ends of an interval; a dash if they are NaN."""
    return "-" if low != low else f"{short_number(low)} to {short_number(high)}"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
