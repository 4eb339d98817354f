"""The store in a real PostgreSQL: the same tables as in DuckDB, whole or not at all."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.config.store_location import VARIABLE, store_url
from features.errors import UserError
from features.storage.postgres_schema import LAYOUT_VERSION, VIEWS, migrate
from features.storage.postgres_store import PostgresStore
from features.storage.result_tables import RESULT_TABLES
from features.storage.runs import run_folder, write_parquet
from features.storage.scores_store import (
    check_dataset,
    clean_unpublished,
    entrants_by_snapshot,
    previous_audience,
    publish_run,
    published_runs,
    read_current,
)
from tests.features.storage.postgres_tables import connect, tables
from tests.features.storage.test_scores_store import NOVEMBER, OCTOBER, publish_example, record
from tests.page_blocks import all_blocks

pytestmark = pytest.mark.services
DECEMBER = dt.date(2017, 12, 1)


def scored(n: int, day: dt.date, seed: int) -> pa.Table:
    """Rows with everything that travels badly: signs, nulls, empty texts, huge and tiny numbers."""
    random = np.random.default_rng(seed)
    midnight = dt.datetime(day.year, day.month, day.day)
    texts = [
        "",
        None,
        'a "quoted", one',
        "line\nbreak",
        "ünï\tçø\\N",
        "NULL",
        "'; DROP TABLE runs--",
    ]
    value = random.normal(size=n) * 10.0 ** random.integers(-300, 300, n)
    value[:1] = 5e-324
    moments = [dt.datetime(2017, 12, 1, 4, 30, 0, 123456)] * n
    return pa.table(
        {
            "customer_id": pa.array([f"c{i}" if i else "c,0 \"'" for i in range(n)], pa.string()),
            "snapshot_at": pa.array([midnight] * n, pa.timestamp("ms")),
            "stage": pa.array([texts[i % len(texts)] for i in range(n)], pa.string()),
            "p_churn": pa.array(
                [None if i % 3 == 0 else float(v) for i, v in enumerate(value)], pa.float64()
            ),
            "churn_eligible": pa.array([bool(i % 2) for i in range(n)], pa.bool_()),
            "clv_horizon_days": pa.array([2**53 + i for i in range(n)], pa.int64()),
            "lapses": pa.array([None, midnight] * (n // 2) + [None] * (n % 2), pa.timestamp("ms")),
            "scored_at": pa.array(moments, pa.timestamp("us")),
            "uplift": pa.array([None] * n, pa.string()),
        }
    )  # fmt: skip


def members(n: int, day: dt.date) -> pa.Table:
    change = ["added", "kept", "removed"]
    return pa.table(
        {
            "campaign_id": [f"k{i % 2}" for i in range(n)],
            "customer_id": [f"c{i}" for i in range(n)],
            "snapshot_at": pa.array([day] * n, pa.date32()),
            "rank": pa.array([None if i % 3 == 2 else i + 1 for i in range(n)], pa.int64()),
            "change": [change[i % 3] for i in range(n)],
        },
        schema=pa.schema(
            [
                ("campaign_id", pa.string()),
                ("customer_id", pa.string()),
                ("snapshot_at", pa.date32()),
                ("rank", pa.int64()),
                ("change", pa.string()),
            ]
        ),
    )


PUBLICATIONS: list[tuple[str, dt.date, int, str]] = [
    ("r1", OCTOBER, 7, "score"),
    ("r2", NOVEMBER, 30, "score"),
    ("r3", OCTOBER, 9, "backfill"),  # takes r1's place in the history
    ("r4", NOVEMBER, 0, "score"),  # nobody
    ("r5", DECEMBER, 40, "score"),
    ("r5", DECEMBER, 41, "score"),  # the same run again
]


def published_to(output: Path) -> None:
    for seed, (run_id, day, n, kind) in enumerate(PUBLICATIONS):
        folder = run_folder(output, run_id)
        scores = write_parquet(folder / "scores" / "0.parquet", scored(n, day, seed))
        audience = write_parquet(folder / "audience.parquet", members(n // 2, day))
        publish_run(output, record(run_id, day, kind=kind), scores=[scores], audience=audience)


def test_both_stores_give_equal_tables(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    published_to(tmp_path / "here")
    theirs, current = tables(tmp_path / "here", url), read_current(tmp_path / "here")
    before = previous_audience(tmp_path / "here", before=DECEMBER)
    came = entrants_by_snapshot(tmp_path / "here", before=DECEMBER)
    monkeypatch.delenv(VARIABLE)
    published_to(tmp_path / "there")
    ours, here = tables(tmp_path / "there", None), read_current(tmp_path / "there")
    for name, table in ours.items():
        pd.testing.assert_frame_equal(theirs[name], table, check_exact=True, obj=name)
    assert len(ours["customer_scores"]) == 41
    assert len(ours["customer_scores_history"]) == 41 + 9
    pd.testing.assert_frame_equal(current.scores, here.scores, check_exact=True)
    pd.testing.assert_frame_equal(current.audience, here.audience, check_exact=True)
    assert current.run == here.run
    other = previous_audience(tmp_path / "there", before=DECEMBER)
    assert before is not None
    assert other is not None
    pd.testing.assert_frame_equal(before, other)
    pd.testing.assert_frame_equal(came, entrants_by_snapshot(tmp_path / "there", before=DECEMBER))
    assert published_runs(tmp_path / "there") == [
        type(run)(**dict(zip(theirs["runs"].columns, row, strict=True)))
        for run, row in zip(
            published_runs(tmp_path / "there"),
            sorted(theirs["runs"].itertuples(index=False), key=lambda r: r.sequence),
            strict=True,
        )
    ]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path[:0] = [{root!r}]
    import features.storage.runs
    from tests.features.storage.test_scores_store import NOVEMBER, publish_example, record
    def killed(name):
        if name == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)
    features.storage.runs.boundary = killed
    publish_example(Path(sys.argv[1]), record("r2", NOVEMBER), ["a", "b"], clv=2.0)
"""


