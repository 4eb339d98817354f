"""One person: everything that is stored of them, and their erasure with a receipt."""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaigns.erasure import erase_from_exports, erase_from_table, id_columns, marks_of
from campaigns.export_schema import TargetMap, load_targets
from features.errors import UserError
from features.sources.customer_attributes import customer_facts
from features.sources.erasure_list import Erased
from features.sources.personal_files import Person, personal_files, rows_of, take_out
from features.storage import scores_store
from features.storage.output_lock import exclusive
from features.storage.runs import RUNS_FOLDER
from flows.workspace import Workspace

RECEIPTS = "erasures"
EXPORTS = ("audiences", "exports")
# Their files hold no rows of customers: models, figures, records of runs.
WITHOUT_PEOPLE = ("mlartifacts", "training", "monitoring", RECEIPTS)


def person_of(space: Workspace, customer: str) -> tuple[Person, dict[str, Any]]:
    """By what a customer is known, and their row of the customer table, where there is one."""
    if not customer.strip():
        raise UserError("CUSTOMER", found="nothing", expected="the id of a customer")
    config = space.config()
    contacts: dict[str, Any] = {}
    if config.customers is not None:
        table = customer_facts(config, dt.datetime.now(config.zone).date()).contacts
        if customer in table.index:
            row = table.loc[customer]
            contacts = {str(key): value for key, value in row.items() if value == value}
    return Person(customer, marks_of(contacts)), contacts


def stored_of(space: Workspace, customer: str) -> dict[str, Any]:
    """Everything stored of a customer, by place; JSON-able.

    Returns
    -------
    dict
        ``files``: rows by file, relative to the output folder. ``database``: rows by table, where
        the store is PostgreSQL. ``contacts``: what the customer table of the sources says now.
    """
    person, contacts = person_of(space, customer)
    named = id_columns(_targets(space))
    known = Person(customer, person.marks, (*person.id_columns, *named))
    files = {}
    for path in _files(space.output):
        in_exports = any(part in EXPORTS for part in path.relative_to(space.output).parts)
        rows = rows_of(path, known if in_exports else Person(customer))
        if rows:
            files[str(path.relative_to(space.output))] = rows
    return {
        "customer_id": customer,
        "dataset": space.config().name,
        "files": files,
        "database": _database_rows(space.output, customer),
        "contacts": contacts,
    }


def erase(space: Workspace, customer: str, *, now: dt.datetime) -> tuple[Path, dict[str, Any]]:
    """Take a customer out of everything the project wrote, and keep them out of later runs.

    Killed in the middle it is finished by erasing again: first the list, then files, then the
    store, then the receipt.

    Returns
    -------
    Path
        The receipt.
    dict
        Its content: when, and how many rows of each kind; nothing of the person.
    """
    person, _ = person_of(space, customer)
    targets = _targets(space)
    with exclusive(space.output, "erase"):
        erased = Erased.load(space.output)
        erased.adding(customer, salt=secrets.token_hex(16)).save(space.output)
        counts = _out_of_exports(space.output, person, targets)
        counts |= _out_of_files(space.output, customer)
        pages = _pages_removed(space.output)
        counts["store"] = scores_store.forget_customer(space.output, customer)
        content = {
            "receipt": secrets.token_hex(8),
            "erased_at": now.astimezone(dt.UTC).isoformat(timespec="seconds"),
            "dataset": space.config().name,
            "rows_removed": counts,
            "reports_removed": pages,
            "kept_out_of_later_runs": True,
            "not_ours_to_erase": [
                "the source files and tables that the config names",
                "copies of exports that were sent to other tools",
            ],
        }
        path = space.output / RECEIPTS / f"{now:%Y%m%dT%H%M%SZ}-{content['receipt']}.json"
        path.parent.mkdir(exist_ok=True)
        partial = path.with_suffix(".tmp")
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
        os.replace(partial, path)
    return path, content


def without_erased(output: Path, records: pa.Table) -> pa.Table:
    """A table with a column customer_id, without the rows of the erased."""
    erased = Erased.load(output)
    theirs = erased.among(records["customer_id"].unique().to_pylist()) if erased else []
    if not theirs:
        return records
    return records.filter(pc.invert(pc.is_in(records["customer_id"], value_set=pa.array(theirs))))


def scrub_quarantine(output: Path) -> int:
    """Take all who were erased out of the rows that a reading has just set aside."""
    erased = Erased.load(output)
    if not erased:
        return 0
    gone = 0
    for path in personal_files(output / "quarantine"):
        if "customer_id" not in pq.read_schema(path).names:
            continue
        there = pq.read_table(path, columns=["customer_id"])["customer_id"].unique().to_pylist()
        for customer in erased.among(there):
            gone += take_out(path, Person(customer))
    return gone


def _targets(space: Workspace) -> list[TargetMap]:
    return load_targets(Path(path) for path in space.config().exports)


def _files(output: Path) -> Iterable[Path]:
    for path in personal_files(output):
        if path.relative_to(output).parts[0] not in WITHOUT_PEOPLE:
            yield path


def _out_of_exports(output: Path, person: Person, targets: list[TargetMap]) -> dict[str, int]:
    counts = dict.fromkeys(EXPORTS, 0)
    runs = output / RUNS_FOLDER
    for folder in sorted(runs.iterdir()) if runs.is_dir() else []:
        for name in EXPORTS:
            if (folder / name).is_dir():
                counts[name] += erase_from_exports(folder / name, person, targets)
    known = Person(person.customer, person.marks, id_columns(targets))
    for target in targets:
        if target.format == "table" and target.url is not None:
            counts["exports"] += erase_from_table(target.url, known)
    return counts


def _out_of_files(output: Path, customer: str) -> dict[str, int]:
    """Rows removed by kind: the first folder, or of a run what it is."""
    counts: dict[str, int] = {}
    for path in _files(output):
        parts = path.relative_to(output).parts
        kind = parts[0]
        if kind == RUNS_FOLDER and len(parts) > 2:
            kind = Path(parts[2]).stem
        counts[kind] = counts.get(kind, 0) + take_out(path, Person(customer))
    return {kind: n for kind, n in sorted(counts.items()) if kind not in EXPORTS}


def _pages_removed(output: Path) -> int:
    """Remove the reports of all runs, which tell of customers; `stagecast report` writes one."""
    pages = sorted((output / RUNS_FOLDER).glob("*/*.html"))
    for page in pages:
        page.unlink()
    return len(pages)


def _database_rows(output: Path, customer: str) -> dict[str, list[dict[str, Any]]]:
    return scores_store.store_of(output).rows_of(customer)
