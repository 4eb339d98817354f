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
        ids = [row[name] for name in row if name in self.id_columns and row[name] not in (None, "")]
        if ids:
            return any(map(self.by_id, ids))
        return any(str(row[name]) in marks for name, marks in self.marks_by_column(row))

    def marks_by_column(self, columns: Iterable[str]) -> list[tuple[str, frozenset[str]]]:
        """The columns of which an address may tell whose a row is, and the texts that tell it.

        These are the columns known to hold addresses, or, where a file has none of them, all.
        """
        names = list(columns)
        known = [name for name in names if name in self.contact_columns]
        if known:
            return [(name, self.marks | self.short_marks) for name in known]
        return [(name, self.marks) for name in names if name not in self.id_columns]

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
    rows = row_file(path.read_bytes(), path.suffix)
    mask = np.zeros(len(rows), dtype=bool)
    mask[[place for place in places_near(rows, person) if is_theirs(rows, place, person)]] = True
    return mask


def places_near(rows: RowFile, person: Person) -> Iterable[int]:
    """The rows that could be the person's, found by cheap means; none is missed."""
    # A UUID may be spelled in ways that share no piece of text.
    return range(len(rows)) if _is_uuid(person.customer) else rows.holding(person.texts)


def is_theirs(rows: RowFile, place: int, person: Person) -> bool:
    """Whether a row of `places_near` is the person's.

    A row that was cut off in writing is nobody's any more; it goes, since it names them.
    """
    cells = rows.cells(place)
    return person.owns(cells) if cells else not _is_uuid(person.customer)


def shown(path: Path, mask: Mask) -> list[dict[str, Any]]:
    """Some rows of a file, as JSON can say them."""
    if not mask.any():
        return []
    rows = row_file(path.read_bytes(), path.suffix)
    return [rows.cells(int(place)) for place in np.flatnonzero(mask)]


def take_out(path: Path, mask: Mask) -> None:
    """Rewrite a file without some rows, whole or not at all; its check sum follows."""
    if not mask.any():
        return
    content = row_file(path.read_bytes(), path.suffix).without(mask)
    if has_sums(path):
        unfinished = path.with_name(f"{path.name}.tmp")
        unfinished.write_bytes(content)
        note_sum_of(unfinished, path)
    write_whole(path, content)
    boundary("erase: rows taken out")


def parquet_mask(path: Path, person: Person) -> Mask:
    """Which rows of a parquet file are the person's; only columns that could tell are read."""
    schema = pq.read_schema(path)
    rows = pq.read_metadata(path).num_rows
    ids = [name for name in schema.names if name in person.id_columns]
    mine, nameless = np.zeros(rows, dtype=bool), np.ones(rows, dtype=bool)
    for name in ids:
        texts = _column(path, name)
        mine |= _booleans(ids_like(texts, person.customer))
        nameless &= _booleans(pc.equal(pc.fill_null(texts, ""), ""))
    if not nameless.any():
        return mine
    texts_in = [field.name for field in schema if _is_text(field.type)]
    for name, marks in person.marks_by_column(texts_in):
        if marks:
            wanted = pa.array(sorted(marks), pa.large_string())
            mine |= nameless & _booleans(pc.is_in(_column(path, name), wanted))
    return mine


def ids_like(texts: pa.ChunkedArray, customer: str) -> pa.ChunkedArray:
    """Which texts are spellings of a customer's id.

    First whoever comes near by cheap means, of whom `key_value` then judges one by one.
    """
    bare = pc.utf8_trim(texts, characters=INVISIBLE)
    near = pc.equal(bare, customer)
    if re.fullmatch("[+-]?[0-9]+", customer):
        near = pc.or_(near, pc.match_substring_regex(bare, f"^{re.escape(customer)}[.]0*$"))
    if _is_uuid(customer):
        signs = pc.replace_substring_regex(pc.utf8_lower(bare), _UUID_SIGNS, "")
        near = pc.or_(near, pc.equal(signs, customer.replace("-", "")))
    near = pc.fill_null(near, False)
    spelled = [text for text in pc.unique(texts.filter(near)).to_pylist()
               if key_value(text) == customer]  # fmt: skip
    return pc.is_in(texts, value_set=pa.array(spelled, pa.large_string()))


def near_twins_in(folder: Path, customer: str) -> int:
    """How many other ids under a folder differ only by case, quotes, blanks or width."""
    wanted, twins = _folded(customer), set()
    for path in personal_files(folder):
        if path.suffix == ".parquet" and ID_COLUMNS[0] in pq.read_schema(path).names:
            ids = pc.unique(_column(path, ID_COLUMNS[0])).to_pylist()
            twins |= {name for name in ids if name is not None and _folded(name) == wanted}
    return len(twins - {customer})


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(sign for sign in plain if sign.isalnum()) or plain


def _is_uuid(customer: str) -> bool:
    return re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", customer) is not None


def _is_text(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain))


def _column(path: Path, name: str) -> pa.ChunkedArray:
    """A column as text."""
    return pq.read_table(path, columns=[name])[name].cast(pa.large_string())


def _booleans(values: pa.ChunkedArray) -> Mask:
    found: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False).astype(bool)
    return found