@pytest.mark.parametrize("name", ["scores written", "before commit", "committed", "marked"])
def test_a_killed_publication_leaves_the_old_result_or_the_whole_new_one(
    tmp_path: Path, url: str, name: str
) -> None:
    publish_example(tmp_path, record("r1"), ["a"], clv=1.0, members={"a": "added"})
    script = textwrap.dedent(KILLED).format(root=str(Path(__file__).resolve().parents[3]))
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), name], check=False, env={**os.environ}
    )
    assert done.returncode == -signal.SIGKILL
    whole = name in ("committed", "marked")
    assert list(read_current(tmp_path).scores["clv"]) == ([2.0, 2.0] if whole else [1.0])
    assert len(tables(tmp_path, url)["customer_scores_history"]) == (3 if whole else 1)
    assert ("runs/r2" in clean_unpublished(tmp_path)) == (not whole)
    publish_example(tmp_path, record("r3", NOVEMBER), ["a", "b"], clv=3.0)
    history = tables(tmp_path, url)["customer_scores_history"]
    assert sorted(zip(history["customer_id"], history["clv"], strict=True)) == [
        ("a", 1.0), ("a", 3.0), ("b", 3.0),
    ]  # fmt: skip


def test_an_open_reader_sees_one_run_and_never_blocks(tmp_path: Path, url: str) -> None:
    publish_example(tmp_path, record("r1"), ["a"], clv=1.0)
    schema = PostgresStore.of(tmp_path, url).schema
    query = f"SELECT clv FROM {schema}.customer_scores"
    with connect(url) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert reader.execute(query).fetchall() == [(1.0,)]
        publish_example(tmp_path, record("r2"), ["a"], clv=2.0)
        assert reader.execute(query).fetchall() == [(1.0,)]
        reader.rollback()
        assert reader.execute(query).fetchall() == [(2.0,)]


def test_a_connection_lost_in_the_middle_is_told_and_changes_nothing(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_example(tmp_path, record("r1"), ["a"], clv=1.0)

    def cut(name: str) -> None:
        if name == "scores written":
            with connect(url) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'stagecast' AND pid <> pg_backend_pid()"
                )

    monkeypatch.setattr("features.storage.runs.boundary", cut)
    with pytest.raises(UserError, match="running again is safe"):
        publish_example(tmp_path, record("r2", NOVEMBER), ["a", "b"], clv=2.0)
    monkeypatch.undo()
    monkeypatch.setenv(VARIABLE, url)
    assert list(read_current(tmp_path).scores["clv"]) == [1.0]
    publish_example(tmp_path, record("r2", NOVEMBER), ["a", "b"], clv=2.0)
    assert len(read_current(tmp_path).scores) == 2


def test_a_server_out_of_reach_is_told_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "postgresql://me:secretword@127.0.0.1:9/db")
    with pytest.raises(UserError) as told:
        published_runs(tmp_path)
    assert "127.0.0.1:9/db" in str(told.value)
    assert "secretword" not in str(told.value)
    assert "secretword" not in repr(told.value.__cause__)


