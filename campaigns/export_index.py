"""Index of exported rows by customer, stored beside the exports without personal data.

An exported row may contain only the hash of an address, and the address may change in the sources
or disappear. The index stores two keyed hashes per row: of its content and of the customer id.
Without the key, stored separately (`_KEY_FILE`), no guess can be tested against the index.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.sources.personal_files import Person, candidate_rows, is_person_row
from features.storage.csv_files import write_bytes_atomically
from features.storage.row_files import Mask, RowFile

_KEY_FILE = "export_rows.key"
INDEX_FOLDER = "export_rows"  # of a run, beside its exports
_SCHEMA = pa.schema(
    [("file", pa.string()), ("row_key", pa.binary(16)), ("customer_key", pa.binary(16))]
)


@dataclass(frozen=True)
class RowKeys:
    """Keyed hashes of rows and customers.

    Attributes
    ----------
    key
        Secret of the output folder, 32 bytes.
    """

    key: bytes

    @classmethod
    def load(cls, output: Path) -> RowKeys | None:
        """Secret of an output folder; None if it is absent or invalid."""
        path = output / _KEY_FILE
        if not path.is_file():
            return None
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except ValueError:
            return None
        return cls(key) if len(key) == 32 else None

    def save(self, output: Path) -> None:
        """Write the secret, readable only by its owner."""
        partial = output / f"{_KEY_FILE}.tmp"
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(self.key.hex())
        os.replace(partial, output / _KEY_FILE)

    def customer(self, customer: str) -> bytes:
        """Hash of a customer id."""
        return self._hash(customer.encode("utf-8"), b"customer")

    def row(self, record: bytes) -> bytes:
        """Hash of a row's content."""
        return self._hash(record, b"row")

    def _hash(self, content: bytes, kind: bytes) -> bytes:
        return hashlib.blake2b(content, key=self.key, person=kind, digest_size=16).digest()


@dataclass
class ExportIndex:
    """Customers of the rows in the files of one target.

    Attributes
    ----------
    keys
        Secret of the index.
    entries
        File -> row key and customer key per row.
    """

    keys: RowKeys
    entries: dict[str, list[tuple[bytes, bytes]]]

    @classmethod
    def load(cls, path: Path, keys: RowKeys | None) -> ExportIndex | None:
        """Index of a file; None if it is absent or unreadable."""
        if keys is None or not path.is_file():
            return None
        try:
            table = pq.read_table(path, schema=_SCHEMA)
        except (pa.ArrowInvalid, OSError):
            return None
        index = cls(keys, {})
        for file_name, row_key, customer_key in zip(
            *(column.to_pylist() for column in table.columns), strict=True
        ):
            index.entries.setdefault(file_name, []).append((row_key, customer_key))
        return index

    def add(self, file: str, records: Iterable[bytes], customers: Iterable[str]) -> None:
        """Store the customer of each row of a file."""
        customer_hash = self.keys.customer
        self.entries[file] = [
            (self.keys.row(record), customer_hash(customer))
            for record, customer in zip(records, customers, strict=True)
        ]

    def save(self, path: Path) -> None:
        """Write the index atomically."""
        rows = [(file, *keys) for file, entries in self.entries.items() for keys in entries]
        columns = list(zip(*rows, strict=True)) or [()] * len(_SCHEMA)
        arrays = [
            pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)
        ]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA), buffer, compression="zstd")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, buffer.getvalue())

    def without(self, customer: str) -> ExportIndex:
        """Index without the rows of a customer."""
        customer_key = self.keys.customer(customer)
        remaining = {
            file: [entry for entry in entries if entry[1] != customer_key]
            for file, entries in self.entries.items()
        }
        return ExportIndex(self.keys, remaining)

    def count(self, customer: str) -> int:
        """Number of rows of a customer."""
        customer_key = self.keys.customer(customer)
        return sum(
            owner_key == customer_key
            for entries in self.entries.values()
            for _, owner_key in entries
        )

    def owned(self, file: str, records: Sequence[bytes], customer: str) -> tuple[Mask, list[int]]:
        """Mask of a customer's rows in a file, and positions of rows without an index entry.

        Rows of two customers may be identical. As many stay as other customers have, so that a
        repeated erasure after an interruption removes no row of another customer.
        """
        customer_key = self.keys.customer(customer)
        entries = self.entries.get(file, [])
        own_rows = Counter(row_key for row_key, owner_key in entries if owner_key == customer_key)
        foreign_rows = Counter(
            row_key for row_key, owner_key in entries if owner_key != customer_key
        )
        places: dict[bytes, list[int]] = {}
        unknown = []
        for position, record in enumerate(records):
            row_key = self.keys.row(record)
            if row_key in own_rows:
                places.setdefault(row_key, []).append(position)
            elif row_key not in foreign_rows:
                unknown.append(position)
        mask = np.zeros(len(records), dtype=bool)
        for row_key, same_rows in places.items():
            count = min(max(len(same_rows) - foreign_rows[row_key], 0), own_rows[row_key])
            mask[same_rows[len(same_rows) - count :]] = True
        return mask, unknown


def owned_rows(rows: RowFile, person: Person, index: ExportIndex | None, file: str) -> Mask:
    """Mask of a person's rows in an export: by the index, else by the content of the rows."""
    if index is None or file not in index.entries:
        mask, unknown = np.zeros(len(rows), dtype=bool), None
    else:
        mask, places = index.owned(file, rows.records, person.customer)
        unknown = set(places)
    for position in candidate_rows(rows, person):
        if unknown is None or position in unknown:
            mask[position] = is_person_row(rows, position, person)
    return mask
