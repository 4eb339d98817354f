"""Single rows of the current run, in both stores, while runs are published and stores go away."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from features.config.store_location import VARIABLE
from features.errors import UserError
from features.storage.row_reader import open_reader
from features.storage.scores_store import STORE_FILE
from tests.features.storage.postgres_tables import connect
from tests.features.storage.test_scores_store import NOVEMBER, OCTOBER, publish_example, record

MEMBERS = {"c1": "added", "c2": "kept", "c3": "removed"}


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.services)])
def output(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output folder with either store."""
    if request.param == "postgres":
        request.getfixturevalue("url")
    else:
        monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


def test_rows_are_those_of_the_current_run(output: Path) -> None:
    reader = open_reader(output)
    with pytest.raises(UserError, match=r"store|server"):
        reader.scored_row("c1")
    publish_example(output, record("one", OCTOBER), ["c1", "c2"], clv=1.0, members=MEMBERS)
    row = reader.scored_row("c1")
    assert row is not None
    assert (row["customer_id"], row["clv"]) == ("c1", 1.0)
    assert reader.current_run_id() == "one"
    publish_example(output, record("two", NOVEMBER), ["c2", "c3"], clv=2.0, members={"c2": "added"})
    assert reader.scored_row("c1") is None
    row = reader.scored_row("c2")
    assert row is not None
    assert row["clv"] == 2.0
    run_id, members = reader.audience("win_back", offset=0, limit=10)
    assert (run_id, [m["customer_id"] for m in members]) == ("two", ["c2"])
    assert reader.audience("another", offset=0, limit=10) == ("two", [])


def test_an_audience_is_read_in_pages_without_the_removed(output: Path) -> None:
    publish_example(output, record("one", OCTOBER), ["c1"], members=MEMBERS)
    reader = open_reader(output)
    _, all_members = reader.audience("win_back", offset=0, limit=10)
    assert sorted(m["customer_id"] for m in all_members) == ["c1", "c2"]
    pages = [reader.audience("win_back", offset=number, limit=1)[1] for number in range(3)]
    assert [*pages[0], *pages[1]] == all_members
    assert pages[2] == []


@pytest.mark.parametrize("customer", ["", "' OR 1=1 --", "nobody", 'c"1', "c1\n"])
def test_strange_ids_have_no_row(output: Path, customer: str) -> None:
    publish_example(output, record("one", OCTOBER), ["c1"])
    assert open_reader(output).scored_row(customer) is None


def test_readers_meet_whole_runs_only_while_others_are_published(output: Path) -> None:
    publish_example(output, record("r0", OCTOBER), ["c1"], clv=0.0, members={"m0": "added"})
    reader, stop = open_reader(output), threading.Event()
    wrong: list[Any] = []

    def read() -> None:
        while not stop.is_set():
            run_id, members = reader.audience("win_back", offset=0, limit=10)
            if [m["customer_id"] for m in members] != [run_id.replace("r", "m")]:
                wrong.append((run_id, members))
            if reader.scored_row("c1") is None:
                wrong.append("no row")

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 5):
        members = {f"m{number}": "added"}
        run = record(f"r{number}", NOVEMBER)
        publish_example(output, run, ["c1"], clv=float(number), members=members)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    row = reader.scored_row("c1")
    assert row is not None
    assert row["clv"] == 4.0


@pytest.mark.services
def test_a_broken_connection_is_replaced(tmp_path: Path, url: str) -> None:
    publish_example(tmp_path, record("one", OCTOBER), ["c1"])
    reader = open_reader(tmp_path)
    assert reader.scored_row("c1") is not None
    with connect(url) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'stagecast serve'"
        ).fetchall()
    assert len(ended) == 1
    assert reader.scored_row("c1") is not None


def test_a_store_that_is_away_is_one_message_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    publish_example(tmp_path, record("one", OCTOBER), ["c1"])
    reader = open_reader(tmp_path)
    assert reader.scored_row("c1") is not None
    (tmp_path / STORE_FILE).rename(tmp_path / "aside")
    with pytest.raises(UserError, match="scoring run publishes"):
        reader.scored_row("c1")
    (tmp_path / STORE_FILE).write_bytes(b"no database")
    with pytest.raises(UserError, match="cannot be opened"):
        reader.scored_row("c1")
    (tmp_path / "aside").rename(tmp_path / STORE_FILE)
    assert reader.scored_row("c1") is not None
