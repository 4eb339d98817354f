"""Rows of one customer in the files that the project wrote: find, show and remove them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.sources.keys import INVISIBLE, key_value
from features.storage.check_sums import has_sums, write_sum_before_rename
from features.storage.csv_files import write_bytes_atomically
from features.storage.fault_injection import boundary
from features.storage.row_files import ROW_FILE_KINDS, Mask, RowFile, row_file

# Column names under which the project writes customer ids.
_ID_COLUMNS = ("customer_id", "customer")
_UUID_SIGNS = "^(urn:)?uuid:|[-(){}]"


@dataclass(frozen=True)
class Person:
    """Identifiers by which a customer's rows are recognised.

    Attributes
    ----------
    customer
        The id, as `features.sources.keys.key_value` gives it.
    marks
        The customer's own addresses, in every form that exports write, and their hashes; in any
        column they identify the row.
    short_marks
        Like `marks`, but short enough to mean something else in another column.
    id_columns
        Columns that hold ids.
    contact_columns
        Columns that hold addresses; only there `short_marks` count.
    """

    customer: str
    marks: frozenset[str] = frozenset()
    short_marks: frozenset[str] = frozenset()
    id_columns: Collection[str] = _ID_COLUMNS
    contact_columns: Collection[str] = ()

    def by_id(self, value: object) -> bool:
        """Return True if a cell of an id column is the customer's id in any spelling."""
        return value is not None and key_value(value) == self.customer

    def owns(self, row: Mapping[str, Any]) -> bool:
        """Return True if a row is the customer's; a row with an id is decided by the id alone."""
        row_ids = [
            row[column_name]
            for column_name in row
            if column_name in self.id_columns and row[column_name] not in (None, "")
        ]
        if row_ids:
            return any(map(self.by_id, row_ids))
        return any(
            str(row[column_name]) in marks for column_name, marks in self.marks_by_column(row)
        )

    def marks_by_column(self, columns: Iterable[str]) -> list[tuple[str, frozenset[str]]]:
        """Return the columns whose text may identify the customer, with the identifying texts.

        These are the columns known to hold addresses; all columns if a file has none of them.
        """
        column_names = list(columns)
        contact_columns = [
            column_name for column_name in column_names if column_name in self.contact_columns
        ]
        if contact_columns:
            return [(column_name, self.marks | self.short_marks) for column_name in contact_columns]
        return [
            (column_name, self.marks)
            for column_name in column_names
            if column_name not in self.id_columns
        ]

    @property
    def texts(self) -> frozenset[str]:
        """Texts of which every row of the customer contains at least one."""
        return frozenset({self.customer}) | self.marks | self.short_marks


def personal_files(folder: Path) -> Iterator[Path]:
    """Yield every file under a folder that may hold customer rows, in sorted order."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in ROW_FILE_KINDS and path.is_file() and not path.is_symlink():
            yield path


def person_mask(path: Path, person: Person) -> Mask:
    """Return a bool mask of the person's rows in a file."""
    if path.suffix == ".parquet":
        return _parquet_mask(path, person)
    file_rows = row_file(path.read_bytes(), path.suffix)
    mask = np.zeros(len(file_rows), dtype=bool)
    mask[
        [
            position
            for position in candidate_rows(file_rows, person)
            if is_person_row(file_rows, position, person)
        ]
    ] = True
    return mask


def candidate_rows(file_rows: RowFile, person: Person) -> Iterable[int]:
    """Return positions of rows that may be the person's: a cheap test without misses."""
    # Spellings of a UUID may share no substring, so every row is a candidate.
    return range(len(file_rows)) if _is_uuid(person.customer) else file_rows.holding(person.texts)


def is_person_row(file_rows: RowFile, position: int, person: Person) -> bool:
    """Return True if a row of `candidate_rows` is the person's.

    A truncated row has no cells; it is removed because it contains the person's id.
    """
    cells = file_rows.cells(position)
    return person.owns(cells) if cells else not _is_uuid(person.customer)


