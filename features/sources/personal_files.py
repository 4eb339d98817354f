"""Rows of one customer in the files the project wrote: found, shown, or taken out."""

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
from features.storage.check_sums import has_sums, note_sum_of
from features.storage.csv_files import write_whole
from features.storage.fault_injection import boundary
from features.storage.row_files import KINDS, Mask, RowFile, row_file

# Headers under which the project itself writes customer ids.
ID_COLUMNS = ("customer_id", "customer")
_UUID_SIGNS = "^(urn:)?uuid:|[-(){}]"


@dataclass(frozen=True)
class Person:
    """By what a customer is known in files.

    Attributes
    ----------
    customer
        The id, as `features.sources.keys.key_value` gives it.
    marks
        Addresses that are theirs alone, in every form in which an export may write them, and
        hashes: in any column these say that a row is theirs.
    short_marks
        The same, but such as could be something else in another column.
    id_columns
        Columns that hold ids.
    contact_columns
        Columns that hold addresses, in which `short_marks` count.
    """

    customer: str
    marks: frozenset[str] = frozenset()
    short_marks: frozenset[str] = frozenset()
    id_columns: Collection[str] = ID_COLUMNS
    contact_columns: Collection[str] = ()

    def by_id(self, value: object) -> bool:
        """Whether a cell of an id column names the customer, however it is spelled."""
        return value is not None and key_value(value) == self.customer

    def owns(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is theirs; where an id stands in it, no address decides."""
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
        """The columns of which an address may tell whose a row is, and the texts that tell it.

        These are the columns known to hold addresses, or, where a file has none of them, all.
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
        """Texts of which one stands in every row of theirs."""
        return frozenset({self.customer}) | self.marks | self.short_marks


def personal_files(folder: Path) -> Iterator[Path]:
    """Every file under a folder that may hold rows of customers, in order."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in KINDS and path.is_file() and not path.is_symlink():
            yield path


def mask_of(path: Path, person: Person) -> Mask:
    """Which rows of a file are the person's."""
    if path.suffix == ".parquet":
        return parquet_mask(path, person)
    file_rows = row_file(path.read_bytes(), path.suffix)
    mask = np.zeros(len(file_rows), dtype=bool)
    mask[
        [
            position
            for position in places_near(file_rows, person)
            if is_theirs(file_rows, position, person)
        ]
    ] = True
    return mask


def places_near(file_rows: RowFile, person: Person) -> Iterable[int]:
    """The rows that could be the person's, found by cheap means; none is missed."""
    # A UUID may be spelled in ways that share no piece of text.
    return range(len(file_rows)) if _is_uuid(person.customer) else file_rows.holding(person.texts)


def is_theirs(file_rows: RowFile, position: int, person: Person) -> bool:
    """Whether a row of `places_near` is the person's.

    A row that was cut off in writing is nobody's any more; it goes, since it names them.
    """
    cells = file_rows.cells(position)
    return person.owns(cells) if cells else not _is_uuid(person.customer)


def shown(path: Path, mask: Mask) -> list[dict[str, Any]]:
    """Some rows of a file, as JSON can say them."""
    if not mask.any():
        return []
    file_rows = row_file(path.read_bytes(), path.suffix)
    return [file_rows.cells(int(position)) for position in np.flatnonzero(mask)]


def take_out(path: Path, mask: Mask) -> None:
    """Rewrite a file without some rows, whole or not at all; its check sum follows."""
    if not mask.any():
        return
    kept_content = row_file(path.read_bytes(), path.suffix).without(mask)
    if has_sums(path):
        unfinished = path.with_name(f"{path.name}.tmp")
        unfinished.write_bytes(kept_content)
        note_sum_of(unfinished, path)
    write_whole(path, kept_content)
    boundary("erase: rows taken out")


def parquet_mask(path: Path, person: Person) -> Mask:
    """Which rows of a parquet file are the person's; only columns that could tell are read."""
    schema = pq.read_schema(path)
    row_count = pq.read_metadata(path).num_rows
    present_ids = [column_name for column_name in schema.names if column_name in person.id_columns]
    matching, without_id = np.zeros(row_count, dtype=bool), np.ones(row_count, dtype=bool)
    for column_name in present_ids:
        column_texts = _column(path, column_name)
        matching |= _booleans(ids_like(column_texts, person.customer))
        without_id &= _booleans(pc.equal(pc.fill_null(column_texts, ""), ""))
    if not without_id.any():
        return matching
    text_columns = [field.name for field in schema if _is_text(field.type)]
    for column_name, marks in person.marks_by_column(text_columns):
        if marks:
            sought_marks = pa.array(sorted(marks), pa.large_string())
            matching |= without_id & _booleans(pc.is_in(_column(path, column_name), sought_marks))
    return matching


def ids_like(texts: pa.ChunkedArray, customer: str) -> pa.ChunkedArray:
    """Which texts are spellings of a customer's id.

    First whoever comes near by cheap means, of whom `key_value` then judges one by one.
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


def near_twins_in(folder: Path, customer: str) -> int:
    """How many other ids under a folder differ only by case, quotes, blanks or width."""
    folded_customer, twins = _folded(customer), set()
    for path in personal_files(folder):
        if path.suffix == ".parquet" and ID_COLUMNS[0] in pq.read_schema(path).names:
            customer_ids = pc.unique(_column(path, ID_COLUMNS[0])).to_pylist()
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
    """A column as text."""
    return pq.read_table(path, columns=[name])[name].cast(pa.large_string())


def _booleans(values: pa.ChunkedArray) -> Mask:
    booleans: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False).astype(bool)
    return booleans
