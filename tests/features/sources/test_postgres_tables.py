"""Events in a real PostgreSQL: read by its Ibis URL, of its table the mapped columns only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ibis
import psycopg
import pytest

from features.aggregates.daily_aggregates import tally
from features.config.config import load
from features.errors import UserError
from features.sources.duckdb_connection import connect
from features.sources.events import join_lookups
from features.sources.remote_tables import open_remote_table
from tests.postgres_server import postgres_server

pytestmark = pytest.mark.services

CONFIG = """\
name: shop
timezone: America/New_York
sources:
  - events: {url: "${SHOP_DATABASE}", table: orders}
    columns: {customer_id: customer, occurred_at: {column: at}, value: amount, order_id: number,
      brand: brand}
    event_type: purchase
    lookups: [{table: {url: "${SHOP_DATABASE}", table: products}, key: product}]
stages: {file: stages/recency_frequency.yaml}
"""
ROWS = 3_000


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with postgres_server() as server:
        with psycopg.connect(server.get_uri()) as connection:
            connection.execute(
                f"""
                create table orders (customer text, at timestamptz, amount numeric(10, 2),
                                     number bigint, product int, note text);
                insert into orders
                select 'c' || (i % 50),
                       timestamptz '2021-03-01 03:00:00+00' + i * interval '1 hour',
                       i + 0.5, i / 2, i % 3, repeat('long', 100)
                from generate_series(1, {ROWS}) i;
                create table products (product int primary key, brand text);
                insert into products values (0, 'north'), (1, 'süd'), (2, null);
                """
            )
        yield server.get_uri()


@pytest.fixture
def shop(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOP_DATABASE", address)
    path = tmp_path / "shop.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_its_rows_are_tallied_like_those_of_a_file(shop: Path, tmp_path: Path) -> None:
    config = load(shop)
    tallies, (report,) = tally(config, latest=30_000, quarantine=tmp_path / "aside")
    assert (report.rows, report.bad) == (ROWS, 0)
    daily = tallies.daily.to_pandas()
    assert daily["value"].sum() == sum(100 * i + 50 for i in range(1, ROWS + 1))
    # Two lines share an order number, and no customer: none is merged.
    assert daily["count"].sum() == ROWS
    assert str(daily["first_at"].min()) == "2021-03-01 04:00:00+00:00"
    assert daily["day"].min() == 18_686  # 28 February in New York
    chosen = tallies.attributes.to_pandas()
    assert set(chosen["choice"]) == {"north", "süd"}


def test_the_database_is_asked_for_the_mapped_columns_only(shop: Path, address: str) -> None:
    (source,) = load(shop).sources
    with open_remote_table(source.events, source.mapped()) as rows:  # type: ignore[arg-type]
        query = ibis.to_sql(rows, dialect="postgres")
        backend = ibis.connect(address)
        plan = [row[0] for row in backend.raw_sql(f"EXPLAIN (VERBOSE) {query}").fetchall()]
        backend.disconnect()
    (output,) = [line for line in plan if "Output:" in line]
    asked = [name.rsplit(".", 1)[-1] for name in output.split("Output: ")[1].split(", ")]
    assert asked == ["customer", "at", "amount", "number", "product"]
    copied = join_lookups(connect(), source)
    assert "note" not in copied.columns
    assert "brand" in copied.columns


def test_a_missing_table_or_a_refused_login_is_one_message_without_the_address(
    shop: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shop.read_text(encoding="utf-8").replace("table: orders", "table: nowhere")
    shop.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        tally(load(shop), latest=30_000, quarantine=tmp_path / "aside")
    assert "table nowhere" in str(error.value)
    assert address not in str(error.value)
    monkeypatch.setenv("SHOP_DATABASE", address.replace("/postgres?", "/other_database?"))
    with pytest.raises(UserError) as error:
        tally(load(shop), latest=30_000, quarantine=tmp_path / "aside")
    assert "other_database" not in str(error.value)
