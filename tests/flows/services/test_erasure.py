"""Erasure over generated stores: nothing of the person is left, and everybody else is as before."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import json
import multiprocessing
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.export_index import INDEX_FOLDER, ExportIndex, RowKeys
from campaigns.export_schema import TargetMap
from campaigns.export_table import TABLE, TABLE_FILE, write_table
from campaigns.target_exports import _write_rows
from features.sources.contact_normalisation import sha256_of_text
from features.storage import fault_injection
from features.storage.csv_files import write_csv
from features.storage.row_files import joined_cells, row_file
from features.storage.runs import run_folder
from flows.services.privacy import erase_customer, export_customer, plan_erasure
from flows.services.workspace import Workspace, prepare_workspace, settle_config
from tests.features.storage.test_scores_store import NOVEMBER, OCTOBER, publish_example, record
from tests.flows.shop import write_shop
from tests.tries import tries

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
KEYS = RowKeys(bytes(range(32)))
TARGET = """
target: {name}
title: A tool
format: {form}
needs: [mail]
columns:
  - {{name: mail, from: email, as: email}}
  - {{name: mail_hash, from: email, as: email, sha256: true}}
  - {{name: rank, from: rank}}
  - {{name: note, from: first_name}}
"""
FORMS = ("csv", "jsonl", "parquet", "table")
ODD = st.sampled_from(
    [*("", "\u2028", "\u0085", "\r", "\x0b", "\n", ",", '"', "'", "=", "-", "\u00a0", "\x1f", "ü"),
     "x" * 999]
)  # fmt: skip
notes = st.lists(ODD | st.sampled_from("ab"), max_size=4).map("".join)


@dataclass(frozen=True)
class One:
    """A customer: id, address in an old export and now, and what else stands in their rows."""

    customer: str
    old: str
    now: str
    note: str


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A resolved config with a customer table and an export map of every form, and no results."""
    folder = tmp_path_factory.mktemp("erasure")
    config = yaml.safe_load(write_shop(folder / "shop", customers=2).read_text())
    maps = []
    for form in FORMS:
        maps.append(folder / "shop" / f"{form}_tool.yaml")
        maps[-1].write_text(TARGET.format(name=f"{form}_tool", form=form))
    config |= {
        "customers": {
            "table": str(folder / "shop" / "customers.parquet"),
            "columns": {"customer_id": "id", "contact": {"email": "email"}},
        },
        "exports": [str(path) for path in maps],
        "consent": "managed_elsewhere",
    }
    (folder / "shop" / "shop.yaml").write_text(yaml.safe_dump(config))
    contacts_of(folder / "shop" / "customers.parquet", [])
    space = prepare_workspace(folder / "out", str(folder / "shop" / "shop.yaml"), ())
    settle_config(space.output, keep=True)
    return space.output


def contacts_of(path: Path, people: list[One]) -> None:
    rows = [{"id": one.customer, "email": one.now} for one in people]
    pq.write_table(
        pa.Table.from_pylist(rows, pa.schema([("id", pa.string()), ("email", pa.string())])), path
    )


