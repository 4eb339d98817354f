"""CSV files: the one place that writes them, so that no cell can run or break a row.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@`` (also in another width, or
after blanks, quotes and signs that nobody sees), and may split a row at a sign that only looks like
the end of a line. Cells are escaped and quoted by column, not one by one.
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

# Every sign that means = + - @ in another width or position (by compatibility, Unicode's NFKC),
# and the minus sign.
SIGNS = (
    "=+\\-@"
    "\u207a\u207b\u207c\u208a\u208b\u208c\u2212\ufb29"
    "\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
)
# What an import may trim before it looks: control signs, blanks, signs of no width, quotes.
_TRIMMED = (
    "\\x00-\\x20\\x7f-\\xa0\u00ad\u034f\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u3000\ufeff\ufff9-\ufffb"
    "'\"`\u00b4\u2018-\u201f\uff02\uff07"
)
# The same expressions serve Python's engine and Arrow's (RE2).
FORMULA = f"^[{_TRIMMED}]*[{SIGNS}]|^['\"]*[\\t\\r\\n]"
NUMBER = r"^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?\z"
_FORMULA = re.compile(FORMULA)
_NUMBER = re.compile(NUMBER.replace(r"\z", r"\Z"))
# Quotes, commas, and whatever some reader takes for the end of a line.
_QUOTED = '[",\\n\\r\\x0b\\x0c\\x1c-\\x1e\\x85\u2028\u2029]'


@dataclass(frozen=True)
class CsvContent:
    """A CSV file's bytes.

    Attributes
    ----------
    content
        UTF-8, comma separated, a header, lines end with a line feed; null is an empty cell.
    escaped
        How many cells a ``'`` was put before.
    """

    content: bytes
    escaped: int


def safe_cell(text: str) -> str:
    """Text that no spreadsheet runs: a ``'`` is put before what looks like a formula.

    Plain numbers such as ``-5`` or ``+4930123456`` stay as they are: a spreadsheet reads them as
    numbers, and receiving tools know telephone numbers by their sign. Different texts stay
    different, and `original_cell` gives the text back.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.match(text) else text


def original_cell(cell: str) -> str:
    """The text of which `safe_cell` made a cell."""
    text = cell.removeprefix("'")
    return text if safe_cell(text) == cell else cell


def csv_content(frame: pd.DataFrame, *, decimals: int | None = None) -> CsvContent:
    """A frame as a CSV file, header included; the index is not written.

    Parameters
    ----------
    frame
        Numbers are written as numbers and dates as YYYY-MM-DD (with a time where there is one);
        everything else as text, escaped where a spreadsheet would run it.
    decimals
        Places of numbers that are not whole (whole ones have none); None: as many as it takes to
        read the same number.
    """
    header = pa.array([str(name) for name in frame.columns], pa.string())
    names, escaped = _safe(header)
    columns = []
    for place in range(frame.shape[1]):
        texts, free = column_texts(frame.iloc[:, place], decimals=decimals)
        if free:
            texts, count = _safe(texts)
            texts, escaped = _quoted(texts), escaped + count
        columns.append(texts)
    head = ",".join(_quoted(names).to_pylist())
    if len(columns) == 1:  # an empty line would be no row
        columns = [pc.if_else(pc.equal(columns[0], ""), '""', columns[0])]
    if not columns or not len(frame):
        return CsvContent(f"{head}\n".encode(), escaped)
    lines = columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, _large(","))
    return CsvContent(f"{head}\n".encode() + joined_lines(lines), escaped)


def joined_lines(lines: pa.Array) -> bytes:
    """Lines one after the other, each ended by a line feed; without a copy for each line."""
    ended = pc.binary_join_element_wise(lines, _large("\n"), _large(""))
    if isinstance(ended, pa.ChunkedArray):
        return b"".join(_bytes(chunk) for chunk in ended.chunks)
    return _bytes(ended)


