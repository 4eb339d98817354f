"""The scores store: one act of publication, killed anywhere, read at any time."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from features.errors import UserError
from features.storage.output_lock import exclusive
from features.storage.runs import MARKER_FILE, RunRecord, run_folder, write_parquet
from features.storage.scores_store import (
    SCHEMA_VERSION,
    STORE_FILE,
    check_dataset,
    clean_unpublished,
    previous_audience,
    publish_run,
    published_runs,
    read_current,
)

OCTOBER, NOVEMBER = dt.date(2017, 10, 1), dt.date(2017, 11, 1)
MOMENT = dt.datetime(2017, 12, 1, 4, 30, tzinfo=dt.UTC)
BOUNDARIES = ("files synced", "scores written", "before rename", "renamed", "marked")


def record(run_id: str, snapshot_at: dt.date = OCTOBER, **changes: str) -> RunRecord:
    given = {"dataset": "shop", "scorer_version": "3", "mlflow_run_id": "abc", **changes}
    return RunRecord(
        run_id=run_id, snapshot_at=snapshot_at, started_at=MOMENT, finished_at=MOMENT, **given
    )


def scores_table(run: RunRecord, customers: list[str], clv: float) -> pa.Table:
    n = len(customers)
    return pa.table(
        {
            "customer_id": customers,
            "snapshot_at": pa.array([run.snapshot_at] * n, pa.date32()),
            "clv": [clv] * n,
            "preferred_channel": [None] * n,
        }
    )


def audience_table(run: RunRecord, members: dict[str, str]) -> pa.Table:
    n = len(members)
    return pa.table(
        {
            "campaign_id": pa.array(["win_back"] * n, pa.string()),
            "customer_id": pa.array(list(members), pa.string()),
            "snapshot_at": pa.array([run.snapshot_at] * n, pa.date32()),
            "rank": pa.array(range(1, n + 1), pa.int64()),
            "change": pa.array(list(members.values()), pa.string()),
        }
    )


def publish_example(
    output: Path,
    run: RunRecord,
    customers: list[str],
    *,
    clv: float = 1.0,
    members: dict[str, str] | None = None,
) -> None:
    folder = run_folder(output, run.run_id)
    scores = write_parquet(folder / "scores" / "0.parquet", scores_table(run, customers, clv))
    audience = write_parquet(folder / "audience.parquet", audience_table(run, members or {}))
    publish_run(output, run, scores=[scores], audience=audience)


def history(output: Path) -> list[tuple[str, dt.date, float]]:
    with duckdb.connect(str(output / STORE_FILE), read_only=True) as con:
        return con.execute(
            "SELECT customer_id, snapshot_at, clv FROM customer_scores_history ORDER BY ALL"
        ).fetchall()


def test_a_published_run_is_read_back_whole(tmp_path: Path) -> None:
    publish_example(
        tmp_path, record("r1"), ["b", "a"], clv=2.5, members={"a": "added", "b": "removed"}
    )
    current = read_current(tmp_path)
    assert list(current.scores["customer_id"]) == ["a", "b"]
    assert list(current.scores["clv"]) == [2.5, 2.5]
    assert current.scores["snapshot_at"].iloc[0] == pd.Timestamp("2017-10-01")
    assert list(current.audience["change"]) == ["added", "removed"]
    assert (current.run.customers, current.run.members) == (2, 1)
    assert current.run.started_at == MOMENT.replace(tzinfo=None)
    with duckdb.connect(str(tmp_path / STORE_FILE), read_only=True) as con:
        assert con.execute("SELECT version FROM schema_version").fetchall() == [(SCHEMA_VERSION,)]
        columns = con.execute("DESCRIBE customer_scores").fetchall()
    assert ("preferred_channel", "VARCHAR") in [column[:2] for column in columns]


def test_the_same_snapshot_again_replaces_and_doubles_no_row(tmp_path: Path) -> None:
    publish_example(tmp_path, record("r1"), ["a", "b"], clv=1.0)
    publish_example(tmp_path, record("r2", NOVEMBER), ["a", "b"], clv=2.0)
    publish_example(tmp_path, record("r3"), ["a", "b"], clv=3.0)
    assert history(tmp_path) == [
        ("a", OCTOBER, 3.0),
        ("a", NOVEMBER, 2.0),
        ("b", OCTOBER, 3.0),
        ("b", NOVEMBER, 2.0),
    ]
    assert [(r.run_id, r.status) for r in published_runs(tmp_path)] == [
        ("r1", "superseded"),
        ("r2", "published"),
        ("r3", "published"),
    ]
    assert read_current(tmp_path).run.run_id == "r3"


def test_publishing_one_run_twice_is_one_run(tmp_path: Path) -> None:
    publish_example(tmp_path, record("r1"), ["a"])
    publish_example(tmp_path, record("r1"), ["a"])
    assert [r.run_id for r in published_runs(tmp_path)] == ["r1"]
    assert len(history(tmp_path)) == 1


def test_a_backfill_enters_the_history_and_not_the_present(tmp_path: Path) -> None:
    publish_example(tmp_path, record("r1", NOVEMBER), ["a"], clv=1.0)
    publish_example(tmp_path, record("r2", OCTOBER, kind="backfill"), ["a"], clv=2.0)
    assert read_current(tmp_path).run.run_id == "r1"
    assert len(history(tmp_path)) == 2


def test_previous_audience_is_of_earlier_snapshots_only(tmp_path: Path) -> None:
    assert previous_audience(tmp_path, before=NOVEMBER) is None
    publish_example(tmp_path, record("r1"), ["a", "b", "c"], members={"a": "added", "b": "added"})
    publish_example(
        tmp_path,
        record("r2", NOVEMBER),
        ["a", "b", "c"],
        members={"a": "kept", "b": "removed", "c": "added"},
    )
    assert previous_audience(tmp_path, before=OCTOBER) is None
    before = previous_audience(tmp_path, before=NOVEMBER)
    assert before is not None
    assert dict(zip(before["customer_id"], before["change"], strict=True)) == {
        "a": "added",
        "b": "added",
    }
    after = previous_audience(tmp_path, before=dt.date(2017, 12, 1))
    assert after is not None
    assert dict(zip(after["customer_id"], after["change"], strict=True)) == {
        "a": "kept",
        "b": "removed",
        "c": "added",
    }


@pytest.mark.parametrize("name", ["plain", "it's; DROP TABLE runs--", 'a "b" [c]*', "ünï çø"])
def test_any_folder_name_is_only_a_name(tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    publish_example(output, record("r1"), ["a"])
    publish_example(output, record("r2", NOVEMBER), ["a"])
    assert len(history(output)) == 2
    assert read_current(output).run.run_id == "r2"


def test_a_path_that_duckdb_cannot_open_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="question mark"):
        check_dataset(tmp_path / "what?", "shop")


def test_open_readers_keep_their_run_and_new_ones_see_the_next(tmp_path: Path) -> None:
    publish_example(tmp_path, record("r1"), ["a"], clv=1.0)
    with duckdb.connect(str(tmp_path / STORE_FILE), read_only=True) as reader:
        assert reader.execute("SELECT clv FROM customer_scores").fetchall() == [(1.0,)]
        publish_example(tmp_path, record("r2"), ["a", "b"], clv=2.0)
        assert reader.execute("SELECT clv FROM customer_scores").fetchall() == [(1.0,)]
        assert len(reader.execute("SELECT * FROM customer_scores_history").fetchall()) == 1
        # The same process asks again while the old file is still open.
        assert list(read_current(tmp_path).scores["clv"]) == [2.0, 2.0]


def test_a_reader_in_another_process_never_blocks_publication(tmp_path: Path) -> None:
    publish_example(tmp_path, record("r1"), ["a"], clv=1.0)
    script = """
        import duckdb, sys
        with duckdb.connect(sys.argv[1], read_only=True) as con:
            print(con.execute("SELECT clv FROM customer_scores").fetchall(), flush=True)
            sys.stdin.readline()
            print(con.execute("SELECT clv FROM customer_scores").fetchall(), flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / STORE_FILE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        first = reader.stdout.readline()
        publish_example(tmp_path, record("r2"), ["a"], clv=2.0)
        reader.stdin.write("go\n")
        reader.stdin.flush()
        assert (first, reader.stdout.readline()) == ("[(1.0,)]\n", "[(1.0,)]\n")
    assert list(read_current(tmp_path).scores["clv"]) == [2.0]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path[:0] = [{root!r}, {here!r}]
    import features.storage.runs
    from test_scores_store import NOVEMBER, publish_example, record
    def killed(name):
        if name == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)
    features.storage.runs.boundary = killed
    publish_example(Path(sys.argv[1]), record("r2", NOVEMBER), ["a", "b"], clv=2.0)
