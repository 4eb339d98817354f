"""Privacy requests of one person: export of all stored data, and erasure with a receipt."""

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

from campaigns.erasure import (
    PersonalRows,
    count_unindexed_files,
    export_identity,
    named_addresses,
    own_contacts,
    rows_in_exports,
    rows_in_table,
)
from campaigns.export_index import INDEX_FOLDER, ExportIndex, RowKeys
from campaigns.export_schema import TargetMap, load_targets
from features.errors import UserError
from features.sources.customer_attributes import customer_facts
from features.sources.erasure_list import ErasureList
from features.sources.keys import key_value
from features.sources.people_by_address import names_address
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
from flows.services.erased_again import QUARANTINE
from flows.services.workspace import Workspace

_RECEIPTS = "erasures"
_EXPORTS = "exports"

# Folders without rows of customers: models, metrics, records of runs.
_WITHOUT_PEOPLE = ("mlartifacts", "training", "monitoring", _RECEIPTS)


@dataclass(frozen=True)
class _CustomerIdentity:
    """Keys of a customer, in the project and in exports.

    Attributes
    ----------
    customer
        The normalised id (see `features.sources.keys`).
    in_exports
        Id and addresses, to find rows of exports that have no index.
    contacts
        Current row of the source's customer table.
    warnings
        What could not be read, and what stays because it is shared; without personal data.
    """

    customer: str
    in_exports: Person
    contacts: dict[str, Any]
    warnings: tuple[str, ...]


def _identify_customer(
    space: Workspace, customer: str, addresses: Sequence[str] = ()
) -> _CustomerIdentity:
    """Find the keys of a customer.

    Parameters
    ----------
    space
        The output folder.
    customer
        Id, in any spelling.
    addresses
        Earlier addresses that the sources no longer contain.

    Raises
    ------
    UserError
        If the id is empty.
    """
    customer_key = key_value(customer)
    if customer_key is None:
        raise UserError("CUSTOMER", found="nothing", expected="the id of a customer")
    config, warnings, contacts = space.config(), [], {}
    own_addresses = named_addresses(addresses)
    if config.customers is not None:
        try:
            table = customer_facts(config, dt.datetime.now(config.zone).date()).contacts
        except UserError as error:  # an erasure must not fail because the sources cannot be read
            warnings.append(f"the customer table cannot be read ({error.where}): no address known")
        else:
            # A list that names the person's address is no other customer.
            table = table[~names_address(table.index)]
            table = table.set_axis([key_value(name) for name in table.index])
            if customer_key in table.index:
                customer_row = table.loc[[customer_key]].iloc[0]
                contacts = {
                    str(name): value for name, value in customer_row.items() if value == value
                }
            own_addresses, shared = own_contacts(table, customer_key, addresses)
            warnings += [f"another customer has the same {name}: rows of exports that only this "
                         "address identifies stay" for name in sorted(shared)]  # fmt: skip
    return _CustomerIdentity(
        customer_key,
        export_identity(customer_key, own_addresses, _targets(space)),
        contacts,
        tuple(warnings),
    )


def stored_places(space: Workspace, person: _CustomerIdentity) -> Iterator[PersonalRows]:
    """Places with a person's rows, searched lazily.

    Exports come first: a killed run may have written a table before the file that lists it.
    """
    row_keys = RowKeys.load(space.output)
    yield from _tables(space, person, row_keys)
    for run in _runs(space.output):
        yield from rows_in_exports(run, person.in_exports, row_keys, output=space.output)
    for path in personal_files(space.output):
        path_parts = path.relative_to(space.output).parts
        in_run = path_parts[0] == RUNS_FOLDER and len(path_parts) > 2
        kind = Path(path_parts[2]).stem if in_run else path_parts[0]
        if path_parts[0] in _WITHOUT_PEOPLE or (
            in_run and path_parts[2] in (_EXPORTS, INDEX_FOLDER)
        ):
            continue
        # Quarantined rows keep the columns of the sources and may have no id.
        searched_person = (
            person.in_exports if path_parts[0] == QUARANTINE else Person(person.customer)
        )
        mask = person_mask(path, searched_person)
        yield PersonalRows(
            str(path.relative_to(space.output)),
            kind,
            int(mask.sum()),
            partial(rows_of, path, mask),
            partial(remove_rows, path, mask),
        )


def export_customer(space: Workspace, customer: str) -> dict[str, Any]:
    """Everything stored of a customer, by place, as JSON values.

    Returns
    -------
    dict
        ``files``: rows by file, relative to the output folder. ``database``: rows by table, if
        the store is PostgreSQL. ``contacts``: current row of the source's customer table.
        ``warnings``: what could not be read.
    """
    person = _identify_customer(space, customer)
    return {
        "customer_id": person.customer,
        "dataset": space.config().name,
        "files": {
            place.name: rows
            for place in stored_places(space, person)
            if place.rows and (rows := place.shown())
        },
        "database": scores_store.store_of(space.output).rows_of(person.customer),
        "contacts": person.contacts,
        "warnings": list(person.warnings),
    }