def built(template: Path, folder: Path, people: list[One]) -> Workspace:
    """An output folder with two runs: the first exported the old addresses, the second new ones."""
    output = folder / "out"
    shutil.copytree(template, output)
    KEYS.save(output)
    for number, day in enumerate((OCTOBER, NOVEMBER)):
        run = record(f"r{number}", day)
        ids = [one.customer for one in people]
        publish_example(output, run, ids, members=dict.fromkeys(ids, "added"))
        place = run_folder(output, run.run_id)
        audience = pd.DataFrame({"customer_id": ids, "reasons": [one.note for one in people]})
        write_csv(place / "audiences" / "win_back.csv", audience)
        exports(place, people, old=not number)
        (place / "report.html").write_text("a page of customers")
        (place / "exports" / "a.csv.tmp").write_text(f"{people[0].customer},{people[0].old}")
    pq.write_table(
        pa.table({"customer_id": [*ids, None], "reason": ["r"] * (len(ids) + 1)}),
        _made(output / "quarantine") / "source_0.parquet",
    )
    killed = _made(output / "runs" / "killed" / "scores")
    pq.write_table(pa.table({"customer_id": ids}), killed / "0.parquet")
    pq.write_table(
        pa.table({"customer_id": ids}), _made(output / "spill" / "tally-1") / "x.parquet"
    )
    (output / "stagecast.duckdb.r9.tmp").write_text(people[0].customer)
    contacts = template.parent / "shop" / "customers.parquet"
    contacts_of(contacts, people)
    return Workspace(output)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def exports(run: Path, people: list[One], *, old: bool) -> None:
    """Files of every form, with their index, as the exports step writes them."""
    mails = [one.old if old else one.now for one in people]
    table = pd.DataFrame(
        {"mail": mails, "mail_hash": [sha256_of_text(mail) for mail in mails],
         "rank": [str(n) for n in range(len(people))], "note": [one.note for one in people]},
        index=[one.customer for one in people], dtype="str",
    )  # fmt: skip
    for form in FORMS:
        folder = _made(run / "exports" / f"{form}_tool")
        index = ExportIndex(KEYS, {})
        content = yaml.safe_load(TARGET.format(name=f"{form}_tool", form=form))
        if form == "table":
            index.add(TABLE_FILE, map(joined_cells, table.to_numpy()), table.index)
            write_table(table, folder / TABLE_FILE, url=None)
            listed = {"file": TABLE_FILE}
        else:
            file = f"win_back.{form}"
            hashed = _write_rows(table, folder / file, TargetMap.model_validate(content), index)
            listed = {"file": file, "sha256": hashed, "rows_in_file": len(people)}
        index.save(run / INDEX_FOLDER / f"{form}_tool.parquet")
        (folder / "manifest.json").write_text(json.dumps({"files": [listed]}))


def content_of(output: Path) -> dict[str, list[Any]]:
    """Every row of every file, as it is read by other means than those of the erasure."""
    found: dict[str, list[Any]] = {}
    for path in sorted(output.rglob("*")):
        name = str(path.relative_to(output))
        if path.suffix == ".parquet":
            found[name] = pq.read_table(path).to_pylist()
        elif path.suffix == ".csv":
            csv.field_size_limit(2**30)
            with path.open(encoding="utf-8", newline="") as file:
                found[name] = list(csv.reader(file))[1:]
        elif path.suffix == ".jsonl":
            lines = path.read_text(encoding="utf-8").split("\n")
            found[name] = [list(json.loads(line).values()) for line in lines if line]
        elif path.name == TABLE_FILE:
            with sqlite3.connect(path) as con:
                found[name] = [list(row) for row in con.execute(f"select * from {TABLE}")]
    return found


def without(found: dict[str, list[Any]], places: set[int]) -> dict[str, list[Any]]:
    """The same without the rows at some places of every file that lists everybody in one order."""
    return {
        name: [row for n, row in enumerate(rows) if n not in places] for name, rows in found.items()
    }


STAYS = ("runs/r", "quarantine/")