"""


def kill_at(output: Path, name: str) -> None:
    here = Path(__file__).resolve()
    script = textwrap.dedent(KILLED).format(root=str(here.parents[3]), here=str(here.parent))
    done = subprocess.run([sys.executable, "-c", script, str(output), name], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("name", BOUNDARIES)
def test_a_killed_run_leaves_the_old_result_or_the_whole_new_one(tmp_path: Path, name: str) -> None:
    publish_example(tmp_path, record("r1"), ["a"], clv=1.0)
    kill_at(tmp_path, name)
    done = name in ("renamed", "marked")
    current = read_current(tmp_path)
    assert current.run.run_id == ("r2" if done else "r1")
    assert list(current.scores["clv"]) == ([2.0, 2.0] if done else [1.0])

    removed = clean_unpublished(tmp_path)
    assert ("runs/r2" in removed) == (not done)
    assert not list(tmp_path.glob("*.tmp*"))
    assert run_folder(tmp_path, "r1").is_dir()
    assert (run_folder(tmp_path, "r2") / MARKER_FILE).is_file() == done
    publish_example(tmp_path, record("r3", NOVEMBER), ["a", "b"], clv=3.0)
    assert history(tmp_path) == [("a", OCTOBER, 1.0), ("a", NOVEMBER, 3.0), ("b", NOVEMBER, 3.0)]


def test_a_first_run_that_is_killed_leaves_nothing_to_read(tmp_path: Path) -> None:
    kill_at(tmp_path, "before rename")
    with pytest.raises(UserError, match="no scores store"):
        read_current(tmp_path)
    assert clean_unpublished(tmp_path, keep=["r2"]) == [f"{STORE_FILE}.r2.tmp"]
    assert clean_unpublished(tmp_path) == ["runs/r2"]


def test_the_history_survives_the_loss_of_the_database_file(tmp_path: Path) -> None:
    publish_example(tmp_path, record("r1"), ["a"])
    (tmp_path / STORE_FILE).unlink()
    assert clean_unpublished(tmp_path) == []
    publish_example(tmp_path, record("r2", NOVEMBER), ["a"])
    assert len(history(tmp_path)) == 2


def test_runs_whose_files_were_removed_leave_the_history(tmp_path: Path) -> None:
    publish_example(tmp_path, record("r1"), ["a"], clv=1.0)
    publish_example(tmp_path, record("r2"), ["a"], clv=2.0)
    (run_folder(tmp_path, "r2") / "scores" / "0.parquet").unlink()
    publish_example(tmp_path, record("r3", NOVEMBER), ["a"], clv=3.0)
    assert [(r.run_id, r.status) for r in published_runs(tmp_path)] == [
        ("r1", "published"),
        ("r2", "files_missing"),
        ("r3", "published"),
    ]
    assert history(tmp_path) == [("a", OCTOBER, 1.0), ("a", NOVEMBER, 3.0)]


def test_a_moved_output_folder_is_read_where_it_lies_now(tmp_path: Path) -> None:
    publish_example(tmp_path / "here", record("r1"), ["a"], members={"a": "added"})
    os.rename(tmp_path / "here", tmp_path / "there")
    assert read_current(tmp_path / "there").run.run_id == "r1"
    before = previous_audience(tmp_path / "there", before=NOVEMBER)
    assert before is not None
    assert list(before["customer_id"]) == ["a"]
    publish_example(tmp_path / "there", record("r2", NOVEMBER), ["a"])
    assert len(history(tmp_path / "there")) == 2


def test_a_second_run_at_the_same_time_is_refused_by_name(tmp_path: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        sys.path.insert(0, {root!r})
        from features.storage.output_lock import exclusive
        with exclusive(Path(sys.argv[1]), "nightly-7"):
            print("held", flush=True)
            sys.stdin.readline()
    """
    root = str(Path(__file__).resolve().parents[3])
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script).format(root=root), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="nightly-7"):
            publish_example(tmp_path, record("r1"), ["a"])
        with pytest.raises(UserError, match="another run"):
            clean_unpublished(tmp_path)
        assert run_folder(tmp_path, "r1").is_dir()
        holder.kill()
    # The lock dies with its holder.
    publish_example(tmp_path, record("r1"), ["a"])


