"""Safe CSV files: no cell can run as a formula or break a row.

A spreadsheet runs a cell that starts with ``=``, ``+``, ``-`` or ``@`` (also in another width, or
after blanks, quotes and invisible characters), and may split a row at a character that looks like
a line end. Cells are escaped and quoted by column, not one by one.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.storage.disk import sync

# Every character that Unicode's NFKC maps to = + - @, and the minus sign.
FORMULA_SIGNS = (
    "=+\\-@"
    "\u207a\u207b\u207c\u208a\u208b\u208c\u2212\ufb29"
    "\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
)
# Characters that an import may trim first: controls, blanks, zero-width characters, quotes.
_TRIMMED = (
    "\\x00-\\x20\\x7f-\\xa0\u00ad\u034f\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u3000\ufeff\ufff9-\ufffb"
    "'\"`\u00b4\u2018-\u201f\uff02\uff07"
)
# The same expressions work in Python and in Arrow (RE2).
_FORMULA_PATTERN = f"^[{_TRIMMED}]*[{FORMULA_SIGNS}]|^['\"]*[\\t\\r\\n]"
_NUMBER_PATTERN = r"^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?\z"
_FORMULA = re.compile(_FORMULA_PATTERN)
_NUMBER = re.compile(_NUMBER_PATTERN.replace(r"\z", r"\Z"))
# Quotes, commas, and every character that some reader treats as a line end.
_QUOTED = '[",\\n\\r\\x0b\\x0c\\x1c-\\x1e\\x85\u2028\u2029]'


@dataclass(frozen=True)
class CsvContent:
    """The bytes of a CSV file.

    Attributes
    ----------
    content
        UTF-8, comma separated, with header; lines end with a line feed; null is an empty cell.
    escaped
        Number of cells escaped with a leading ``'``.
    """

    content: bytes
    escaped: int


def safe_cell(text: str) -> str:
    """Escape a text that a spreadsheet would run as a formula, with a leading ``'``.

    Plain numbers such as ``-5`` or ``+4930123456`` stay unchanged: a spreadsheet reads them as
    numbers, and receiving tools need the sign of telephone numbers. Different texts stay
    different, and `original_cell` inverts the escape.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.match(text) else text


def original_cell(cell: str) -> str:
    """Return the text from which `safe_cell` made a cell."""
    text = cell.removeprefix("'")
    return text if safe_cell(text) == cell else cell


def csv_content(frame: pd.DataFrame, *, decimals: int | None = None) -> CsvContent:
    """Convert a frame to a CSV file with header, without the index.

    Parameters
    ----------
    frame
        Numbers are written as numbers, dates as YYYY-MM-DD (plus time if there is one), all else as
        text, escaped if a spreadsheet would run it.
    decimals
        Decimal places of fractional numbers (integers have none); None: as many as needed to
        restore the exact number.
    """
    header = pa.array([str(name) for name in frame.columns], pa.string())
    safe_names, escaped_cells = _safe_texts(header)
    columns = []
    for position in range(frame.shape[1]):
        cell_texts, is_free_text = _column_texts(frame.iloc[:, position], decimals=decimals)
        if is_free_text:
            cell_texts, count = _safe_texts(cell_texts)
            cell_texts, escaped_cells = _quoted(cell_texts), escaped_cells + count
        columns.append(cell_texts)
    header_line = ",".join(_quoted(safe_names).to_pylist())
    if len(columns) == 1:  # a blank line would not be read as a row
        columns = [pc.if_else(pc.equal(columns[0], ""), '""', columns[0])]
    if not columns or not len(frame):
        return CsvContent(f"{header_line}\n".encode(), escaped_cells)
    lines = (
        columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, _large_text(","))
    )
    return CsvContent(f"{header_line}\n".encode() + _joined_lines(lines), escaped_cells)


def _joined_lines(lines: pa.Array) -> bytes:
    """Concatenate lines, each with a line feed, without a copy per line."""
    ended_lines = pc.binary_join_element_wise(lines, _large_text("\n"), _large_text(""))
    if isinstance(ended_lines, pa.ChunkedArray):
        return b"".join(_bytes(chunk) for chunk in ended_lines.chunks)
    return _bytes(ended_lines)


def _bytes(texts: pa.Array) -> bytes:
    """Return the values' contiguous bytes."""
    offsets = np.frombuffer(texts.buffers()[1], dtype=np.int64)[texts.offset :]
    first_byte, last_byte = int(offsets[0]), int(offsets[len(texts)])
    buffer = texts.buffers()[2]
    return b"" if buffer is None else buffer[first_byte:last_byte].to_pybytes()