def those_that_stay(found: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {name: rows for name, rows in found.items()
            if name.startswith(STAYS) and f"/{INDEX_FOLDER}/" not in name}  # fmt: skip


@st.composite
def shops(draw: st.DrawFn) -> tuple[list[One], int]:
    """A few customers with odd ids, addresses that change and are shared, and who is erased."""
    count = draw(st.integers(2, 5))
    tails = [draw(ODD.filter(lambda s: len(s) < 5)) for _ in range(count)]
    # An id is a key: no blanks at its ends; two may differ by a quote or a sign alone.
    ids = [
        f"{'-' * (n % 2)}id{n // 2 if draw(st.booleans()) else n}q{tail}z"
        for n, tail in enumerate(tails)
    ]
    ids = list(dict.fromkeys(ids))
    people = []
    for n, customer in enumerate(ids):
        address = f"m{n}@ex{n}.org"
        if people and draw(st.integers(0, 3)) == 0:
            address = people[0].now
        people.append(One(customer, f"old{n}@ex{n}.org", address, draw(notes)))
    return people, draw(st.integers(0, len(people) - 1))


@settings(
    max_examples=tries(12),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(made=shops(), gone=st.booleans())
def test_nothing_is_left_of_one_and_all_of_the_others(
    shop: Path, made: tuple[list[One], int], gone: bool
) -> None:
    people, place = made
    one, others = people[place], [other for n, other in enumerate(people) if n != place]
    with tempfile.TemporaryDirectory() as name:
        space = built(shop, Path(name), people)
        if gone:  # from the sources
            contacts_of(shop.parent / "shop" / "customers.parquet", others)
        before = those_that_stay(content_of(space.output))
        planned = plan_erasure(space, one.customer)
        assert those_that_stay(content_of(space.output)) == before
        shown = export_customer(space, one.customer)
        for rows in shown["files"].values():
            for row in rows:
                assert not {other.customer for other in others} & set(map(str, row.values()))
        content = erase_customer(space, f" {one.customer}\u200b", now=NOW)[1]
        after = content_of(space.output)
        assert those_that_stay(after) == without(before, {place})
        assert set(after) == set(those_that_stay(after)) | {
            n for n in after if f"/{INDEX_FOLDER}/" in n
        }
        assert sum(n for kind, n in content["rows_removed"].items() if kind != "store") == sum(
            n for name, n in planned["places"].items()
        )
        assert not left(space.output, one, others)
        for index in space.output.rglob(f"{INDEX_FOLDER}/*.parquet"):
            whose = pq.read_table(index)["customer_key"].to_pylist()
            assert whose == [KEYS.customer(other.customer) for other in others]
        for manifest in space.output.rglob("manifest.json"):
            (listed,) = json.loads(manifest.read_text())["files"]
            if "sha256" in listed:
                file = manifest.with_name(listed["file"]).read_bytes()
                assert listed["sha256"] == hashlib.sha256(file).hexdigest()
                assert listed["rows_in_file"] == len(others)
        again = erase_customer(space, one.customer, now=NOW)[1]
        assert not any(again["rows_removed"].values())
        assert those_that_stay(content_of(space.output)) == without(before, {place})


def left(output: Path, one: One, others: list[One]) -> list[str]:
    """Files in whose bytes anything of the person stands that is nobody else's."""
    texts = {one.customer, one.old, *({one.now} - {o.now for o in others})}
    texts |= {sha256_of_text(text) for text in texts} | {json.dumps(one.customer)[1:-1]}
    theirs = "\n".join([o.customer for o in others] + [json.dumps(o.customer) for o in others])
    texts = {text for text in texts if text not in theirs}
    return [
        str(path.relative_to(output))
        for path in output.rglob("*")
        if path.is_file() and any(text.encode() in path.read_bytes() for text in texts)
    ]


PEOPLE = [
    One("anna-77", "old.anna@ex.org", "anna@ex.org", "Zo\u2028e"),
    One("anna-77'", "b@ex.org", "both@ex.org", "x" * 1_000_000 + ",\r\n"),
    One("+4930123456", "c@ex.org", "both@ex.org", "\u0085\x0b"),
    One("ANNA-77", "d@ex.org", "d@ex.org", '"'),
]


def test_ids_that_differ_by_a_quote_or_case_are_others(shop: Path, tmp_path: Path) -> None:
    for place, one in enumerate(PEOPLE):
        space = built(shop, tmp_path / str(place), PEOPLE)
        before = those_that_stay(content_of(space.output))
        erase_customer(space, one.customer, now=NOW)
        assert those_that_stay(content_of(space.output)) == without(before, {place})


def test_without_an_index_an_address_of_two_takes_nobody(shop: Path, tmp_path: Path) -> None:
    space = built(shop, tmp_path, PEOPLE)
    for index in space.output.rglob(f"{INDEX_FOLDER}/*.parquet"):
        index.unlink()
    content = erase_customer(space, PEOPLE[1].customer, now=NOW)[1]
    assert content["rows_removed"]["exports"] == 0
    assert any("another customer has the same" in told for told in content["warnings"])
    assert any("--address" in told for told in content["warnings"])
    erase_customer(space, PEOPLE[1].customer, now=NOW, addresses=["B@ex.org "])
    assert "b@ex.org" not in str(content_of(space.output))
    assert erase_customer(space, PEOPLE[0].customer, now=NOW)[1]["rows_removed"]["exports"] == 4


def test_rows_alike_to_the_last_sign_are_taken_once(tmp_path: Path) -> None:
    """Two customers with one address and no rank: as many rows stay as the other one has."""
    keys, file = KEYS, tmp_path / "a.csv"
    write_csv(file, pd.DataFrame({"mail": ["both@ex.org"] * 3, "n": ["1"] * 3}))
    rows = row_file(file.read_bytes(), ".csv")
    index = ExportIndex(keys, {})
    index.add("a.csv", rows.records, ["1", "2", "1"])
    mask, unknown = index.owned("a.csv", rows.records, "1")
    assert (int(mask.sum()), unknown) == (2, [])
    left_over = row_file(rows.without(mask), ".csv")
    assert not index.owned("a.csv", left_over.records, "1")[0].any()  # killed before the index


def test_an_unknown_id_is_told_and_a_near_one_too(shop: Path, tmp_path: Path) -> None:
    space = built(shop, tmp_path, PEOPLE)
    planned = plan_erasure(space, "Anna 77")
    assert planned["places"] == {}
    assert "nothing is stored under this id" in planned["warnings"]
    assert any(told.startswith("3 stored id(s)") for told in planned["warnings"])
    assert any("spill" in name for name in planned["removed_whole"])
    assert not any("anna" in told.lower() for told in planned["warnings"])


def test_sources_that_cannot_be_read_stop_no_erasure(shop: Path, tmp_path: Path) -> None:
    space = built(shop, tmp_path, PEOPLE)
    (shop.parent / "shop" / "customers.parquet").write_bytes(b"damaged")
    content = erase_customer(space, PEOPLE[0].customer, now=NOW)[1]
    assert any("cannot be read" in told for told in content["warnings"])
    assert not left(space.output, PEOPLE[0], PEOPLE[1:])


def _killed_erase(output: Path, point: int) -> None:
    """Erase in this process, and end it as a power cut would at a point."""
    passed = [0]

    def reached(name: str) -> None:
        passed[0] += 1
        if passed[0] == point:
            fault_injection.dying_at(name)(name)

    fault_injection.at_boundary = reached
    erase_customer(Workspace(output), PEOPLE[0].customer, now=NOW)


@pytest.fixture(scope="module")
def apart() -> Callable[[Path, int], int]:
    """Runs a killed erasure in a process of its own; gives how it ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])

    def run(output: Path, point: int) -> int:
        process = context.Process(target=_killed_erase, args=(output, point))
        process.start()
        process.join(120)
        assert process.exitcode is not None
        return process.exitcode

    return run


@pytest.mark.services
def test_killed_at_every_point_it_is_finished_by_erasing_again(
    shop: Path, tmp_path: Path, apart: Callable[[Path, int], int]
) -> None:
    whole = built(shop, tmp_path / "whole", PEOPLE)
    before = those_that_stay(content_of(whole.output))
    for point in range(1, 200):
        output = tmp_path / str(point) / "out"
        shutil.copytree(whole.output, output)
        ended = apart(output, point)
        erase_customer(Workspace(output), PEOPLE[0].customer, now=NOW)
        assert those_that_stay(content_of(output)) == without(before, {0}), point
        assert not left(output, PEOPLE[0], PEOPLE[1:]), point
        shutil.rmtree(output)
        if ended == 0:
            break
    assert 25 < point < 199  # every point was reached, and then none
