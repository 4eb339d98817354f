"""Files of rows, from which rows can be removed while all others keep their bytes.

CSV is split at ends of rows (not of lines), JSON lines at line feeds only: a cell may hold any
other line separator, and may be of any length.
"""

from __future__ import annotations

import bisect
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from features.storage.csv_files import original_cell

Mask = npt.NDArray[np.bool_]
# One CSV cell: quoted, with doubled quotes inside, or up to the next comma.
_CELL = re.compile(r'"([^"]*(?:""[^"]*)*)"?([^,]*)|([^,]*)', re.DOTALL)
_SEPARATOR = "\x1f"


class RowFile(ABC):
    """The rows of a file, in order."""

    @property
    @abstractmethod
    def records(self) -> Sequence[bytes]:
        """The rows' bytes without line ends."""

    @abstractmethod
    def cells(self, place: int) -> dict[str, Any]:
        """Return a row's cells by column, without the escapes for spreadsheets."""

    @abstractmethod
    def without(self, gone: Mask) -> bytes:
        """Return the file's bytes without the masked rows."""

    @abstractmethod
    def holding(self, texts: Iterable[str]) -> list[int]:
        """Return positions of rows that may contain one of the texts; none is missed."""

    def __len__(self) -> int:
        return len(self.records)


class _TextRows(RowFile):
    """A file whose rows are pieces of text."""

    def __init__(self, pieces: list[bytes], head: bytes = b"") -> None:
        self.pieces, self.head = pieces, head

    @property
    def records(self) -> Sequence[bytes]:
        """The rows' bytes."""
        return [piece.rstrip(b"\r\n") for piece in self.pieces]

    def without(self, gone: Mask) -> bytes:
        """Return all other rows, byte for byte."""
        return self.head + b"".join(
            piece for piece, is_removed in zip(self.pieces, gone, strict=True) if not is_removed
        )

    def holding(self, texts: Iterable[str]) -> list[int]:
        """Search the bytes."""
        content, starts = b"".join(self.pieces), self._starts
        row_numbers = set()
        for text in texts:
            for encoded_form in self.written(text):
                position = content.find(encoded_form)
                while position >= 0:
                    row_number = bisect.bisect_right(starts, position) - 1
                    row_numbers.add(row_number)
                    position = content.find(
                        encoded_form, starts[row_number + 1]
                    )  # continue in the next row
        return sorted(row_numbers)

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(len(piece) for piece in self.pieces)]

    @abstractmethod
    def written(self, text: str) -> set[bytes]:
        """Return the encoded forms of a text in the file."""


class _CsvRows(_TextRows):
    """Comma separated values with a header."""

    @classmethod
    def of(cls, content: bytes) -> _CsvRows:
        """The rows of a file's bytes."""
        header, *rows = _split_rows(content) or [b""]
        return cls(rows, header)

    @cached_property
    def columns(self) -> list[str]:
        """The header's names."""
        return [original_cell(cell) for cell in csv_cells(self.head.removesuffix(self._end))]

    @cached_property
    def _end(self) -> bytes:
        """The line end; earlier versions left a carriage return in a last cell unquoted."""
        return b"\r\n" if self.head.endswith(b"\r\n") else b"\n"

    def cells(self, place: int) -> dict[str, Any]:
        """The row's texts."""
        row_bytes = self.pieces[place].removesuffix(self._end)
        cells = [original_cell(cell) for cell in csv_cells(row_bytes)]
        return dict(zip(self.columns, cells, strict=False))

    def written(self, text: str) -> set[bytes]:
        """Return the text with doubled quotes, and unchanged."""
        return {_encoded(text), _encoded(text.replace('"', '""'))}


