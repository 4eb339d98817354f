"""Which customer each exported row was: an index beside the exports, without personal data.

An exported row may hold nothing but a hash of an address, and the address may change in the sources
or leave them. The index says of each row of a file whose it was, as two keyed hashes: of the row's
content and of the customer id. Without the key, which lies apart (`FILE`), neither can be tested
against a guess, and an index alone tells nobody anything.
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

FILE = "export_rows.key"
FOLDER = "export_rows"  # of a run, beside its exports
SCHEMA = pa.schema(
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
        """The secret of an output folder; None where there is none, or no longer."""
        path = output / FILE
        if not path.is_file():
            return None
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except ValueError:
            return None
        return cls(key) if len(key) == 32 else None

    def save(self, output: Path) -> None:
        """Keep the secret, readable by its owner only."""
        partial = output / f"{FILE}.tmp"
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(self.key.hex())
        os.replace(partial, output / FILE)

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
    """Whose rows the files of one target are.

    Attributes
    ----------
    keys
        The secret.
    entries
        By file: row key and customer key of each row.
    """

    keys: RowKeys
    entries: dict[str, list[tuple[bytes, bytes]]]

    @classmethod
    def load(cls, path: Path, keys: RowKeys | None) -> ExportIndex | None:
        """The index in a file; None where there is none that can be read."""
        if keys is None or not path.is_file():
            return None
        try:
            table = pq.read_table(path, schema=SCHEMA)
        except (pa.ArrowInvalid, OSError):
            return None
        index = cls(keys, {})
        for file, row, customer in zip(*(c.to_pylist() for c in table.columns), strict=True):
            index.entries.setdefault(file, []).append((row, customer))
        return index

    def add(self, file: str, records: Iterable[bytes], customers: Iterable[str]) -> None:
        """Note whose each row of a file is."""
        hashed = self.keys.customer
        self.entries[file] = [
            (self.keys.row(record), hashed(customer))
            for record, customer in zip(records, customers, strict=True)
        ]

    def save(self, path: Path) -> None:
        """Write the index whole or not at all."""
        rows = [(file, *keys) for file, entries in self.entries.items() for keys in entries]
        columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
        arrays = [pa.array(c, field.type) for c, field in zip(columns, SCHEMA, strict=True)]
        out = io.BytesIO()
        pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), out, compression="zstd")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, out.getvalue())

    def without(self, customer: str) -> ExportIndex:
        """The index of what is left once a customer's rows are gone."""
        theirs = self.keys.customer(customer)
        kept = {
            file: [entry for entry in entries if entry[1] != theirs]
            for file, entries in self.entries.items()
        }
        return ExportIndex(self.keys, kept)

    def count(self, customer: str) -> int:
        """How many rows are a customer's."""
        theirs = self.keys.customer(customer)
        return sum(whose == theirs for entries in self.entries.values() for _, whose in entries)

    def owned(self, file: str, records: Sequence[bytes], customer: str) -> tuple[Mask, list[int]]:
        """Which rows of a file are a customer's, and the places of those it does not know.

        Rows of two customers may be alike to the last sign. As many stay as others have, so that
        looking again after an erasure that was killed takes nobody else's.
        """
        theirs = self.keys.customer(customer)
        entries = self.entries.get(file, [])
        mine = Counter(row for row, whose in entries if whose == theirs)
        others = Counter(row for row, whose in entries if whose != theirs)
        places: dict[bytes, list[int]] = {}
        unknown = []
        for place, record in enumerate(records):
            row = self.keys.row(record)
            if row in mine:
                places.setdefault(row, []).append(place)
            elif row not in others:
                unknown.append(place)
        mask = np.zeros(len(records), dtype=bool)
        for row, found in places.items():
            count = min(max(len(found) - others[row], 0), mine[row])
            mask[found[len(found) - count :]] = True
        return mask, unknown


def owned_rows(rows: RowFile, person: Person, index: ExportIndex | None, file: str) -> Mask:
    """Which rows of an export are a person's: by the index, else by what stands in them."""
    if index is None or file not in index.entries:
        mask, unknown = np.zeros(len(rows), dtype=bool), None
    else:
        mask, places = index.owned(file, rows.records, person.customer)
        unknown = set(places)
    for place in candidate_rows(rows, person):
        if unknown is None or place in unknown:
            mask[place] = is_person_row(rows, place, person)
    return mask
