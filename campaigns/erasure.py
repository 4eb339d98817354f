"""A person in exports: by what receiving tools know them, and where their rows are."""

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
from campaigns.contact_normalisation import FORMS, address_text, phone, sha256
from campaigns.export_index import ExportIndex, RowKeys, owned_rows
from campaigns.export_schema import TargetMap
from campaigns.export_table import TABLE_FILE, StoredTable
from features.sources.personal_files import Person, personal_files
from features.storage.csv_files import write_bytes_atomically
from features.storage.fault_injection import boundary
from features.storage.row_files import Mask, RowFile, row_file

# Contact keys that name one person; names and places are shared by many.
OWN_KEYS = ("email", "phone", "device_token", "mobile_ad_id", "external_id")
SHORTEST = 6  # a shorter key could be anything else
UNMISTAKABLE = 12  # from here on a key is taken for one in whatever column it stands


@dataclass(frozen=True)
class Place:
    """Rows of a person somewhere.

    Attributes
    ----------
    name
        The file, relative to the output folder, or the table.
    kind
        Under what a receipt counts it.
    rows
        How many.
    shown
        Gives the rows.
    erase
        Takes them out; taking out what is gone already changes nothing.
    """

    name: str
    kind: str
    rows: int
    shown: Callable[[], list[dict[str, Any]]]
    erase: Callable[[], None]


def marks_of(contacts: Mapping[str, Any]) -> frozenset[str]:
    """Every form in which an export may write a person's own contact keys.

    Parameters
    ----------
    contacts
        Contact keys of the person as the customer table has them.
    """
    found = set()
    for key in OWN_KEYS:
        value = contacts.get(key)
        if value is None or value != value or len(str(value)) < SHORTEST:
            continue
        texts = {form(str(value)) for form in FORMS.values()} | {str(value)}
        found |= {text for text in texts if len(text) >= SHORTEST}
        found |= {sha256(text) for text in texts if text}
    return frozenset(found)


def own_contacts(
    contacts: pd.DataFrame, customer: str, more: Sequence[str] = ()
) -> tuple[dict[str, str], set[str]]:
    """Addresses of a customer that nobody else has, and the keys of those that another has too.

    Parameters
    ----------
    contacts
        Contact keys by customer id (index), as the customer table has them.
    customer
        Whose.
    more
        Addresses of theirs that the table has no longer.
    """
    theirs = contacts.index == customer
    mine = contacts[theirs].iloc[0].dropna() if theirs.any() else pd.Series(dtype=object)
    country = str(mine.get("country", ""))
    asked = {key: str(mine[key]) for key in OWN_KEYS if key in mine}
    asked |= named_addresses(more)
    own: dict[str, str] = {}
    shared: set[str] = set()
    for name, text in asked.items():
        key = name.split(" ")[0]
        if _has_another(contacts[~theirs], key, address_text(key, text, country)):
            shared.add(key)
            continue
        own[name] = text
        if key == "phone" and (known := phone(text, country)):
            own[f"{name} known"] = known  # as exports write it where the country is known
    return own, shared


def named_addresses(addresses: Sequence[str]) -> dict[str, str]:
    """Addresses that a person names, by kind and number."""
    return {f"{'email' if '@' in text else 'phone'} {number}": text
            for number, text in enumerate(addresses)}  # fmt: skip


def _has_another(others: pd.DataFrame, key: str, wanted: str) -> bool:
    if key not in others:
        return False
    there = others[others[key].notna()]
    countries = there["country"].fillna("") if "country" in there else [""] * len(there)
    pairs = {(str(text), str(country)) for text, country in zip(there[key], countries, strict=True)}
    return any(address_text(key, text, country) == wanted for text, country in pairs)


def person_in_exports(
    customer: str, own: Mapping[str, str], targets: Iterable[TargetMap]
) -> Person:
    """By what exports know a customer, from addresses as `own_contacts` gives them."""
    marks = marks_of({})
    for name, text in own.items():
        marks |= marks_of({name.split(" ")[0]: text})
    long = frozenset(mark for mark in marks if "@" in mark or len(mark) >= UNMISTAKABLE)
    columns = [column for target in targets for column in target.columns]
    return Person(
        customer,
        long,
        marks - long,
        (*Person("").id_columns, *(c.name for c in columns if c.source == "customer_id")),
        frozenset(c.name for c in columns if c.source in OWN_KEYS),
    )


