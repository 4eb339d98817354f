"""A person in exports: by what receiving tools know them, and their rows taken out of the files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import SQLAlchemyError

from campaigns.audience_files import write_whole
from campaigns.contact_normalisation import FORMS, sha256
from campaigns.export_schema import TargetMap
from campaigns.export_table import TABLE, TABLE_FILE, unreachable
from features.sources.files import with_secrets
from features.sources.personal_files import ID_COLUMNS, Person, personal_files, take_out

# Contact keys that name one person; names and places are shared by many.
OWN_KEYS = ("email", "phone", "device_token", "mobile_ad_id", "external_id")
SHORTEST = 6  # a shorter key could be anything else


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


def id_columns(targets: Iterable[TargetMap]) -> tuple[str, ...]:
    """Headers under which the targets are given customer ids."""
    named = {c.name for t in targets for c in t.columns if c.source in ("customer_id",)}
    return tuple(sorted(named | set(ID_COLUMNS)))


def erase_from_exports(folder: Path, person: Person, targets: Sequence[TargetMap]) -> int:
    """Take a person's rows out of the files under a folder of audiences or exports.

    Manifests name the new checksums of what was changed. Returns the number of rows.
    """
    known = replace(person, id_columns=id_columns(targets))
    gone, changed = 0, {}
    for path in personal_files(folder):
        before = hashlib.sha256(path.read_bytes()).hexdigest()
        rows = take_out(path, known)
        gone += rows
        if rows:
            changed[before] = hashlib.sha256(path.read_bytes()).hexdigest()
    for file in folder.rglob(TABLE_FILE):
        gone += erase_from_table(f"sqlite:///{file}", known)
    if changed:
        for manifest in folder.rglob("manifest.json"):
            text = manifest.read_text(encoding="utf-8")
            for old, new in changed.items():
                text = text.replace(old, new)
            content = json.loads(text) | {"changed_by_erasure": True}
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            write_whole(manifest, text.encode("utf-8"))
    return gone


def erase_from_table(url: str, person: Person) -> int:
    """Delete a person's rows from an export table, and what a SQLite file keeps of deleted rows.

    Raises
    ------
    UserError
        Where the database cannot be reached or written.
    """
    try:
        engine = sql.create_engine(with_secrets(url))
        with engine.connect() as connection:
            if not sql.inspect(connection).has_table(TABLE):
                return 0
            table = sql.Table(TABLE, sql.MetaData(), autoload_with=connection)
            values = [
                column.in_(
                    [*person.marks, *([person.customer] * (column.name in person.id_columns))]
                )
                for column in table.columns
            ]
            gone = connection.execute(table.delete().where(sql.or_(*values))).rowcount
            connection.commit()
            if gone and engine.dialect.name == "sqlite":
                connection.execute(sql.text("VACUUM"))
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        raise unreachable(error, "check `url` in the export map, and erase again") from error
    return int(gone)
