"""Erasure, the export of a person, and retention, with the scores in a real PostgreSQL."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from features.config.retention import Retention
from features.config.store_location import VARIABLE
from features.storage.postgres_schema import VIEWS
from features.storage.postgres_store import PostgresStore
from features.storage.retention import apply_retention
from features.storage.runs import run_folder
from features.storage.scores_store import published_runs, read_current
from features.storage.sync_tables import SYNC_TABLES
from flows.services.privacy import erase_customer, export_customer
from flows.services.workspace import Workspace, prepare_workspace, settle_config
from tests.features.storage.test_scores_store import NOVEMBER, OCTOBER, publish_example, record
from tests.flows.shop import stagecast, write_shop

pytestmark = pytest.mark.services
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
PERSON, OTHERS = "ann-7731", ("bob-1", "O'Neil; DROP TABLE runs")
TABLES = ("score_rows", "audience_rows", "runs")


@pytest.fixture
def space(tmp_path: Path, url: str) -> Workspace:
    """An output folder with two published snapshots of three customers, all in a campaign."""
    config = write_shop(tmp_path / "shop", customers=3)
    space = prepare_workspace(tmp_path / "out", str(config), ())
    settle_config(space.output, keep=True)
    for number, day in enumerate((OCTOBER, NOVEMBER)):
        everyone = [PERSON, *OTHERS]
        members = dict.fromkeys(everyone, "kept" if number else "added")
        publish_example(space.output, record(f"r{number}", day), everyone, clv=1.5, members=members)
        handed_out = run_folder(space.output, f"r{number}") / "exports"
        handed_out.mkdir()
        (handed_out / "list.csv").write_text(f"customer_id,rank\n{PERSON},1\nbob-1,2\n")
    return space


def rows(output: Path, url: str, name: str) -> list[tuple[Any, ...]]:
    """All rows of a table or view, in one order."""
    import psycopg

    store = PostgresStore.of(output, url)
    with psycopg.connect(**store.parameters) as con:
        found = con.execute(f"SELECT * FROM {store.schema}.{name}").fetchall()
    return sorted(found, key=str)


def everything(output: Path, url: str) -> dict[str, list[tuple[Any, ...]]]:
    return {name: rows(output, url, name) for name in (*VIEWS, *SYNC_TABLES, *TABLES)}


def of(person: str, found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [row for row in found if person in row]


def test_an_erased_person_is_in_no_table_and_the_others_are_as_they_were(
    space: Workspace, url: str
) -> None:
    before = everything(space.output, url)
    for name, held in (("customer_scores", 1), ("customer_scores_history", 2),
                       ("audience_members", 1), ("audience_members_history", 2)):  # fmt: skip
        assert len(of(PERSON, before[name])) == held
    receipt, content = erase_customer(space, PERSON, now=NOW)
    after = everything(space.output, url)
    for name, found in after.items():
        assert found == [row for row in before[name] if PERSON not in row], name
    assert content["rows_removed"]["store"] == 6
    assert content["rows_removed"]["exports"] == 2
    assert PERSON not in receipt.read_text(encoding="utf-8") + str(receipt)
    assert not any(PERSON.encode() in p.read_bytes() for p in files(space.output))
    current = read_current(space.output)
    assert sorted(current.scores["customer_id"]) == sorted(OTHERS)
    assert sorted(current.audience["customer_id"]) == sorted(OTHERS)
    again = erase_customer(space, PERSON, now=NOW)[1]
    assert not any(again["rows_removed"].values())
    # An id that looks like SQL is an id.
    assert erase_customer(space, OTHERS[1], now=NOW)[1]["rows_removed"]["store"] == 6
    assert len(read_current(space.output).scores) == 1


def files(output: Path) -> list[Path]:
    return [path for path in output.rglob("*") if path.is_file()]


def test_an_export_of_a_person_holds_their_rows_of_every_table_and_no_others(
    space: Workspace, url: str
) -> None:
    shown = export_customer(space, PERSON)
    held = {name: len(found) for name, found in shown["database"].items()}
    assert held == {
        "customer_scores": 1,
        "customer_scores_history": 2,
        "audience_members": 1,
        "audience_members_history": 2,
        "customer_scores_sync": 1,
        "audience_members_sync": 1,
    }
    for found in shown["database"].values():
        assert {row["customer_id"] for row in found} == {PERSON}
    assert {row["clv"] for row in shown["database"]["customer_scores"]} == {1.5}
    text = json.dumps(shown, default=str)
    assert not any(other in text for other in OTHERS)
    erase_customer(space, PERSON, now=NOW)
    assert not any(export_customer(space, PERSON)["database"].values())


def test_the_commands_work_on_it_and_print_nothing_of_the_person(
    space: Workspace, url: str
) -> None:
    env = {VARIABLE: url}
    shown = stagecast("export-person", PERSON, "--output", space.output, env=env)
    assert shown.returncode == 0, shown.stderr
    database = json.loads(shown.stdout)["database"]
    assert [row["snapshot_at"][:10] for row in database["customer_scores"]] == [str(NOVEMBER)]
    done = stagecast("erase", PERSON, "--yes", "--output", space.output, env=env)
    assert done.returncode == 0, done.stderr
    assert PERSON not in done.stdout + done.stderr
    assert not of(PERSON, rows(space.output, url, "score_rows"))
    assert not of(PERSON, rows(space.output, url, "audience_rows"))


def test_what_has_outlived_its_time_leaves_the_database_and_the_rest_stays(
    space: Workspace, url: str
) -> None:
    before = everything(space.output, url)
    assert apply_retention(space.output, Retention()) == {"exports": 0, "runs": 0}
    assert apply_retention(space.output, Retention(exports_days=10)) == {"exports": 1, "runs": 0}
    assert everything(space.output, url) == before  # a lighter run keeps its rows
    assert apply_retention(space.output, Retention(history_days=10)) == {"exports": 0, "runs": 1}
    after = everything(space.output, url)
    assert not run_folder(space.output, "r0").exists()
    assert [run.run_id for run in published_runs(space.output)] == ["r1"]
    for name, found in after.items():
        assert found
        assert all(row in before[name] for row in found)
    assert after["customer_scores"] == before["customer_scores"]
    assert after["customer_scores_history"] == before["customer_scores"]
    assert after["audience_members"] == before["audience_members"]
    assert after["audience_members_history"] == before["audience_members"]
    assert len(after["score_rows"]) == len(after["audience_rows"]) == 3
