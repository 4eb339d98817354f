"""Rows of one customer in the files the project wrote: shown, or taken out."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.storage.runs import sync

ID_COLUMNS = ("customer_id", "customer")
KINDS = (".parquet", ".csv", ".jsonl")


@dataclass(frozen=True)
class Person:
    """By what a customer is known in files.

    Attributes
    ----------
    customer
        The id.
    marks
        What else is theirs alone, in every form in which an export may write it (mail address,
        telephone number, their hashes, ...).
    id_columns
        Columns that hold ids.
    """

    customer: str
    marks: frozenset[str] = frozenset()
    id_columns: Collection[str] = ID_COLUMNS

    def known_in(self, column: str) -> frozenset[str]:
        """What says in a column that the row is of this person."""
        return self.marks | ({self.customer} if column in self.id_columns else set())

    def holds(self, column: str, value: object) -> bool:
        """Whether a cell says that its row is of this person."""
        # A sign before what looks like a formula is no part of the value.
        texts = {str(value), str(value).removeprefix("'")}
        return bool(texts & self.known_in(column))


def personal_files(folder: Path) -> Iterator[Path]:
    """Every file under a folder that may hold rows of customers, in order."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in KINDS and path.is_file() and not path.is_symlink():
            yield path


def rows_of(path: Path, person: Person) -> list[dict[str, Any]]:
    """The person's rows in a file."""
    if path.suffix == ".parquet":
        table = pq.read_table(path, filters=None, columns=_looked_at(path, person) or [])
        mask = _mask(table, person)
        if mask is None or not pc.any(mask).as_py():
            return []
        found: list[dict[str, Any]] = pq.read_table(path).filter(mask).to_pylist()
        return found
    if path.suffix == ".csv":
        header, rows = _csv(path)
        return [dict(zip(header, row, strict=False)) for row in rows if _is(header, row, person)]
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return [line for line in lines if _said(line, person)]


def take_out(path: Path, person: Person) -> int:
    """Rewrite a file without the person's rows, whole or not at all; how many there were."""
    if path.suffix == ".parquet":
        return _out_of_parquet(path, person)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        header, rows = _csv(path)
        kept = [row for row in rows if not _is(header, row, person)]
        gone = len(rows) - len(kept)
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\n").writerows([header, *kept])
        content = out.getvalue()
    else:
        lines = [line for line in text.splitlines() if line]
        left = [line for line in lines if not _said(json.loads(line), person)]
        gone, content = len(lines) - len(left), "".join(f"{line}\n" for line in left)
    if gone:
        _replaced(path, content.encode("utf-8"))
    return gone


def _looked_at(path: Path, person: Person) -> list[str]:
    """Columns that tell whose a row is: ids, and any text where marks are known."""
    schema = pq.read_schema(path)
    return [
        field.name
        for field in schema
        if field.name in person.id_columns or (person.marks and _is_text(field.type))
    ]


def _is_text(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain))


def _mask(table: pa.Table, person: Person) -> pa.Array | None:
    """Which rows are the person's; None where no column could tell."""
    mask = None
    for name in table.column_names:
        values = pa.array(sorted(person.known_in(name)), pa.string())
        mine = pc.fill_null(pc.is_in(table[name].cast(pa.string()), value_set=values), False)
        mask = mine if mask is None else pc.or_(mask, mine)
    return mask


def _out_of_parquet(path: Path, person: Person) -> int:
    looked = _looked_at(path, person)
    if not looked:
        return 0
    mask = _mask(pq.read_table(path, columns=looked), person)
    gone = int(pc.sum(mask).as_py() or 0)
    if gone:
        table = pq.read_table(path)
        kept = table.filter(pc.invert(mask))
        # A dictionary keeps the values of rows that are gone, and would be written with them.
        for place, field in enumerate(kept.schema):
            if pa.types.is_dictionary(field.type):
                plain = kept.column(place).cast(field.type.value_type)
                fresh = plain.combine_chunks().dictionary_encode().cast(field.type)
                kept = kept.set_column(place, field, fresh)
        out = pa.BufferOutputStream()
        pq.write_table(kept, out, compression="zstd")
        _replaced(path, out.getvalue().to_pybytes())
    return gone


def _csv(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return (rows[0], rows[1:]) if rows else ([], [])


def _is(header: list[str], row: list[str], person: Person) -> bool:
    return any(person.holds(name, cell) for name, cell in zip(header, row, strict=False))


def _said(line: Mapping[str, Any], person: Person) -> bool:
    return any(person.holds(name, value) for name, value in line.items())


def _replaced(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.tmp")
    partial.write_bytes(content)
    sync(partial)
    os.replace(partial, path)
    sync(path.parent)
