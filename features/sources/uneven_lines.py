"""Which lines of a delimited file have another number of fields than its header."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

_MOST_LINES = 2_000_000  # looked at
_FEW = 5  # lines at the end that are a footer, and no second table
_FILE = re.compile(r"^\s*file = (.+)$", re.MULTILINE)
_DELIMITER = re.compile(r"^\s*delimiter = (\\t|.) ", re.MULTILINE)
_SKIPPED = re.compile(r"^\s*skip_rows = ([0-9]+)", re.MULTILINE)
_WIDTHS = re.compile(r"Expected Number of Columns: ([0-9]+) Found: ([0-9]+)")


def uneven_lines(message: str) -> tuple[str, str] | None:
    """Describe the uneven lines that made the engine stop, and what to do about them.

    Parameters
    ----------
    message
        The engine's message, which names the file and its delimiter.

    Returns
    -------
    tuple or None
        What was there and a hint, without the content of a row; None if the message speaks of
        something else, or the file cannot be looked at.
    """
    name, delimiter, widths = (p.search(message) for p in (_FILE, _DELIMITER, _WIDTHS))
    if name is None or delimiter is None or widths is None:
        return None
    skipped = _SKIPPED.search(message)
    usual = int(widths[1])
    sign = "\t" if delimiter[1] == "\\t" else delimiter[1]
    try:
        lines = list(_widths(Path(name[1].strip()), sign))
    except (OSError, UnicodeError, csv.Error):
        return None
    rows = lines[int(skipped[1]) if skipped else 0 :]
    uneven = [(line, width) for line, width in rows if width not in (0, usual)]
    if not uneven:
        return None
    first, width = uneven[0]
    found = (
        f"{len(uneven):,} of {len(rows):,} lines with another number of fields than the {usual} "
        f"column names; the first is line {first:,}, with {width}"
    )
    after = [width for line, width in rows if line >= first and width]
    if len(after) <= _FEW and first > rows[0][0]:
        return found, "the last lines are no rows (totals, a note?): delete them"
    if len(after) > _FEW and len(set(after)) == 1:
        return found, f"a second table begins in line {first:,}: save each as a file of its own"
    return found, (
        "these may be totals or headings between the rows: export a plain list; or a text with the "
        "delimiter or a line break in it, without quotes"
    )


def _widths(path: Path, delimiter: str) -> Iterator[tuple[int, int]]:
    """Line number (from 1) and number of fields of every record; 0 for an empty line."""
    # Every single-byte encoding has the same signs between fields.
    with path.open(encoding="latin-1", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        line = 1
        for record in itertools.islice(reader, _MOST_LINES):
            yield line, len(record) if record != [""] else 0
            line = reader.line_num + 1
