"""One person: everything that is stored of them, and their erasure with a receipt."""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaigns.erasure import (
    Place,
    named_addresses,
    own_contacts,
    person_in_exports,
    place_in_table,
    places_in_exports,
    unindexed,
)
from campaigns.export_index import FOLDER, ExportIndex, RowKeys
from campaigns.export_schema import TargetMap, load_targets
from features.errors import UserError
from features.sources.customer_attributes import customer_facts
from features.sources.erasure_list import ErasureList
from features.sources.keys import key_value
from features.sources.personal_files import (
    Person,
    count_near_twins,
    person_mask,
    personal_files,
    remove_rows,
    rows_of,
)
from features.storage import scores_store
from features.storage.fault_injection import boundary
from features.storage.leftovers import leftovers, remove_leftover
from features.storage.output_lock import exclusive
from features.storage.runs import RUNS_FOLDER
from features.table import feature_store
from flows.services.workspace import Workspace

RECEIPTS = "erasures"
EXPORTS = "exports"
QUARANTINE = "quarantine"
# Their files hold no rows of customers: models, figures, records of runs.
WITHOUT_PEOPLE = ("mlartifacts", "training", "monitoring", RECEIPTS)


@dataclass(frozen=True)
class Known:
    """By what a customer is known, here and in exports.

    Attributes
    ----------
    customer
        The id as the project keeps it (see `features.sources.keys`).
    in_exports
        With their own addresses, where no index says whose a row is.
    contacts
        What the customer table of the sources says of them now.
    warnings
        What could not be found out, and what stays because it is shared; names nobody.
    """

    customer: str
    in_exports: Person
    contacts: dict[str, Any]
    warnings: tuple[str, ...]


def known(space: Workspace, customer: str, addresses: Sequence[str] = ()) -> Known:
    """By what a customer is known.

    Parameters
    ----------
    space
        The output folder.
    customer
        Id, in any spelling of it.
    addresses
        Earlier addresses of theirs, which the sources have no longer.

    Raises
    ------
    UserError
        Where no id is given.
    """
    key = key_value(customer)
    if key is None:
        raise UserError("CUSTOMER", found="nothing", expected="the id of a customer")
    config, warnings, contacts = space.config(), [], {}
    own = named_addresses(addresses)
    if config.customers is not None:
        try:
            table = customer_facts(config, dt.datetime.now(config.zone).date()).contacts
        except UserError as error:  # a request to be erased cannot wait for the sources
            warnings.append(f"the customer table cannot be read ({error.where}): no address known")
        else:
            table = table.set_axis([key_value(name) for name in table.index])
            if key in table.index:
                row = table.loc[[key]].iloc[0]
                contacts = {str(name): value for name, value in row.items() if value == value}
            own, shared = own_contacts(table, key, addresses)
            warnings += [f"their {name} belongs to another customer too: rows of exports that only "
                         "an address tells apart stay" for name in sorted(shared)]  # fmt: skip
    return Known(key, person_in_exports(key, own, _targets(space)), contacts, tuple(warnings))


def places(space: Workspace, person: Known) -> Iterator[Place]:
    """Where a person's rows are, each looked for when it is asked for.

    Exports come first: a killed run may have written a table and left the index that tells it.
    """
    keys = RowKeys.load(space.output)
    yield from _tables(space, person, keys)
    for run in _runs(space.output):
        yield from places_in_exports(run, person.in_exports, keys, output=space.output)
    for path in personal_files(space.output):
        parts = path.relative_to(space.output).parts
        in_run = parts[0] == RUNS_FOLDER and len(parts) > 2
        kind = Path(parts[2]).stem if in_run else parts[0]
        if parts[0] in WITHOUT_PEOPLE or (in_run and parts[2] in (EXPORTS, FOLDER)):
            continue
        # What could not be used may have no id; its columns are those of the sources.
        who = person.in_exports if parts[0] == QUARANTINE else Person(person.customer)
        mask = person_mask(path, who)
        yield Place(
            str(path.relative_to(space.output)),
            kind,
            int(mask.sum()),
            partial(rows_of, path, mask),
            partial(remove_rows, path, mask),
        )


def stored_of(space: Workspace, customer: str) -> dict[str, Any]:
    """Everything stored of a customer, by place; JSON-able.

    Returns
    -------
    dict
        ``files``: rows by file, relative to the output folder. ``database``: rows by table, where
        the store is PostgreSQL. ``contacts``: what the customer table of the sources says now.
        ``warnings``: what could not be found out.
    """
    person = known(space, customer)
    return {
        "customer_id": person.customer,
        "dataset": space.config().name,
        "files": {
            place.name: rows
            for place in places(space, person)
            if place.rows and (rows := place.shown())
        },
        "database": scores_store.store_of(space.output).rows_of(person.customer),
        "contacts": person.contacts,
        "warnings": list(person.warnings),
    }


def planned_erasure(
    space: Workspace, customer: str, addresses: Sequence[str] = ()
) -> dict[str, Any]:
    """What `erase` would take out, and what it could not; changes nothing.

    Returns
    -------
    dict
        ``places``: rows by file and table. ``removed_whole``: files and folders that would go, as
        reports and what killed runs left. ``warnings``: sentences; they name nobody.
    """
    person = known(space, customer, addresses)
    with exclusive(space.output, "erase"):
        rows = {place.name: place.rows for place in places(space, person) if place.rows}
        database = scores_store.store_of(space.output).rows_of(person.customer)
        rows |= {f"store: {name}": len(found) for name, found in database.items() if found}
        whole = [str(path.relative_to(space.output))
                 for path in [*_pages(space.output), *leftovers(space.output)]]  # fmt: skip
        return {
            "dataset": space.config().name,
            "places": rows,
            "rows": sum(rows.values()),
            "removed_whole": whole,
            "warnings": _warnings(space, person, matched=bool(rows)),
        }