def rows_of(path: Path, mask: Mask) -> list[dict[str, Any]]:
    """Return the masked rows of a file as JSON-compatible dictionaries."""
    if not mask.any():
        return []
    file_rows = row_file(path.read_bytes(), path.suffix)
    return [file_rows.cells(int(position)) for position in np.flatnonzero(mask)]


def remove_rows(path: Path, mask: Mask) -> None:
    """Rewrite a file atomically without the masked rows, and update its check sum."""
    if not mask.any():
        return
    kept_content = row_file(path.read_bytes(), path.suffix).without(mask)
    if has_sums(path):
        unfinished = path.with_name(f"{path.name}.tmp")
        unfinished.write_bytes(kept_content)
        write_sum_before_rename(unfinished, path)
    write_bytes_atomically(path, kept_content)
    boundary("erase: rows taken out")


def _parquet_mask(path: Path, person: Person) -> Mask:
    """Return a bool mask of the person's rows in a parquet file; reads only relevant columns."""
    schema = pq.read_schema(path)
    row_count = pq.read_metadata(path).num_rows
    present_ids = [column_name for column_name in schema.names if column_name in person.id_columns]
    matching, without_id = np.zeros(row_count, dtype=bool), np.ones(row_count, dtype=bool)
    for column_name in present_ids:
        column_texts = _column(path, column_name)
        matching |= _booleans(_ids_like(column_texts, person.customer))
        without_id &= _booleans(pc.equal(pc.fill_null(column_texts, ""), ""))
    if not without_id.any():
        return matching
    text_columns = [field.name for field in schema if _is_text(field.type)]
    for column_name, marks in person.marks_by_column(text_columns):
        if marks:
            sought_marks = pa.array(sorted(marks), pa.large_string())
            matching |= without_id & _booleans(pc.is_in(_column(path, column_name), sought_marks))
    return matching


def _ids_like(texts: pa.ChunkedArray, customer: str) -> pa.ChunkedArray:
    """Return bool per text: True if it is a spelling of the customer's id.

    A cheap filter first; `key_value` then decides each remaining spelling.
    """
    trimmed = pc.utf8_trim(texts, characters=INVISIBLE)
    candidates = pc.equal(trimmed, customer)
    if re.fullmatch("[+-]?[0-9]+", customer):
        candidates = pc.or_(
            candidates, pc.match_substring_regex(trimmed, f"^{re.escape(customer)}[.]0*$")
        )
    if _is_uuid(customer):
        plain_signs = pc.replace_substring_regex(pc.utf8_lower(trimmed), _UUID_SIGNS, "")
        candidates = pc.or_(candidates, pc.equal(plain_signs, customer.replace("-", "")))
    candidates = pc.fill_null(candidates, False)
    spellings = [spelling for spelling in pc.unique(texts.filter(candidates)).to_pylist()
               if key_value(spelling) == customer]  # fmt: skip
    return pc.is_in(texts, value_set=pa.array(spellings, pa.large_string()))


def count_near_twins(folder: Path, customer: str) -> int:
    """Count the other ids under a folder that differ only by case, quotes, blanks or width."""
    folded_customer, twins = _folded(customer), set()
    for path in personal_files(folder):
        if path.suffix == ".parquet" and _ID_COLUMNS[0] in pq.read_schema(path).names:
            customer_ids = pc.unique(_column(path, _ID_COLUMNS[0])).to_pylist()
            twins |= {
                customer_id
                for customer_id in customer_ids
                if customer_id is not None and _folded(customer_id) == folded_customer
            }
    return len(twins - {customer})


def _folded(text: str) -> str:
    normalised = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in normalised if character.isalnum()) or normalised


def _is_uuid(customer: str) -> bool:
    return re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", customer) is not None


def _is_text(column_type: pa.DataType) -> bool:
    value_type = column_type.value_type if pa.types.is_dictionary(column_type) else column_type
    return bool(pa.types.is_string(value_type) or pa.types.is_large_string(value_type))


def _column(path: Path, name: str) -> pa.ChunkedArray:
    """Read a column as text."""
    return pq.read_table(path, columns=[name])[name].cast(pa.large_string())


def _booleans(values: pa.ChunkedArray) -> Mask:
    booleans: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False).astype(bool)
    return booleans
