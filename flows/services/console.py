"""What the user sees while a command runs: steps, progress, and tables at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from features.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

# Progress goes to stderr, so that what a command prints can be piped.
progress_console = Console(stderr=True)
console = Console()


# Who else is told of each line: a scheduled run's log.
listeners: list[Callable[[str], None]] = []


def step(text: str) -> None:
    """One line that says what begins."""
    _tell(text)
    progress_console.print(f"[bold cyan]›[/] {text}", highlight=False)


def warn(text: str) -> None:
    """One line of warning."""
    _tell(f"warning: {text}")
    progress_console.print(f"[bold yellow]![/] {text}", highlight=False)


def _tell(text: str) -> None:
    for listener in listeners:
        listener(text)


SHORT = 28  # a name of so many signs is not broken


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers are aligned right."""
    drawn = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[number], int | float) for row in rows)
        # Names in the first column stay whole: a broken one cannot be copied.
        short = number == 0 and all(len(_cell(row[0])) <= SHORT for row in rows)
        drawn.add_column(
            column, justify="right" if numeric else "left", overflow="fold", no_wrap=short
        )
    for row in rows:
        drawn.add_row(*(_cell(value) for value in row))
    console.print(drawn)


def typed(command: str) -> str:
    """A command of ours as the reader has to type it: by `uv run` where this one came that way."""
    return f"uv run {command}" if "UV" in os.environ else command


def deliver(content: Any, json_file: Path | None, show: Callable[[], object]) -> None:
    """Show a result, and write it as JSON where a file is given; for ``-`` print the JSON alone."""
    if json_file is None or str(json_file) != "-":
        show()
    if json_file is not None:
        write_json(content, json_file)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as JSON has them; what is missing is null, dates are ISO texts."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso"))
    return rows


def write_json(content: Any, file: Path) -> None:
    """Write what a command found as JSON; the file ``-`` is standard output.

    Raises
    ------
    UserError
        Where the file cannot be written.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
    if str(file) == "-":
        print(text)
        return
    partial = file.with_name(file.name + ".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        raise UserError(
            "--json", found=f"{file}: {error.strerror}", expected="a file to write"
        ) from error


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
