"""Find and erase a person's rows in exports, by contact keys and row index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sql

from campaigns import export_index
from campaigns.export_index import ExportIndex, RowKeys, owned_rows
from campaigns.export_schema import TargetMap
from campaigns.export_table import TABLE_FILE, StoredTable
from features.sources.contact_normalisation import FORMS, comparable_address, phone, sha256_of_text
from features.sources.personal_files import Person, personal_files
from features.storage.csv_files import write_bytes_atomically
from features.storage.fault_injection import boundary
from features.storage.row_files import Mask, RowFile, row_file

# Contact keys of one person; many persons share names and places.
_OWN_KEYS = ("email", "phone", "device_token", "mobile_ad_id", "external_id")
_SHORTEST = 6  # characters; a shorter key matches too much
_UNMISTAKABLE = 12  # characters; a key of this length counts in any column


@dataclass(frozen=True)
class PersonalRows:
    """Rows of a person in one place.

    Attributes
    ----------
    name
        File, relative to the output folder, or table.
    kind
        Category in the erasure receipt.
    rows
        Number of rows.
    shown
        Function that returns the rows.
    erase
        Function that removes them; calling it again changes nothing.
    """

    name: str
    kind: str
    rows: int
    shown: Callable[[], list[dict[str, Any]]]
    erase: Callable[[], None]


def _written_forms(contacts: Mapping[str, Any]) -> frozenset[str]:
    """All forms in which exports may write a person's contact keys.

    Parameters
    ----------
    contacts
        Contact keys of the person in the customer table.
    """
    written = set()
    for key_name in _OWN_KEYS:
        value = contacts.get(key_name)
        if value is None or value != value or len(str(value)) < _SHORTEST:
            continue
        forms = {form(str(value)) for form in FORMS.values()} | {str(value)}
        written |= {text for text in forms if len(text) >= _SHORTEST}
        written |= {sha256_of_text(text) for text in forms if text}
    return frozenset(written)


def own_contacts(
    contacts: pd.DataFrame, customer: str, further_addresses: Sequence[str] = ()
) -> tuple[dict[str, str], set[str]]:
    """Addresses of this customer alone, and the kinds of those shared with other customers.

    Parameters
    ----------
    contacts
        Contact keys by customer id (index), from the customer table.
    customer
        Customer id.
    further_addresses
        Earlier addresses of the customer, which the table no longer holds.
    """
    is_theirs = contacts.index == customer
    contact_row = (
        contacts[is_theirs].iloc[0].dropna() if is_theirs.any() else pd.Series(dtype=object)
    )
    country = str(contact_row.get("country", ""))
    named_keys = {kind: str(contact_row[kind]) for kind in _OWN_KEYS if kind in contact_row}
    named_keys |= named_addresses(further_addresses)
    own_keys: dict[str, str] = {}
    shared_kinds: set[str] = set()
    for key_name, text in named_keys.items():
        kind = key_name.split(" ")[0]
        if _has_another(contacts[~is_theirs], kind, comparable_address(kind, text, country)):
            shared_kinds.add(kind)
            continue
        own_keys[key_name] = text
        if kind == "phone" and (international := phone(text, country)):
            own_keys[f"{key_name} known"] = (
                international  # the form of exports if the country is known
            )
    return own_keys, shared_kinds


def named_addresses(addresses: Sequence[str]) -> dict[str, str]:
    """Addresses named by the person, by kind and number."""
    return {f"{'email' if '@' in text else 'phone'} {number}": text
            for number, text in enumerate(addresses)}  # fmt: skip


def _has_another(contacts: pd.DataFrame, kind: str, address: str) -> bool:
    if kind not in contacts:
        return False
    filled_rows = contacts[contacts[kind].notna()]
    countries = (
        filled_rows["country"].fillna("") if "country" in filled_rows else [""] * len(filled_rows)
    )
    distinct_pairs = {
        (str(text), str(country))
        for text, country in zip(filled_rows[kind], countries, strict=True)
    }
    return any(
        comparable_address(kind, text, country) == address for text, country in distinct_pairs
    )


def export_identity(customer: str, own: Mapping[str, str], targets: Iterable[TargetMap]) -> Person:
    """Identifiers of a customer in exports, from the addresses of `own_contacts`."""
    written_forms = _written_forms({})
    for key_name, address in own.items():
        written_forms |= _written_forms({key_name.split(" ")[0]: address})
    unmistakable = frozenset(
        mark for mark in written_forms if "@" in mark or len(mark) >= _UNMISTAKABLE
    )
    columns = [column for target in targets for column in target.columns]
    return Person(
        customer,
        unmistakable,
        written_forms - unmistakable,
        (*Person("").id_columns, *(c.name for c in columns if c.source == "customer_id")),
        frozenset(c.name for c in columns if c.source in _OWN_KEYS),
    )


def rows_in_exports(
    run: Path, person: Person, keys: RowKeys | None, *, output: Path
) -> Iterator[PersonalRows]:
    """Rows of a person in the exports of a run; the row index comes last.

    Parameters
    ----------
    run
        Folder of the run.
    person
        Identifiers in exports, for rows without an index entry.
    keys
        Secret of the row index; None: no index.
    output
        Output folder; names are relative to it.
    """
    exports = run / "exports"
    for target in sorted({export_path.parent for export_path in _files(exports)}):
        index_path = run / export_index.INDEX_FOLDER / f"{target.name}.parquet"
        index = ExportIndex.load(index_path, keys)
        for export_path in [
            export_path for export_path in _files(exports) if export_path.parent == target
        ]:
            if export_path.name == TABLE_FILE:
                url = sql.URL.create("sqlite", database=str(export_path))
                yield rows_in_table(url, str(export_path.relative_to(output)), person, index)
                continue
            rows = row_file(export_path.read_bytes(), export_path.suffix)
            mask = owned_rows(rows, person, index, export_path.name)
            yield PersonalRows(
                str(export_path.relative_to(output)),
                "exports",
                int(mask.sum()),
                partial(_cells, rows, mask),
                partial(_remove_listed_rows, export_path, mask),
            )
    for index_path in sorted((run / export_index.INDEX_FOLDER).glob("*.parquet")):
        index = ExportIndex.load(index_path, keys)
        if index is not None and (count := index.count(person.customer)):
            yield PersonalRows(
                str(index_path.relative_to(output)),
                export_index.INDEX_FOLDER,
                count,
                lambda: [],  # keyed hashes, without personal data
                partial(_forget, index, index_path, person.customer),
            )


def _cells(rows: RowFile, mask: Mask) -> list[dict[str, Any]]:
    return [rows.cells(int(position)) for position in np.flatnonzero(mask)]


def _files(exports: Path) -> list[Path]:
    return sorted([*personal_files(exports), *exports.rglob(TABLE_FILE)])


def _forget(index: ExportIndex, index_path: Path, customer: str) -> None:
    index.without(customer).save(index_path)
    boundary("erase: index written")


def count_unindexed_files(run: Path, keys: RowKeys | None) -> int:
    """Number of export files of a run with rows, but without an index of them."""
    count = 0
    for path in _files(run / "exports"):
        index_path = run / export_index.INDEX_FOLDER / f"{path.parent.name}.parquet"
        index = ExportIndex.load(index_path, keys)
        is_indexed = index is not None and path.name in index.entries
        count += not is_indexed and _has_rows(path)
    return count


def _has_rows(path: Path) -> bool:
    """Whether an export file holds rows; an index has no entry for an empty file."""
    return path.name == TABLE_FILE or len(row_file(path.read_bytes(), path.suffix)) > 0


def rows_in_table(
    url: str | sql.URL, name: str, person: Person, index: ExportIndex | None
) -> PersonalRows:
    """Rows of a person in an export table.

    Parameters
    ----------
    url
        URL of the export map, with ``${NAME}``, or a complete URL.
    person
        Identifiers of the person.

    Raises
    ------
    UserError
        If the database cannot be reached or read.
    """
    table = StoredTable.read(url)
    is_indexed = index is not None and TABLE_FILE in index.entries
    if index is not None and is_indexed:
        mask, positions_to_read = index.owned(TABLE_FILE, table.records, person.customer)
    else:
        mask, positions_to_read = (
            np.zeros(len(table.rows), dtype=bool),
            list(range(len(table.rows))),
        )
    for position in positions_to_read:
        mask[position] = person.owns(table.cells(position))
    return PersonalRows(
        name,
        "exports",
        int(mask.sum()),
        lambda: [table.cells(int(n)) for n in np.flatnonzero(mask)],
        partial(table.delete, mask),
    )


def _remove_listed_rows(path: Path, mask: Mask) -> None:
    """Remove rows of a file and update its entry in the manifest beside it.

    The manifest is written first: after an interruption, the next erasure still finds the rows.
    """
    if not mask.any():
        return
    content = row_file(path.read_bytes(), path.suffix).without(mask)
    manifest = path.with_name("manifest.json")
    if manifest.is_file():
        manifest_content = json.loads(manifest.read_text(encoding="utf-8"))
        file_facts = {"sha256": hashlib.sha256(content).hexdigest(), "rows": int((~mask).sum())}
        if _update_entries(manifest_content, path.name, file_facts):
            manifest_content["changed_by_erasure"] = True
            text = json.dumps(manifest_content, indent=2, ensure_ascii=False) + "\n"
            write_bytes_atomically(manifest, text.encode("utf-8"))
            boundary("erase: manifest written")
    write_bytes_atomically(path, content)
    boundary("erase: export written")


def _update_entries(
    manifest_content: dict[str, Any], file: str, file_facts: Mapping[str, Any]
) -> bool:
    """Update the manifest's entries of a file; return False if there are none."""
    listed = [*manifest_content.get("files", []), *manifest_content.get("campaigns", [])]
    entries = [entry for entry in listed if entry.get("file") == file]
    for entry in entries:
        entry["sha256"] = file_facts["sha256"]
        # In a file of all campaigns, each entry counts only its own rows.
        if len(entries) == 1:
            count_key = "rows_in_file" if "rows_in_file" in entry else "rows"
            entry.update({count_key: file_facts["rows"]} if count_key in entry else {})
    return bool(entries)