def _bytes(texts: pa.Array) -> bytes:
    """The values' bytes, which lie one after the other in memory."""
    offsets = np.frombuffer(texts.buffers()[1], dtype=np.int64)[texts.offset :]
    first, last = int(offsets[0]), int(offsets[len(texts)])
    data = texts.buffers()[2]
    return b"" if data is None else data[first:last].to_pybytes()


def write_csv(path: Path, frame: pd.DataFrame, *, decimals: int | None = None) -> None:
    """Write a frame as `csv_content`, whole or not at all; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, csv_content(frame, decimals=decimals).content)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_bytes(content)
    sync(unfinished)
    os.replace(unfinished, path)
    sync(path.parent)


def column_texts(
    column: pd.Series[object], *, decimals: int | None = None
) -> tuple[pa.Array, bool]:
    """A column as text (null: empty), and whether it is free text that must be escaped."""
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        texts, free = column_texts(pd.Series(kind.categories), decimals=decimals)
        return _placed(texts, column.cat.codes.to_numpy()), free
    if pd.api.types.is_bool_dtype(kind):
        words = column.map({True: "true", False: "false"})
        return _filled(pa.array(words, pa.large_string(), from_pandas=True)), False
    if pd.api.types.is_integer_dtype(kind):
        return _filled(pa.array(column.array).cast(pa.large_string())), False
    if pd.api.types.is_float_dtype(kind):
        return _numbers(column, decimals), False
    if pd.api.types.is_datetime64_any_dtype(kind):
        return _moments(column), False
    if pd.api.types.is_string_dtype(kind) and not pd.api.types.is_object_dtype(kind):
        return _filled(pa.array(column.array, pa.large_string())), True
    texts = [cell_text(value, decimals=decimals) for value in column]
    return pa.array(texts, pa.large_string()), not _all_numbers(column)


def cell_text(value: object, *, decimals: int | None = None) -> str:
    """A value as files show it: dates as YYYY-MM-DD, null as nothing."""
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
    texts = ["" if value != value else _number(value, decimals) for value in values.tolist()]
    return pa.array(texts, pa.large_string())


def _moments(column: pd.Series[object]) -> pa.Array:
    codes, moments = pd.factorize(column)  # there are few, and each is written once
    days = bool((moments.normalize() == moments).all())
    texts = moments.strftime("%Y-%m-%d" if days else "%Y-%m-%dT%H:%M:%S%z")
    return _placed(pa.array(texts, pa.large_string()), codes)


def _placed(texts: pa.Array, codes: np.ndarray) -> pa.Array:
    """Texts by their places; a place below 0 is empty."""
    return _filled(texts.take(pa.array(codes, mask=codes < 0)))


def _all_numbers(column: Sequence[object] | pd.Series[object]) -> bool:
    plain = (int, float, np.integer, np.floating, type(None), type(pd.NA), type(pd.NaT))
    return all(isinstance(value, plain) for value in column)


def _filled(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    whole = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    return pc.fill_null(whole.cast(pa.large_string()), "")


def _safe(texts: pa.Array) -> tuple[pa.Array, int]:
    """Texts with a sign before those that a spreadsheet would run, and how many these are."""
    texts = texts.cast(pa.large_string())
    runs = pc.match_substring_regex(texts, FORMULA)
    if pc.any(runs).as_py():
        runs = pc.and_not(runs, pc.match_substring_regex(texts, NUMBER))
    count = int(pc.sum(runs).as_py() or 0)
    if not count:
        return texts, 0
    marked = pc.binary_join_element_wise(_large("'"), texts, _large(""))
    return pc.if_else(runs, marked, texts), count


def _quoted(texts: pa.Array) -> pa.Array:
    """Texts in quotes where a reader would else split them."""
    split = pc.match_substring_regex(texts, _QUOTED)
    if not pc.any(split).as_py():
        return texts
    doubled = pc.replace_substring(texts, '"', '""')
    quoted = pc.binary_join_element_wise(_large('"'), doubled, _large('"'), _large(""))
    return pc.if_else(split, quoted, texts)


def _large(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())
