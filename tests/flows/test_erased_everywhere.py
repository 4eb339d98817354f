"""An erased person is in no byte that finished and killed runs left, nor in what was printed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from features.sources.contact_normalisation import sha256_of_text
from features.storage import fault_injection
from features.storage.scores_store import read_current
from tests.flows.shop import stagecast, write_shop

pytestmark = pytest.mark.slow

HASHED = """
target: hashed_tool
title: A tool that takes hashes only
needs: [Mail, Phone]
columns:
  - {name: Mail, from: email, as: email, sha256: true}
  - {name: Phone, from: phone, as: phone, sha256: true}
  - {name: Rank, from: rank}
"""
KILLED = (
    ("score", "score file written"),
    ("score", "before rename"),
    ("target", "audience files written"),
    ("target", "exports written"),
    ("score", "committed"),
)
KILLED_ERASURES = ("erase: list written", "erase: rows taken out", "erase: store written")


@dataclass(frozen=True)
class Contacts:
    """Contact keys of a customer; each text stands nowhere else."""

    customer: str
    email: str
    phone: str
    first_name: str

    @classmethod
    def of(cls, customer: str, moved: str = "") -> Contacts:
        """Contact keys of a customer, before or after they moved."""
        number = int(customer[-4:])
        return cls(
            customer,
            f"private{moved}-{number:04d}@example.org",
            f"+49170{8 if moved else 7}{number:06d}",
            f"Firstname{number:04d}x",
        )

    def texts(self) -> set[str]:
        """Everything that tells who this is, as it is and hashed."""
        plain = {self.customer, self.email, self.phone, self.phone[1:], self.first_name}
        return plain | {sha256_of_text(text) for text in plain}


def write_customers(folder: Path, customers: list[Contacts]) -> None:
    frame = pd.DataFrame([vars(contacts) for contacts in customers])
    frame.assign(mail_ok="yes").to_csv(folder / "customers.csv", index=False)


def shop_with_contacts(folder: Path) -> tuple[Path, list[str]]:
    """A config with contact keys and exports of every format, and the ids of its customers."""
    config = write_shop(folder)
    orders = pd.read_csv(folder / "orders.csv", dtype=str)
    orders["customer"] = "buyer-" + orders["customer"]
    orders.to_csv(folder / "orders.csv", index=False)
    (folder / "hashed.yaml").write_text(HASHED)
    contact = {"email": "email", "phone": "phone", "first_name": "first_name"}
    content = yaml.safe_load(config.read_text()) | {
        "consent": "recorded",
        "customers": {
            "table": "customers.csv",
            "columns": {
                "customer_id": "customer",
                "contact": contact,
                "consent": {"email": "mail_ok"},
            },
        },
        "exports": [
            "hashed.yaml",
            *(f"exports/{name}.yaml" for name in ("csv", "jsonl", "klaviyo", "parquet", "table")),
        ],
    }
    config.write_text(yaml.safe_dump(content))
    return config, sorted(set(orders["customer"]))


def decoded(path: Path) -> Iterator[str]:
    """What a compressed file says, cell by cell."""
    if path.suffix == ".parquet":
        for column in pq.read_table(path).columns:
            for chunk in column.chunks:
                if pa.types.is_dictionary(chunk.type):
                    yield str(chunk.dictionary.to_pylist())
            yield str(column.to_pylist())
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as con:
            for (name,) in con.execute("SHOW TABLES").fetchall():
                yield str(con.table(name).fetchall())


def places_with(folder: Path, texts: set[str]) -> list[str]:
    """Every file under a folder that says one of the texts, in its bytes, cells or name."""
    places = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        raw = path.read_bytes() + str(path.relative_to(folder)).encode()
        cells = list(decoded(path))
        if any(text.encode() in raw or any(text in cell for cell in cells) for text in texts):
            places.append(str(path.relative_to(folder)))
    return places


def test_an_erased_person_is_in_no_file_after_finished_and_killed_runs(tmp_path: Path) -> None:
    config, customers = shop_with_contacts(tmp_path / "shop")
    output, printed = tmp_path / "out", []

    def command(*arguments: str | Path, **environment: str) -> int:
        done = stagecast(*arguments, "--output", output, env=environment)
        printed.append(done.stdout + done.stderr)
        return done.returncode

    write_customers(config.parent, [Contacts.of(customer) for customer in customers])
    assert command("run", "--config", config) == 0, printed
    assert command("target", "--confirm-entrants") == 0, printed[-1]
    audience = read_current(output).audience
    treated = audience[(audience["arm"] == "treatment") & (audience["channel"] == "email")]
    person = str(treated["customer_id"].iloc[0])
    other = str(treated["customer_id"].iloc[1])
    moved = [
        Contacts.of(customer, "moved" if customer in (person, other) else "")
        for customer in customers
    ]
    write_customers(config.parent, moved)
    assert command("target", "--confirm-entrants") == 0, printed[-1]
    for name, point in KILLED:
        ended = command(name, **{fault_injection.VARIABLE: point})
        assert ended == -9, (name, point, printed[-1])

    both = {name: Contacts.of(name).texts() | Contacts.of(name, "moved").texts()
            for name in (person, other)}  # fmt: skip
    before = {name: places_with(output, texts) for name, texts in both.items()}
    for contacts in (Contacts.of(person), Contacts.of(person, "moved")):
        for text in (
            contacts.email,
            sha256_of_text(contacts.email),
            sha256_of_text(contacts.phone),
        ):
            assert places_with(output, {text}), text  # or the test would look for nothing
    erasure: tuple[Any, ...] = ("erase", person, "--yes")
    for point in KILLED_ERASURES:
        assert command(*erasure, **{fault_injection.VARIABLE: point}) == -9, (point, printed[-1])
    assert command(*erasure) == 0, printed[-1]
    assert places_with(output, both[person]) == []
    after = places_with(output, both[other])
    # Of others go only what killed runs left and the pages in which nobody can be found alone.
    kept = [name for name in before[other] if "/exports/" in name or "/audiences/" in name]
    assert len(kept) > 10
    published = {run.name for run in (output / "runs").iterdir()}
    assert {name for name in kept if name.split("/")[1] in published} <= set(after)

    # The sources still name the person: later runs leave them out.
    assert command("score") == 0, printed[-1]
    assert command("target", "--confirm-entrants") == 0, printed[-1]
    for name, point in KILLED[2:4]:
        assert command(name, **{fault_injection.VARIABLE: point}) == -9, printed[-1]
    assert places_with(output, both[person]) == []
    assert places_with(output, both[other])
    assert not [text for text in both[person] for said in printed if text in said]