def erase(
    space: Workspace, customer: str, *, now: dt.datetime, addresses: Sequence[str] = ()
) -> tuple[Path, dict[str, Any]]:
    """Take a customer out of everything the project wrote, and keep them out of later runs.

    Killed in the middle it is finished by erasing again: first the list, then tables and files,
    what killed runs left, the store, and last the receipt.

    Returns
    -------
    Path
        The receipt.
    dict
        Its content: when, and how many rows of each kind; nothing of the person.
    """
    person = known(space, customer, addresses)
    with exclusive(space.output, "erase"):
        erased = ErasureList.load(space.output)
        erased.adding(person.customer, salt=secrets.token_hex(16)).save(space.output)
        boundary("erase: list written")
        counts = dict.fromkeys(("audiences", EXPORTS), 0)
        for place in places(space, person):
            place.erase()
            counts[place.kind] = counts.get(place.kind, 0) + place.rows
        pages = _pages(space.output)
        for page in pages:
            page.unlink()
        boundary("erase: reports removed")
        left = _cleared(space)
        boundary("erase: leftovers removed")
        counts["store"] = scores_store.forget_customer(space.output, person.customer)
        boundary("erase: store written")
        warnings = _warnings(space, person, matched=any(counts.values()))
        content = {
            "receipt": secrets.token_hex(8),
            "erased_at": now.astimezone(dt.UTC).isoformat(timespec="seconds"),
            "dataset": space.config().name,
            "rows_removed": dict(sorted(counts.items())),
            "reports_removed": len(pages),
            "leftovers_removed": left,
            "kept_out_of_later_runs": True,
            "warnings": warnings,
            "not_ours_to_erase": [
                "the source files and tables that the config names",
                "copies of exports that were sent to other tools",
            ],
        }
        path = space.output / RECEIPTS / f"{now:%Y%m%dT%H%M%SZ}-{content['receipt']}.json"
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
        boundary("erase: receipt begun")
        os.replace(unfinished, path)
    return path, content


def without_erased(output: Path, records: pa.Table) -> pa.Table:
    """A table with a column customer_id, without the rows of the erased."""
    erased = ErasureList.load(output)
    theirs = erased.among(records["customer_id"].unique().to_pylist()) if erased else []
    if not theirs:
        return records
    return records.filter(pc.invert(pc.is_in(records["customer_id"], value_set=pa.array(theirs))))


def scrub_quarantine(output: Path) -> int:
    """Take all who were erased out of the rows that a reading has just set aside."""
    erased = ErasureList.load(output)
    if not erased:
        return 0
    gone = 0
    for path in personal_files(output / QUARANTINE):
        if "customer_id" not in pq.read_schema(path).names:
            continue
        there = pq.read_table(path, columns=["customer_id"])["customer_id"].unique().to_pylist()
        for customer in {key_value(name) for name in erased.among(there)} - {None}:
            mask = person_mask(path, Person(str(customer)))
            remove_rows(path, mask)
            gone += int(mask.sum())
    return gone


def _targets(space: Workspace) -> list[TargetMap]:
    return load_targets(Path(path) for path in space.config().exports)


def _runs(output: Path) -> list[Path]:
    folder = output / RUNS_FOLDER
    return sorted(run for run in folder.iterdir() if run.is_dir()) if folder.is_dir() else []


def _tables(space: Workspace, person: Known, keys: RowKeys | None) -> Iterator[Place]:
    """The tables that exports write to in other databases; the last run wrote what is in there."""
    for target in _targets(space):
        if target.format == "table" and target.url is not None:
            files = [run / FOLDER / f"{target.target}.parquet" for run in _runs(space.output)]
            newest = sorted((file for file in files if file.is_file()),
                            key=lambda file: file.stat().st_mtime)  # fmt: skip
            index = ExportIndex.load(newest[-1], keys) if newest else None
            name = f"exports: {target.target}: table"
            yield place_in_table(target.url, name, person.in_exports, index)


def _pages(output: Path) -> list[Path]:
    """The reports of all runs, which tell of customers; `stagecast report` writes one anew."""
    return sorted((output / RUNS_FOLDER).glob("*/*.html"))


def _cleared(space: Workspace) -> int:
    """Remove what killed runs left, which may hold anybody; how many files and folders."""
    feature_store.clear_partial(space.output)
    count = len(scores_store.clean_unpublished(space.output))
    for place in leftovers(space.output):
        remove_leftover(place)
        count += 1
    return count


def _warnings(space: Workspace, person: Known, *, matched: bool) -> list[str]:
    told = list(person.warnings)
    if not matched:
        told.append("nothing is stored under this id")
        if twins := count_near_twins(space.output / RUNS_FOLDER, person.customer):
            told.append(
                f"{twins} stored id(s) differ from it only by case, quotes or blanks: "
                "check the spelling"
            )
    keys = RowKeys.load(space.output)
    if without := sum(unindexed(run, keys) for run in _runs(space.output)):
        told.append(
            f"{without} export file(s) have no index of rows: there a row is found by its id or "
            "by the addresses known now; name earlier ones with --address"
        )
    return told