def write_csv(path: Path, frame: pd.DataFrame, *, decimals: int | None = None) -> None:
    """Write a frame as `csv_content`, atomically; missing folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, csv_content(frame, decimals=decimals).content)


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_bytes(content)
    sync(unfinished)
    os.replace(unfinished, path)
    sync(path.parent)


def _column_texts(
    column: pd.Series[object], *, decimals: int | None = None
) -> tuple[pa.Array, bool]:
    """Convert a column to text (null: empty); also return True if it needs escaping."""
    column_type = column.dtype
    if isinstance(column_type, pd.CategoricalDtype):
        cell_texts, is_free_text = _column_texts(
            pd.Series(column_type.categories), decimals=decimals
        )
        return _decoded_texts(cell_texts, column.cat.codes.to_numpy()), is_free_text
    if pd.api.types.is_bool_dtype(column_type):
        words = column.map({True: "true", False: "false"})
        return _without_nulls(pa.array(words, pa.large_string(), from_pandas=True)), False
    if pd.api.types.is_integer_dtype(column_type):
        return _without_nulls(pa.array(column.array).cast(pa.large_string())), False
    if pd.api.types.is_float_dtype(column_type):
        return _numbers(column, decimals), False
    if pd.api.types.is_datetime64_any_dtype(column_type):
        return _moments(column), False
    if pd.api.types.is_string_dtype(column_type) and not pd.api.types.is_object_dtype(column_type):
        return _without_nulls(pa.array(column.array, pa.large_string())), True
    cell_texts = [cell_text(value, decimals=decimals) for value in column]
    return pa.array(cell_texts, pa.large_string()), not _all_numbers(column)


def cell_text(value: object, *, decimals: int | None = None) -> str:
    """Format a value for files: dates as YYYY-MM-DD, null as the empty text."""
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d")
    if isinstance(value, float | np.floating):
        return _number(float(value), decimals)
    return str(value)


def _number(value: float, decimals: int | None) -> str:
    if decimals is None:
        return repr(value)
    return str(int(value)) if value.is_integer() else f"{value:.{decimals}f}"


def _numbers(column: pd.Series[object], decimals: int | None) -> pa.Array:
    values = column.to_numpy(dtype=float, na_value=np.nan)
    number_texts = ["" if value != value else _number(value, decimals) for value in values.tolist()]
    return pa.array(number_texts, pa.large_string())


def _moments(column: pd.Series[object]) -> pa.Array:
    codes, moments = pd.factorize(column)  # few distinct values, each formatted once
    whole_days = bool((moments.normalize() == moments).all())
    moment_texts = moments.strftime("%Y-%m-%d" if whole_days else "%Y-%m-%dT%H:%M:%S%z")
    return _decoded_texts(pa.array(moment_texts, pa.large_string()), codes)


def _decoded_texts(texts: pa.Array, codes: np.ndarray) -> pa.Array:
    """Decode codes into texts; negative codes are empty."""
    return _without_nulls(texts.take(pa.array(codes, mask=codes < 0)))


def _all_numbers(column: Sequence[object] | pd.Series[object]) -> bool:
    number_types = (int, float, np.integer, np.floating, type(None), type(pd.NA), type(pd.NaT))
    return all(isinstance(value, number_types) for value in column)


def _without_nulls(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    combined = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    return pc.fill_null(combined.cast(pa.large_string()), "")


def _safe_texts(texts: pa.Array) -> tuple[pa.Array, int]:
    """Escape texts that a spreadsheet would run; also return their number."""
    texts = texts.cast(pa.large_string())
    is_formula = pc.match_substring_regex(texts, _FORMULA_PATTERN)
    if pc.any(is_formula).as_py():
        is_formula = pc.and_not(is_formula, pc.match_substring_regex(texts, _NUMBER_PATTERN))
    count = int(pc.sum(is_formula).as_py() or 0)
    if not count:
        return texts, 0
    marked = pc.binary_join_element_wise(_large_text("'"), texts, _large_text(""))
    return pc.if_else(is_formula, marked, texts), count


def _quoted(texts: pa.Array) -> pa.Array:
    """Quote texts that a reader would split."""
    needs_quotes = pc.match_substring_regex(texts, _QUOTED)
    if not pc.any(needs_quotes).as_py():
        return texts
    doubled = pc.replace_substring(texts, '"', '""')
    quoted = pc.binary_join_element_wise(
        _large_text('"'), doubled, _large_text('"'), _large_text("")
    )
    return pc.if_else(needs_quotes, quoted, texts)


def _large_text(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())