def plan_erasure(space: Workspace, customer: str, addresses: Sequence[str] = ()) -> dict[str, Any]:
    """What `erase_customer` would remove, and what it could not; changes nothing.

    Returns
    -------
    dict
        ``places``: rows by file and table. ``removed_whole``: files and folders to be deleted:
        reports and leftovers of killed runs. ``warnings``: sentences without personal data.
    """
    person = _identify_customer(space, customer, addresses)
    with exclusive(space.output, "erase"):
        rows_by_place = {
            place.name: place.rows for place in stored_places(space, person) if place.rows
        }
        database = scores_store.store_of(space.output).rows_of(person.customer)
        rows_by_place |= {
            f"store: {name}": len(stored_rows)
            for name, stored_rows in database.items()
            if stored_rows
        }
        removed_paths = [str(path.relative_to(space.output))
                 for path in [*_pages(space.output), *leftovers(space.output)]]  # fmt: skip
        return {
            "dataset": space.config().name,
            "places": rows_by_place,
            "rows": sum(rows_by_place.values()),
            "removed_whole": removed_paths,
            "warnings": _warnings(space, person, matched=bool(rows_by_place)),
        }


def erase_customer(
    space: Workspace, customer: str, *, now: dt.datetime, addresses: Sequence[str] = ()
) -> tuple[Path, dict[str, Any]]:
    """Remove a customer from all output of the project, and exclude them from later runs.

    Order: erasure list, tables and files, leftovers of killed runs, store, receipt. An interrupted
    erasure is completed by running it again.

    Returns
    -------
    Path
        The receipt.
    dict
        Its content: time and number of rows of each kind; nothing about the person.
    """
    person = _identify_customer(space, customer, addresses)
    with exclusive(space.output, "erase"):
        erased = ErasureList.load(space.output)
        erased.adding(person.customer, salt=secrets.token_hex(16)).save(space.output)
        boundary("erase: list written")
        counts = dict.fromkeys(("audiences", _EXPORTS), 0)
        for place in stored_places(space, person):
            place.erase()
            counts[place.kind] = counts.get(place.kind, 0) + place.rows
        report_pages = _pages(space.output)
        for page in report_pages:
            page.unlink()
        boundary("erase: reports removed")
        leftover_count = _cleared(space)
        boundary("erase: leftovers removed")
        counts["store"] = scores_store.forget_customer(space.output, person.customer)
        boundary("erase: store written")
        warnings = _warnings(space, person, matched=any(counts.values()))
        content = {
            "receipt": secrets.token_hex(8),
            "erased_at": now.astimezone(dt.UTC).isoformat(timespec="seconds"),
            "dataset": space.config().name,
            "rows_removed": dict(sorted(counts.items())),
            "reports_removed": len(report_pages),
            "leftovers_removed": leftover_count,
            "kept_out_of_later_runs": True,
            "warnings": warnings,
            "not_ours_to_erase": [
                "the source files and tables that the config names",
                "copies of exports that were sent to other tools",
            ],
        }
        path = space.output / _RECEIPTS / f"{now:%Y%m%dT%H%M%SZ}-{content['receipt']}.json"
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
        boundary("erase: receipt begun")
        os.replace(unfinished, path)
    return path, content


def _targets(space: Workspace) -> list[TargetMap]:
    return load_targets(Path(path) for path in space.config().exports)


def _runs(output: Path) -> list[Path]:
    folder = output / RUNS_FOLDER
    return sorted(run for run in folder.iterdir() if run.is_dir()) if folder.is_dir() else []


def _tables(
    space: Workspace, person: _CustomerIdentity, row_keys: RowKeys | None
) -> Iterator[PersonalRows]:
    """Tables that exports write to in other databases; they hold the rows of the last run."""
    for target in _targets(space):
        if target.format == "table" and target.url is not None:
            index_files = [
                run / INDEX_FOLDER / f"{target.target}.parquet" for run in _runs(space.output)
            ]
            newest = sorted((file for file in index_files if file.is_file()),
                            key=lambda file: file.stat().st_mtime)  # fmt: skip
            index = ExportIndex.load(newest[-1], row_keys) if newest else None
            name = f"exports: {target.target}: table"
            yield rows_in_table(target.url, name, person.in_exports, index)


def _pages(output: Path) -> list[Path]:
    """Reports of all runs, which show customers; `stagecast report` writes one again."""
    return sorted((output / RUNS_FOLDER).glob("*/*.html"))


def _cleared(space: Workspace) -> int:
    """Remove leftovers of killed runs, which may hold any customer; return their number."""
    feature_store.clear_partial(space.output)
    count = len(scores_store.clean_unpublished(space.output))
    for place in leftovers(space.output):
        remove_leftover(place)
        count += 1
    return count


def _warnings(space: Workspace, person: _CustomerIdentity, *, matched: bool) -> list[str]:
    messages = list(person.warnings)
    if not matched:
        messages.append("nothing is stored under this id")
        if twins := count_near_twins(space.output / RUNS_FOLDER, person.customer):
            messages.append(
                f"{twins} stored id(s) differ from it only by case, quotes or blanks: "
                "check the spelling"
            )
    row_keys = RowKeys.load(space.output)
    if unindexed_count := sum(count_unindexed_files(run, row_keys) for run in _runs(space.output)):
        messages.append(
            f"{unindexed_count} export file(s) have no index of rows: their rows are found only by "
            "id or current address; give earlier addresses with --address"
        )
    return messages