def test_two_publications_at_once_are_refused(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.storage.postgres_store.LOCK_WAIT", "100ms")
    publish_example(tmp_path / "one", record("r1"), ["a"])
    schema = PostgresStore.of(tmp_path, url).schema
    with connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"stagecast {schema}"])
        with pytest.raises(UserError, match="another run"):
            publish_example(tmp_path / "two", record("r2", NOVEMBER), ["a"])
    publish_example(tmp_path / "two", record("r2", NOVEMBER), ["a"])
    # The other machine has no files of the first run, and keeps its rows all the same.
    assert [r.status for r in published_runs(tmp_path / "two")] == ["published", "published"]
    assert len(tables(tmp_path, url)["customer_scores_history"]) == 2


def test_an_older_store_is_brought_up_with_its_rows(tmp_path: Path, url: str) -> None:
    store = PostgresStore.of(tmp_path, url)
    with connect(url) as con:
        assert migrate(con, store.schema, to=1) == 0
        con.execute(
            f"INSERT INTO {store.schema}.runs VALUES (1, 'old', 'published', true, 'shop', "
            "'score', '2017-09-01', '1', NULL, 1, 0, '2017-09-01', '2017-09-01', "
            "ARRAY['runs/old/s.parquet'], 'runs/old/a.parquet')"
        )
        con.execute(f"INSERT INTO {store.schema}.score_rows VALUES (1, 'x', '2017-09-01')")
    publish_example(tmp_path, record("r1"), ["a"], clv=1.0)
    with connect(url) as con:
        versions = con.execute(f"SELECT version FROM {store.schema}.schema_version ORDER BY 1")
        assert versions.fetchall() == [(n,) for n in range(1, LAYOUT_VERSION + 1)]
        assert migrate(con, store.schema) == LAYOUT_VERSION
    history = tables(tmp_path, url)["customer_scores_history"]
    assert sorted(history["customer_id"]) == ["a", "x"]


def test_a_newer_store_is_refused(tmp_path: Path, url: str) -> None:
    publish_example(tmp_path, record("r1"), ["a"])
    schema = PostgresStore.of(tmp_path, url).schema
    with connect(url) as con:
        con.execute(f"INSERT INTO {schema}.schema_version (version) VALUES (99)")
    with pytest.raises(UserError, match="schema version 99"):
        publish_example(tmp_path, record("r2"), ["a"])


def test_columns_that_come_later_are_null_before(tmp_path: Path, url: str) -> None:
    publish_example(tmp_path, record("r1"), ["a"])
    folder, run = run_folder(tmp_path, "r2"), record("r2", NOVEMBER)
    rows = scored(2, NOVEMBER, 1)
    scores = write_parquet(folder / "scores" / "0.parquet", rows)
    audience = write_parquet(folder / "audience.parquet", members(1, NOVEMBER))
    publish_run(tmp_path, run, scores=[scores], audience=audience)
    history = tables(tmp_path, url)["customer_scores_history"]
    assert history["stage"].isna().sum() >= 1
    assert set(rows.column_names) | {"clv"} <= set(history.columns)
    again = rows.set_column(3, "p_churn", pa.array([True, False]))
    write_parquet(folder / "scores" / "0.parquet", again)
    with pytest.raises(UserError, match="p_churn"):
        publish_run(tmp_path, run, scores=[scores], audience=audience)


def test_a_reader_may_read_and_nothing_else_and_grants_last(tmp_path: Path, url: str) -> None:
    import psycopg

    publish_example(tmp_path, record("r1"), ["a"], clv=1.0)
    schema = PostgresStore.of(tmp_path, url).schema
    role = f"reader_{schema}"
    (told,) = [b.text for b in all_blocks() if b.page == "docs/store.md" and "GRANT" in b.text]
    with connect(url) as con:
        con.execute(told.replace("stagecast", schema).replace("marketing_reader", role))
    publish_example(tmp_path, record("r2", NOVEMBER), ["a", "b"], clv=2.0)
    with connect(url) as con:
        con.execute(f"SET ROLE {role}")
        for view in (*VIEWS, *RESULT_TABLES, "runs"):
            assert con.execute(f"SELECT count(*) FROM {schema}.{view}").fetchone()
        for statement in ("DELETE FROM {}.runs", "SELECT * FROM {}.score_rows"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), con.transaction():
                con.execute(statement.format(schema))


def test_another_data_set_is_refused(tmp_path: Path, url: str) -> None:
    publish_example(tmp_path, record("r1"), ["a"])
    with pytest.raises(UserError, match="'shop'"):
        check_dataset(tmp_path / "other", "other")


def test_nothing_published_is_told(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="no scores store"):
        read_current(tmp_path)
    assert previous_audience(tmp_path, before=NOVEMBER) is None
    place = store_url(tmp_path)
    assert place is not None
    assert PostgresStore.of(tmp_path, place) == PostgresStore.of(tmp_path, url)