def test_one_process_may_hold_the_folder_through_nested_steps(tmp_path: Path) -> None:
    with exclusive(tmp_path, "r1"):
        publish_example(tmp_path, record("r1"), ["a"])
        clean_unpublished(tmp_path)
    assert read_current(tmp_path).run.run_id == "r1"


def test_another_data_set_is_refused(tmp_path: Path) -> None:
    publish_example(tmp_path, record("r1"), ["a"])
    check_dataset(tmp_path, "shop")
    with pytest.raises(UserError, match="'shop'"):
        publish_example(tmp_path, record("r2", dataset="other"), ["a"])


def test_broken_contracts_never_become_current(tmp_path: Path) -> None:
    publish_example(tmp_path, record("r1"), ["a"])
    with pytest.raises(ValueError, match="repeat"):
        publish_example(tmp_path, record("r2"), ["a", "a"])
    run = record("r3")
    other = write_parquet(tmp_path / "x.parquet", scores_table(run, ["a"], 1.0))
    with pytest.raises(ValueError, match="outside"):
        publish_run(tmp_path, run, scores=[other], audience=other)
    late = write_parquet(
        run_folder(tmp_path, "r3") / "s.parquet", scores_table(record("x", NOVEMBER), ["a"], 1.0)
    )
    members = write_parquet(run_folder(tmp_path, "r3") / "a.parquet", audience_table(run, {}))
    with pytest.raises(ValueError, match="in a run of 2017-10-01"):
        publish_run(tmp_path, run, scores=[late], audience=members)
    assert read_current(tmp_path).run.run_id == "r1"


@pytest.mark.parametrize("run_id", ["../up", "", "a/b", ".hidden", "x" * 200, "a b"])
def test_a_run_id_is_a_plain_name(run_id: str) -> None:
    with pytest.raises(ValueError, match="run id"):
        record(run_id)


def test_a_damaged_store_is_a_user_error_and_can_be_rebuilt(tmp_path: Path) -> None:
    publish_example(tmp_path, record("r1"), ["a"])
    (tmp_path / STORE_FILE).write_bytes(b"not a database" * 1000)
    with pytest.raises(UserError, match="cannot be opened"):
        read_current(tmp_path)
    with pytest.raises(UserError, match="cannot be opened"):
        clean_unpublished(tmp_path)
    (tmp_path / STORE_FILE).unlink()
    publish_example(tmp_path, record("r2", NOVEMBER), ["a"])
    assert len(history(tmp_path)) == 2


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    publish_example(tmp_path, record("r1"), ["a"])
    with duckdb.connect(str(tmp_path / STORE_FILE)) as con:
        con.execute("UPDATE schema_version SET version = version + 1")
    with pytest.raises(UserError, match="schema version"):
        read_current(tmp_path)
