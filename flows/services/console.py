"""Console output of commands: steps, warnings, tables and JSON results."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def step(text: str) -> None:
    """Print a line of progress."""
    _notify(text)
    progress_console.print(Text("›", "bold cyan"), text, highlight=False)


def warn(text: str) -> None:
    """Print a warning."""
    _notify(f"warning: {text}")
    progress_console.print(Text("!", "bold yellow"), text, highlight=False)


def bold(text: object) -> Text:
    """A bold part of a line."""
    return Text(str(text), "bold")


def _notify(text: str) -> None:
    for listener in listeners:
        listener(text)


_UNBROKEN_LENGTH = 28  # names up to this number of characters are not wrapped


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table with right-aligned numbers."""
    rich_table = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[number], int | float) for row in rows)
        # Do not wrap names in the first column: a wrapped name cannot be copied.
        unbroken = number == 0 and all(len(_cell(row[0])) <= _UNBROKEN_LENGTH for row in rows)
        rich_table.add_column(
            column, justify="right" if numeric else "left", overflow="fold", no_wrap=unbroken
        )
    for row in rows:
        rich_table.add_row(*(_cell(value) for value in row))
    console.print(rich_table)


def command_text(command: str) -> str:
    """A stagecast command as the user types it: with `uv run` if this process ran under uv."""
    return f"uv run {command}" if "UV" in os.environ else command


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