class _JsonRows(_TextRows):
    """JSON lines: one object a line."""

    @classmethod
    def of(cls, content: bytes) -> _JsonRows:
        """Parse a file's bytes; empty lines are skipped."""
        return cls([line for line in _lines(content) if line.strip()])

    def cells(self, place: int) -> dict[str, Any]:
        """Return the object; a truncated row has no cells."""
        try:
            parsed_row = json.loads(self.pieces[place])
        except ValueError:
            return {}
        return parsed_row if isinstance(parsed_row, dict) else {}

    def written(self, text: str) -> set[bytes]:
        """Return the JSON text, with non-ASCII characters as they are and escaped."""
        unescaped = json.dumps(text, ensure_ascii=False)[1:-1]
        return {_encoded(unescaped), json.dumps(text)[1:-1].encode("ascii")}


class _ParquetRows(RowFile):
    """A table of columns."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def of(cls, content: bytes) -> _ParquetRows:
        """The rows of a file's bytes."""
        return cls(pq.read_table(pa.BufferReader(content)))

    @cached_property
    def records(self) -> Sequence[bytes]:
        """The joined cells of each row."""
        columns = [column.to_pylist() for column in self.table.columns]
        return [joined_cells(row) for row in zip(*columns, strict=True)]

    def cells(self, place: int) -> dict[str, Any]:
        """The row's values."""
        row_values: dict[str, Any] = self.table.slice(place, 1).to_pylist()[0]
        return row_values

    def without(self, gone: Mask) -> bytes:
        """Rewrite the file, so that no page or dictionary retains removed values."""
        kept_rows = self.table.filter(pa.array(~gone))
        for position, field in enumerate(kept_rows.schema):
            if pa.types.is_dictionary(field.type):
                values = kept_rows.column(position).cast(field.type.value_type)
                encoded = values.combine_chunks().dictionary_encode().cast(field.type)
                kept_rows = kept_rows.set_column(position, field, encoded)
        parquet_bytes = io.BytesIO()
        pq.write_table(kept_rows, parquet_bytes, compression="zstd")
        return parquet_bytes.getvalue()

    def holding(self, texts: Iterable[str]) -> list[int]:
        """Search the joined cells."""
        encoded_texts = [_encoded(text) for text in texts]
        return [
            position
            for position, record in enumerate(self.records)
            if any(encoded_text in record for encoded_text in encoded_texts)
        ]


ROW_FILE_KINDS = {".csv": _CsvRows.of, ".jsonl": _JsonRows.of, ".parquet": _ParquetRows.of}


def row_file(content: bytes, suffix: str) -> RowFile:
    """Open a file's bytes by the suffix of its name (see `ROW_FILE_KINDS`)."""
    return ROW_FILE_KINDS[suffix](content)


def joined_cells(cells: Iterable[Any]) -> bytes:
    """Join a row's cells to one text that identifies it."""
    return _encoded(_SEPARATOR.join("" if cell is None else str(cell) for cell in cells))


def csv_cells(row: bytes) -> list[str]:
    """Parse one CSV row without its line end; cells may be of any length."""
    text, cells, position = row.decode("utf-8", "surrogateescape"), [], 0
    while True:
        match = _CELL.match(text, position)
        assert match is not None  # the pattern also matches the empty text
        quoted, after_quotes, unquoted = match.groups()
        cells.append(unquoted if quoted is None else quoted.replace('""', '"') + after_quotes)
        position = match.end() + 1
        if position > len(text):
            return cells


def _split_rows(content: bytes) -> list[bytes]:
    """Split CSV into rows with their ends; a line feed within quotes is no end."""
    rows: list[bytes] = []
    open_lines: list[bytes] = []
    quote_count = 0
    for line in _lines(content):
        open_lines.append(line)
        quote_count += line.count(b'"')
        if quote_count % 2 == 0:
            rows.append(line if len(open_lines) == 1 else b"".join(open_lines))
            open_lines, quote_count = [], 0
    return [*rows, b"".join(open_lines)] if open_lines else rows


def _lines(content: bytes) -> list[bytes]:
    """Split at line feeds, and keep them."""
    *ended_lines, unended = content.split(b"\n")
    lines = [line + b"\n" for line in ended_lines]
    return [*lines, unended] if unended else lines


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
