"""Files of rows, opened so that some rows can be taken out while all others keep their bytes.

CSV is split where the row ends and not where a line does, JSON lines at line feeds alone: a cell
may hold any other sign that somewhere ends a line, and may be of any length.
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
# One cell of CSV: in quotes, within which a quote is doubled, or up to the next comma.
_CELL = re.compile(r'"([^"]*(?:""[^"]*)*)"?([^,]*)|([^,]*)', re.DOTALL)
_BETWEEN = "\x1f"


class RowFile(ABC):
    """The rows of a file in their order."""

    @property
    @abstractmethod
    def records(self) -> Sequence[bytes]:
        """What tells a row from another one: its content, without the end of its line."""

    @abstractmethod
    def cells(self, place: int) -> dict[str, Any]:
        """A row's cells by column, as they were before they were made safe for spreadsheets."""

    @abstractmethod
    def without(self, gone: Mask) -> bytes:
        """The file's bytes without some rows."""

    @abstractmethod
    def holding(self, texts: Iterable[str]) -> list[int]:
        """Places of the rows that may hold one of some texts; none is missed."""

    def __len__(self) -> int:
        return len(self.records)


class TextRows(RowFile):
    """A file whose rows are pieces of text."""

    def __init__(self, pieces: list[bytes], head: bytes = b"") -> None:
        self.pieces, self.head = pieces, head

    @property
    def records(self) -> Sequence[bytes]:
        """The rows' bytes."""
        return [piece.rstrip(b"\r\n") for piece in self.pieces]

    def without(self, gone: Mask) -> bytes:
        """All other rows, byte by byte."""
        return self.head + b"".join(
            piece for piece, out in zip(self.pieces, gone, strict=True) if not out
        )

    def holding(self, texts: Iterable[str]) -> list[int]:
        """By searching the bytes."""
        whole, starts = b"".join(self.pieces), self._starts
        places = set()
        for text in texts:
            for wanted in self.written(text):
                at = whole.find(wanted)
                while at >= 0:
                    place = bisect.bisect_right(starts, at) - 1
                    places.add(place)
                    at = whole.find(wanted, starts[place + 1])  # one row is looked at once
        return sorted(places)

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(len(piece) for piece in self.pieces)]

    @abstractmethod
    def written(self, text: str) -> set[bytes]:
        """The forms in which a text may stand in the file's bytes."""


class CsvRows(TextRows):
    """Comma separated values with a header."""

    @classmethod
    def of(cls, content: bytes) -> CsvRows:
        """The rows of a file's bytes."""
        head, *rows = _split_rows(content) or [b""]
        return cls(rows, head)

    @cached_property
    def columns(self) -> list[str]:
        """The header's names."""
        return [original_cell(cell) for cell in csv_cells(self.head.removesuffix(self._end))]

    @cached_property
    def _end(self) -> bytes:
        """How lines end; earlier versions left a carriage return of a last cell unquoted."""
        return b"\r\n" if self.head.endswith(b"\r\n") else b"\n"

    def cells(self, place: int) -> dict[str, Any]:
        """The row's texts."""
        row = self.pieces[place].removesuffix(self._end)
        cells = [original_cell(cell) for cell in csv_cells(row)]
        return dict(zip(self.columns, cells, strict=False))

    def written(self, text: str) -> set[bytes]:
        """With its quotes doubled, or as it is."""
        return {_encoded(text), _encoded(text.replace('"', '""'))}


class JsonRows(TextRows):
    """JSON lines: one object a line."""

    @classmethod
    def of(cls, content: bytes) -> JsonRows:
        """The rows of a file's bytes; an empty line is none."""
        return cls([line for line in _lines(content) if line.strip()])

    def cells(self, place: int) -> dict[str, Any]:
        """The object; what was cut off in writing has no cells."""
        try:
            found = json.loads(self.pieces[place])
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def written(self, text: str) -> set[bytes]:
        """In JSON, with signs beyond ASCII as they are or by their numbers."""
        plain = json.dumps(text, ensure_ascii=False)[1:-1]
        return {_encoded(plain), json.dumps(text)[1:-1].encode("ascii")}


class ParquetRows(RowFile):
    """A table of columns."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def of(cls, content: bytes) -> ParquetRows:
        """The rows of a file's bytes."""
        return cls(pq.read_table(pa.BufferReader(content)))

    @cached_property
    def records(self) -> Sequence[bytes]:
        """The cells of each row, one after the other."""
        columns = [column.to_pylist() for column in self.table.columns]
        return [joined_cells(row) for row in zip(*columns, strict=True)]

    def cells(self, place: int) -> dict[str, Any]:
        """The row's values."""
        found: dict[str, Any] = self.table.slice(place, 1).to_pylist()[0]
        return found

    def without(self, gone: Mask) -> bytes:
        """Written anew, so that neither a page nor a dictionary keeps what is gone."""
        kept = self.table.filter(pa.array(~gone))
        for place, field in enumerate(kept.schema):
            if pa.types.is_dictionary(field.type):
                plain = kept.column(place).cast(field.type.value_type)
                fresh = plain.combine_chunks().dictionary_encode().cast(field.type)
                kept = kept.set_column(place, field, fresh)
        out = io.BytesIO()
        pq.write_table(kept, out, compression="zstd")
        return out.getvalue()

    def holding(self, texts: Iterable[str]) -> list[int]:
        """By the cells of every column of text."""
        wanted = [_encoded(text) for text in texts]
        return [n for n, record in enumerate(self.records) if any(w in record for w in wanted)]


KINDS = {".csv": CsvRows.of, ".jsonl": JsonRows.of, ".parquet": ParquetRows.of}


def row_file(content: bytes, suffix: str) -> RowFile:
    """The rows of a file's bytes, by the ending of its name (see `KINDS`)."""
    return KINDS[suffix](content)


def joined_cells(cells: Iterable[Any]) -> bytes:
    """The cells of a row as one text that tells it from others."""
    return _encoded(_BETWEEN.join("" if cell is None else str(cell) for cell in cells))


def csv_cells(row: bytes) -> list[str]:
    """The cells of one row of CSV, without the end of its line; a cell may be of any length."""
    text, cells, at = row.decode("utf-8", "surrogateescape"), [], 0
    while True:
        match = _CELL.match(text, at)
        assert match is not None  # it matches nothing, too
        quoted, rest, plain = match.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"') + rest)
        at = match.end() + 1
        if at > len(text):
            return cells


def _split_rows(content: bytes) -> list[bytes]:
    """The rows of CSV with their ends: a line feed within quotes ends none."""
    rows: list[bytes] = []
    begun: list[bytes] = []
    quotes = 0
    for line in _lines(content):
        begun.append(line)
        quotes += line.count(b'"')
        if quotes % 2 == 0:
            rows.append(line if len(begun) == 1 else b"".join(begun))
            begun, quotes = [], 0
    return [*rows, b"".join(begun)] if begun else rows


def _lines(content: bytes) -> list[bytes]:
    """What line feeds end, with them."""
    *ended, last = content.split(b"\n")
    lines = [line + b"\n" for line in ended]
    return [*lines, last] if last else lines


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
