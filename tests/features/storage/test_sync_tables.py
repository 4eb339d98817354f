"""Tables for reverse ETL: what changed since, in both stores, against a plain second reading."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.config.store_location import VARIABLE
from features.storage.postgres_store import PostgresStore
from features.storage.runs import RunRecord, run_folder, write_parquet
from features.storage.scores_store import STORE_FILE, forget_customer, publish_run
from features.storage.sync_tables import SYNC_TABLES
from tests.features.storage.postgres_tables import connect, tables

BEGIN = dt.date(2020, 1, 1)
ROW = st.fixed_dictionaries(
    {
        "stage": st.sampled_from(["lapsed", "loyalty", None]),
        "p_churn": st.sampled_from([None, 0.1, 0.13, 0.16, 0.9]),
        "clv": st.sampled_from([None, 0.0, 100.0, 104.0, 112.0, -50.0, 5e-324, 1e300]),
        "stage_since": st.sampled_from([None, dt.date(2019, 5, 1), dt.date(2019, 6, 1)]),
        "arm": st.sampled_from(["treatment", "control"]),
        "change": st.sampled_from(["added", "kept", "removed"]),
    }
)
DAYS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "c'", "d:e"]), ROW), min_size=1, max_size=5
)
Day = dict[str, dict[str, Any]]


def publish_day(output: Path, number: int, day: Day, **changes: str) -> None:
    """Publish a run of these rows; each is finished a day after the one before."""
    at, moment = BEGIN + dt.timedelta(days=number), dt.datetime(2020, 1, 1, 4, tzinfo=dt.UTC)
    run = RunRecord(
        run_id=f"run-{number}", dataset="shop", snapshot_at=at, scorer_version="1",
        started_at=moment, finished_at=moment + dt.timedelta(days=number), **changes,
    )  # fmt: skip
    names, rows = list(day), list(day.values())
    scores = pa.table(
        {
            "customer_id": pa.array(names, pa.string()),
            "snapshot_at": pa.array([at] * len(day), pa.date32()),
            "stage": pa.array([row["stage"] for row in rows], pa.string()),
            "p_churn": pa.array([row["p_churn"] for row in rows], pa.float64()),
            "clv": pa.array([row["clv"] for row in rows], pa.float64()),
            "stage_since": pa.array([row["stage_since"] for row in rows], pa.date32()).cast(
                pa.timestamp("ms")
            ),
        }
    )
    audience = pa.table(
        {
            "campaign_id": pa.array(["win_back"] * len(day), pa.string()),
            "customer_id": pa.array(names, pa.string()),
            "snapshot_at": pa.array([at] * len(day), pa.date32()),
            "rank": pa.array(range(len(day)), pa.int64()),
            "arm": pa.array([row["arm"] for row in rows], pa.string()),
            "change": pa.array([row["change"] for row in rows], pa.string()),
        }
    )
    folder = run_folder(output, run.run_id)
    publish_run(
        output, run,
        scores=[write_parquet(folder / "scores" / "0.parquet", scores)],
        audience=write_parquet(folder / "audience.parquet", audience),
    )  # fmt: skip


def near(new: float | None, old: float | None, *, money: bool) -> bool:
    """Whether a number has moved so little that it counts as unchanged."""
    if new is None or old is None:
        return new is old
    if not money:
        return abs(new - old) < 0.05
    if max(abs(new), abs(old)) >= 1e15:
        return new == old
    return abs(new - old) * 10 <= abs(old)


def plainly(days: list[Day]) -> dict[str, tuple[Any, ...]]:
    """Rows and moments after some days, followed row by row."""
    rows: dict[str, tuple[Any, ...]] = {}
    for number, day in enumerate(days):
        moment = dt.datetime(2020, 1, 1, 4) + dt.timedelta(days=number)
        before, rows = rows, {}
        for name, row in day.items():
            old = before.get(name)
            same = (
                old is not None
                and (row["stage"], row["stage_since"]) == (old[0], old[3])
                and near(row["p_churn"], old[1], money=False)
                and near(row["clv"], old[2], money=True)
            )
            new = (row["stage"], row["p_churn"], row["clv"], row["stage_since"], moment)
            rows[name] = old if same and old is not None else new
    return rows


def stored(output: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(output / STORE_FILE), read_only=True) as con:
        return con.execute(query).fetchall()


SCORES = "SELECT customer_id, stage, p_churn, clv, stage_since, changed_at FROM {}"


@given(days=DAYS)
def test_rows_and_moments_are_those_of_a_plain_reading(
    days: list[Day], tmp_path_factory: pytest.TempPathFactory
) -> None:
    output = tmp_path_factory.mktemp("days")
    for number, day in enumerate(days):
        publish_day(output, number, day)
    found = stored(output, SCORES.format("customer_scores_sync"))
    assert {row[0]: row[1:] for row in found} == plainly(days)
    members = stored(output, "SELECT row_id, customer_id, arm FROM audience_members_sync")
    assert {row[1:] for row in members} == {
        (name, row["arm"]) for name, row in days[-1].items() if row["change"] != "removed"
    }
    assert {row[0] for row in members} == {f"win_back:{name}" for _, name, _ in members}


@pytest.mark.services
def test_both_stores_hold_equal_rows_and_postgres_writes_only_what_changed(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(stage: str, chance: float | None, clv: float | None, change: str) -> dict[str, Any]:
        return {"stage": stage, "p_churn": chance, "clv": clv, "change": change,
                "stage_since": dt.date(2019, 5, 1), "arm": "treatment"}  # fmt: skip

    days: list[Day] = [
        {"a": row("lapsed", 0.1, 100.0, "added"), "b": row("loyalty", None, 1e-300, "added"),
         "c'": row("lapsed", 0.5, 5e-324, "added")},
        {"a": row("lapsed", 0.12, 109.0, "kept"), "b": row("lapsed", 0.4, 1e300, "removed"),
         "d": row("loyalty", 0.2, None, "added")},
        {},
        {"a": row("lapsed", 0.12, 109.0, "added"), "b": row("lapsed", 0.4, -1e300, "added")},
    ]  # fmt: skip
    store = PostgresStore.of(tmp_path / "here", url)
    versions = []
    for number, day in enumerate(days):
        publish_day(tmp_path / "here", number, day)
        with connect(url) as con:
            query = f"SELECT customer_id, xmin::text FROM {store.schema}.customer_scores_sync"
            versions.append(dict(con.execute(query).fetchall()))
    theirs = tables(tmp_path / "here", url)
    assert versions[0]["a"] == versions[1]["a"]
    assert versions[0]["b"] != versions[1]["b"]
    assert versions[2] == {}
    monkeypatch.delenv(VARIABLE)
    for number, day in enumerate(days):
        publish_day(tmp_path / "there", number, day)
    ours = tables(tmp_path / "there", None)
    for name in SYNC_TABLES:
        pd.testing.assert_frame_equal(theirs[name], ours[name], check_exact=True, obj=name)
        assert list(theirs[name].columns) == list(SYNC_TABLES[name].types)
    assert len(ours["customer_scores_sync"]) == 2
    monkeypatch.setenv(VARIABLE, url)
    forget_customer(tmp_path / "here", "a")
    after = tables(tmp_path / "here", url)
    for name in SYNC_TABLES:
        assert "a" not in set(after[name]["customer_id"])


def test_a_backfill_a_second_run_and_an_erasure_change_no_moment(tmp_path: Path) -> None:
    row = {"stage": "lapsed", "p_churn": 0.1, "clv": 10.0, "stage_since": None, "arm": "control",
           "change": "added"}  # fmt: skip
    publish_day(tmp_path, 5, {"a": row, "b": row})
    before = stored(tmp_path, "FROM customer_scores_sync ORDER BY ALL")
    publish_day(tmp_path, 2, {"a": row | {"stage": "loyalty"}}, kind="backfill")
    publish_day(tmp_path, 5, {"a": row, "b": row})
    assert stored(tmp_path, "FROM customer_scores_sync ORDER BY ALL") == before
    forget_customer(tmp_path, "x")
    assert stored(tmp_path, "FROM customer_scores_sync ORDER BY ALL") == before


def test_a_lost_store_counts_everything_as_changed_by_the_next_run(tmp_path: Path) -> None:
    row = {"stage": "lapsed", "p_churn": 0.1, "clv": 10.0, "stage_since": None, "arm": "control",
           "change": "added"}  # fmt: skip
    publish_day(tmp_path, 0, {"a": row})
    (tmp_path / STORE_FILE).unlink()
    publish_day(tmp_path, 1, {"a": row})
    moments = stored(tmp_path, "SELECT changed_at FROM customer_scores_sync")
    assert moments == [(dt.datetime(2020, 1, 2, 4),)]
