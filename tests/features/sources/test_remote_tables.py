"""Tables behind a database URL, and secrets that stay in the environment."""

from __future__ import annotations

from pathlib import Path

import duckdb
import ibis
import pytest

from features.aggregates.daily_aggregates import tally
from features.config.config import Config, load
from features.config.sources import Location, UrlTable
from features.errors import UserError
from features.sources.duckdb_connection import connect
from features.sources.events import join_lookups, standardise
from features.sources.locations import describe_location
from features.sources.remote_tables import open_remote_table

CONFIG = """\
name: shop
sources:
  - events: {{url: "{url}", table: orders}}
    columns: {{customer_id: c, occurred_at: {{column: d, as: local_date}}, value: v}}
    event_type: purchase
stages: {{file: stages/recency_frequency.yaml}}
"""


def config_of(tmp_path: Path, url: str) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(CONFIG.format(url=url), encoding="utf-8")
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with duckdb.connect(str(path)) as con:
        con.execute("create table orders as select 'a' c, date '2021-01-02' d, 9.5 v")
    return path


def test_a_table_behind_a_url_is_read(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DATABASE", str(database))
    config = load(config_of(tmp_path, "duckdb://${SHOP_DATABASE}"))
    tallies, _ = tally(config, latest=30000, quarantine=tmp_path / "quarantine")
    assert tallies.daily["value"].to_pylist() == [950]


def plan_of(config: Config) -> str:
    """The engine's plan to read a source's standard rows."""
    (source,), connection = config.sources, connect()
    rows = standardise(join_lookups(connection, source), source, config)
    plan = connection.raw_sql(f"EXPLAIN {ibis.to_sql(rows, dialect='duckdb')}").fetchall()
    return "\n".join(text for _, text in plan)


def test_only_mapped_columns_are_read_whatever_the_source(tmp_path: Path) -> None:
    columns = "'a' c, date '2021-01-02' d, 9.5 v, repeat('long', 100) secret_note"
    with duckdb.connect(str(tmp_path / "shop.db")) as con:
        con.execute(f"create table orders as select {columns}")
        # The same content twice would be one file that was delivered twice.
        for day, value in (("one", 9.5), ("two", 9.51)):
            rows = f"select * replace ({value} as v) from orders"
            con.execute(f"copy ({rows}) to '{tmp_path}/{day}.parquet'")
    remote = load(config_of(tmp_path, f"duckdb://{tmp_path}/shop.db"))
    location = remote.sources[0].events
    assert isinstance(location, UrlTable)
    with open_remote_table(location, remote.sources[0].mapped()) as rows:
        assert rows.columns == ("c", "d", "v")
    files = remote.model_copy(
        update={
            "sources": (
                remote.sources[0].model_copy(update={"events": str(tmp_path / "*.parquet")}),
            )
        }
    )
    plan = plan_of(files)
    assert "READ_PARQUET" in plan
    for read in (plan, plan_of(remote)):
        assert "secret_note" not in read
        assert "Projections" in read
    tallies, _ = tally(files, latest=30000, quarantine=tmp_path / "quarantine")
    assert tallies.daily["value"].to_pylist() == [1901]


def test_an_unset_secret_is_named_and_no_url_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)
    config = load(config_of(tmp_path, "postgres://me:${SHOP_PASSWORD}@localhost/shop"))
    with pytest.raises(UserError, match="SHOP_PASSWORD"):
        tally(config, latest=30000, quarantine=tmp_path / "quarantine")


def test_an_unreachable_table_is_one_message_without_the_url(tmp_path: Path) -> None:
    config = load(config_of(tmp_path, "duckdb://nowhere/secret-name.db"))
    with pytest.raises(UserError) as error:
        tally(config, latest=30000, quarantine=tmp_path / "quarantine")
    assert "secret-name" not in str(error.value)


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("/data/shop/events/*.parquet", "events/*.parquet"),
        ("/data/shop/orders-*.csv", "orders-*.csv"),
        (("/data/a.csv", "/data/b.csv"), "a.csv and 1 more"),
        ("*.csv", "*.csv"),
        ("/*.csv", "*.csv"),
    ],
)
def test_a_pattern_that_says_nothing_alone_is_told_with_its_folder(
    location: Location, told: str
) -> None:
    assert describe_location(location) == told