def places_in_exports(
    run: Path, person: Person, keys: RowKeys | None, *, output: Path
) -> Iterator[Place]:
    """Where a person stands in the exports of a run, its index of rows last.

    Parameters
    ----------
    run
        The run's folder.
    person
        By what exports know them, where the index does not.
    keys
        Secret of the index; None: there is none.
    output
        The output folder, to which names are relative.
    """
    exports = run / "exports"
    for target in sorted({path.parent for path in _files(exports)}):
        place = run / export_index.FOLDER / f"{target.name}.parquet"
        index = ExportIndex.load(place, keys)
        for path in [path for path in _files(exports) if path.parent == target]:
            if path.name == TABLE_FILE:
                url = sql.URL.create("sqlite", database=str(path))
                yield place_in_table(url, str(path.relative_to(output)), person, index)
                continue
            rows = row_file(path.read_bytes(), path.suffix)
            mask = owned_rows(rows, person, index, path.name)
            yield Place(
                str(path.relative_to(output)),
                "exports",
                int(mask.sum()),
                partial(_cells, rows, mask),
                partial(take_out_of_listed, path, mask),
            )
    for place in sorted((run / export_index.FOLDER).glob("*.parquet")):
        index = ExportIndex.load(place, keys)
        if index is not None and (count := index.count(person.customer)):
            yield Place(
                str(place.relative_to(output)),
                export_index.FOLDER,
                count,
                lambda: [],  # hashes, which say nothing to anybody
                partial(_forget, index, place, person.customer),
            )


def _cells(rows: RowFile, mask: Mask) -> list[dict[str, Any]]:
    return [rows.cells(int(place)) for place in np.flatnonzero(mask)]


def _files(exports: Path) -> list[Path]:
    return sorted([*personal_files(exports), *exports.rglob(TABLE_FILE)])


def _forget(index: ExportIndex, place: Path, customer: str) -> None:
    index.without(customer).save(place)
    boundary("erase: index written")


def unindexed(run: Path, keys: RowKeys | None) -> int:
    """Export files of a run whose rows no index tells."""
    count = 0
    for path in _files(run / "exports"):
        place = run / export_index.FOLDER / f"{path.parent.name}.parquet"
        index = ExportIndex.load(place, keys)
        count += index is None or path.name not in index.entries
    return count


def place_in_table(
    url: str | sql.URL, name: str, person: Person, index: ExportIndex | None
) -> Place:
    """Where a person stands in an export table.

    Parameters
    ----------
    url
        As the export map has it, with ``${NAME}``; or one that is whole.
    person
        Whose rows.

    Raises
    ------
    UserError
        Where the database cannot be reached or read.
    """
    table = StoredTable.read(url)
    known = index is not None and TABLE_FILE in index.entries
    if index is not None and known:
        mask, places = index.owned(TABLE_FILE, table.records, person.customer)
    else:
        mask, places = np.zeros(len(table.rows), dtype=bool), list(range(len(table.rows)))
    for place in places:
        mask[place] = person.owns(table.cells(place))
    return Place(
        name,
        "exports",
        int(mask.sum()),
        lambda: [table.cells(int(n)) for n in np.flatnonzero(mask)],
        partial(table.delete, mask),
    )


def take_out_of_listed(path: Path, mask: Mask) -> None:
    """Take rows out of a file that a manifest beside it lists, which then says so.

    The manifest is first: killed in between, erasing again finds the rows still there.
    """
    if not mask.any():
        return
    content = row_file(path.read_bytes(), path.suffix).without(mask)
    manifest = path.with_name("manifest.json")
    if manifest.is_file():
        told = json.loads(manifest.read_text(encoding="utf-8"))
        about = {"sha256": hashlib.sha256(content).hexdigest(), "rows": int((~mask).sum())}
        if _relisted(told, path.name, about):
            told["changed_by_erasure"] = True
            text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
            write_bytes_atomically(manifest, text.encode("utf-8"))
            boundary("erase: manifest written")
    write_bytes_atomically(path, content)
    boundary("erase: export written")


def _relisted(told: dict[str, Any], file: str, about: Mapping[str, Any]) -> bool:
    """Correct what a manifest says of a file; whether it says anything."""
    listed = [each for each in [*told.get("files", []), *told.get("campaigns", [])]
              if each.get("file") == file]  # fmt: skip
    for each in listed:
        each["sha256"] = about["sha256"]
        # Of a file of all campaigns, each entry counts its own rows alone.
        if len(listed) == 1:
            name = "rows_in_file" if "rows_in_file" in each else "rows"
            each.update({name: about["rows"]} if name in each else {})
    return bool(listed)
