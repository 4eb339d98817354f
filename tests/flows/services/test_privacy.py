"""A person erased is nowhere in the output folder, and stays out when everything is read anew."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaigns.erasure import export_identity, own_contacts, rows_in_exports
from campaigns.export_schema import load_targets
from campaigns.export_table import TABLE_FILE, write_table
from features.errors import UserError
from features.sources.contact_normalisation import sha256_of_text
from features.sources.erasure_list import ERASURE_FILE, ON_REQUEST, ErasureList
from features.storage import scores_store
from features.storage.scores_store import read_current
from features.table.feature_store import open_archive, source_counts
from flows.services.privacy import erase_customer, export_customer
from flows.services.update_aggregates import refresh_tallies
from flows.services.workspace import Workspace
from tests.flows.shop import Shop, stagecast, write_shop

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
EXPORTS = Path(__file__).parents[3] / "configs" / "exports"


def copied(shop: Shop, folder: Path) -> Workspace:
    """The shop with sources and output of its own."""
    shutil.copytree(shop.config.parent, folder / "shop")
    output = folder / "shop" / "out"
    config = (output / "config.yaml").read_text()
    old, new = str(shop.config.parent), str(folder / "shop")
    (output / "config.yaml").write_text(config.replace(old, new))
    return Workspace(output)


def texts(value: Any) -> Iterator[str]:
    """Every text within JSON, or within rows."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)
    else:
        yield str(value)


def places_with(output: Path, customer: str) -> list[str]:
    """Every file that holds the id: as bytes, and in columns and dictionaries once decoded."""
    found = []
    for path in sorted(p for p in output.rglob("*") if p.is_file()):
        held = customer.encode() in path.read_bytes()
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            for column in table.columns:
                for chunk in column.chunks:
                    if pa.types.is_dictionary(chunk.type):
                        held = held or customer in chunk.dictionary.to_pylist()
                held = held or customer in texts(column.to_pylist())
        if path.suffix == ".duckdb":
            with duckdb.connect(str(path), read_only=True) as con:
                for (name,) in con.execute("SHOW TABLES").fetchall():
                    held = held or customer in texts(con.table(name).fetchall())
        if held:
            found.append(str(path.relative_to(output)))
    return found


@pytest.fixture
def member(shop: Shop) -> str:
    """Somebody who is in an audience."""
    return str(read_current(shop.output).audience["customer_id"].iloc[0])


def test_an_erased_customer_is_nowhere_and_the_others_are_where_they_were(
    shop: Shop, tmp_path: Path, member: str
) -> None:
    space = copied(shop, tmp_path)
    os.makedirs(space.output / "quarantine", exist_ok=True)
    aside = pa.table({"customer_id": [member, "other"], "reason": ["amount", "amount"]})
    pq.write_table(aside, space.output / "quarantine" / "source_0.parquet")
    before = read_current(space.output)
    shown = export_customer(space, member)
    kinds = {Path(name).parts[0] for name in shown["files"]}
    assert kinds == {"features", "runs", "quarantine"}
    assert set(texts(shown)) >= {member, str(before.audience.iloc[0]["campaign_id"])}
    assert set(places_with(space.output, member)) >= set(shown["files"])

    receipt, content = erase_customer(space, member, now=NOW)
    assert places_with(space.output, member) == []
    assert json.loads(receipt.read_text()) == content
    rows = content["rows_removed"]
    assert rows["features"] > 10
    # Tests before this one may have scored the shared shop again.
    assert rows["scores"] == sum("/scores/" in name for name in shown["files"])
    assert rows["audience"] >= 1
    assert rows["audiences"] >= 1
    assert rows["quarantine"] == 1
    assert export_customer(space, member)["files"] == {}
    after = read_current(space.output)
    others = before.scores[before.scores["customer_id"] != member].reset_index(drop=True)
    pd.testing.assert_frame_equal(after.scores, others)
    assert len(after.audience) == (before.audience["customer_id"] != member).sum()

    # The source still holds the person; a reading of everything leaves them out and says so.
    orders = space.config().sources[0].events
    os.utime(str(orders))
    assert refresh_tallies(space, space.config()).how == "all"
    archive = open_archive(space.output, space.config())
    assert member not in set(archive.builder.history.customers)
    assert len(archive.builder.history.customers) == len(others)
    assert source_counts(archive.folder)[0].ignored[ON_REQUEST] > 0
    assert places_with(space.output, member) == []


def test_erasing_twice_and_erasing_a_stranger_leave_nothing_behind(
    shop: Shop, tmp_path: Path, member: str
) -> None:
    space = copied(shop, tmp_path)
    erase_customer(space, member, now=NOW)
    again = erase_customer(space, member, now=NOW)[1]
    assert not any(again["rows_removed"].values())
    erase_customer(space, "nobody we know", now=NOW)
    erased = ErasureList.load(space.output)
    assert erased.among([member, "nobody we know", "c0000x", None]) == [member, "nobody we know"]
    assert (space.output / ERASURE_FILE).stat().st_mode & 0o077 == 0
    with pytest.raises(UserError, match="nothing"):
        erase_customer(space, " ", now=NOW)


def test_a_damaged_list_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / ERASURE_FILE).write_text("{")
    with pytest.raises(UserError, match="scored again"):
        ErasureList.load(tmp_path)


def test_two_lists_cannot_be_compared() -> None:
    one, other = (ErasureList().adding("a", salt=salt * 16) for salt in ("0a", "0b"))
    assert not one.hashes & other.hashes


def test_the_commands_ask_first_and_print_nothing_of_the_person(
    shop: Shop, tmp_path: Path, member: str
) -> None:
    space = copied(shop, tmp_path)
    refused = stagecast("erase", member, "--output", space.output)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    shown = stagecast("export-person", member, "--output", space.output)
    assert json.loads(shown.stdout)["customer_id"] == member
    done = stagecast("erase", member, "--yes", "--output", space.output)
    assert done.returncode == 0, done.stderr
    assert member not in done.stdout + done.stderr
    assert places_with(space.output, member) == []


def test_exports_lose_the_person_by_whatever_key_they_hold(tmp_path: Path) -> None:
    """Hashes of a mail address, a telephone number without its plus, a quoted id, a table."""
    contacts = {"email": " Ann.Other@Example.org ", "phone": "+49 170 1234567", "country": "de"}
    targets = load_targets([EXPORTS / "csv.yaml", EXPORTS / "google_customer_match.yaml"])
    table = pd.DataFrame([contacts, {"email": "x@y.org"}], index=["7", "8"])
    person = export_identity("7", own_contacts(table, "7")[0], targets)
    folder = tmp_path / "exports"
    folder.mkdir()
    hashed = sha256_of_text("ann.other@example.org")
    (folder / "a.csv").write_text(f"Email,Phone,Country\n{hashed},,de\n{'0' * 64},,de\n")
    (folder / "b.csv").write_text("phone,rank\n491701234567,7\n491709999999,7\n")
    (folder / "c.csv").write_text("customer_id,rank\n'7,1\n 7.0,1\n8,7\n")
    lines = [{"email": "ann.other@example.org", "n": 1}, {"email": "x@y.org", "n": "7"}]
    (folder / "d.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = pd.DataFrame({"customer_id": ["7", "8"], "rank": ["1", "7"]})
    write_table(rows, folder / TABLE_FILE, url=None)
    old = hashlib.sha256((folder / "c.csv").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(
        json.dumps({"files": [{"file": "c.csv", "sha256": old, "rows": 3}]})
    )
    gone = 0
    for place in rows_in_exports(tmp_path, person, None, output=tmp_path):
        place.erase()
        gone += place.rows
    assert gone == 5
    assert (folder / "a.csv").read_text().splitlines() == ["Email,Phone,Country", f"{'0' * 64},,de"]
    assert (folder / "b.csv").read_text().splitlines() == ["phone,rank", "491709999999,7"]
    assert (folder / "c.csv").read_text().splitlines() == ["customer_id,rank", "'7,1", "8,7"]
    assert "ann.other" not in (folder / "d.jsonl").read_text()
    manifest = json.loads((folder / "manifest.json").read_text())
    new = hashlib.sha256((folder / "c.csv").read_bytes()).hexdigest()
    about = {"file": "c.csv", "sha256": new, "rows": 2}
    assert manifest == {"files": [about], "changed_by_erasure": True}


def test_a_config_without_a_store_forgets_nothing(tmp_path: Path) -> None:
    assert scores_store.forget_customer(tmp_path, "a") == 0


CUSTOMER = re.compile(rb"\bc\d{4}\b")  # as the shop names its customers


def test_logs_databases_and_artifacts_of_a_run_name_no_customer(shop: Shop) -> None:
    """Prefect's and MLflow's databases, model artifacts, figures, and all that was printed."""
    assert not CUSTOMER.search(shop.printed.encode())
    kept = [shop.output / name for name in ("prefect.db", "mlflow.db", "config.yaml")]
    for folder in ("mlartifacts", "training", "monitoring", "flow_runs"):
        kept += [path for path in (shop.output / folder).rglob("*") if path.is_file()]
    assert len(kept) > 20
    named = [str(path) for path in kept if path.is_file() and CUSTOMER.search(path.read_bytes())]
    assert named == []


def test_a_refused_file_names_no_customer_and_quotes_no_row(tmp_path: Path) -> None:
    orders = "customer,at,amount,order,brand\nc0001,soon,much,o1,Ann Other\n"
    config = write_shop(tmp_path / "bad", customers=3)
    (tmp_path / "bad" / "orders.csv").write_text(orders)
    output = tmp_path / "bad" / "out"
    done = stagecast("--verbose", "features", "--config", config, "--output", output)
    assert done.returncode == 2
    said = (done.stdout + done.stderr).encode()
    assert b"not a readable date" in said
    assert not CUSTOMER.search(said)
    assert b"Ann Other" not in said
