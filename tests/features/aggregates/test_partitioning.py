"""Customers tallied shard by shard come out as they do all at once."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.aggregates import segments
from features.aggregates.daily_aggregates import tally_into
from features.aggregates.tallies import Tallies
from features.calendar import day_number
from features.config.config import Config

LATEST = day_number(dt.date(2026, 1, 1))


def plain(table: pa.Table, *, order: list[str] | None = None) -> pa.Table:
    """With texts instead of dictionaries, in an order of its own where none is promised."""
    texts = [pa.string() if pa.types.is_dictionary(f.type) else f.type for f in table.schema]
    found = table.cast(pa.schema(list(zip(table.column_names, texts, strict=True))))
    return found.sort_by([(name, "ascending") for name in order]) if order else found


def test_shards_of_customers_change_no_tally(
    tallied: tuple[Config, Tallies], tmp_path: Path
) -> None:
    config, whole = tallied
    scarce = config.model_copy(update={"memory_limit": "32MB"})
    told: list[tuple[str, int, int]] = []
    left = tmp_path / "spill" / "tally-left"  # by a run that was killed
    left.mkdir(parents=True)
    with segments.writing_segment(tmp_path, "segment-00000") as writer:
        tally_into(
            writer,
            scarce,
            latest=LATEST,
            quarantine=tmp_path / "aside",
            temporary=tmp_path / "spill",
            progress=lambda *one: told.append(one),
        )
    shards = told[-1][2]
    assert told[-1] == ("shards of customers tallied", shards, shards)
    assert shards > 3
    assert list((tmp_path / "spill").iterdir()) == []
    found = segments.read_segments(tmp_path, ["segment-00000"])
    assert plain(found.daily).equals(plain(whole.daily))
    assert plain(found.attributes).equals(plain(whole.attributes))
    assert found.sessions is not None
    assert whole.sessions is not None
    assert found.sessions.equals(whole.sessions)
    orders = pq.read_table(tmp_path / "segment-00000" / "orders.parquet")
    assert whole.orders is not None
    keys = ["source", "customer", "event_type", "order_id", "known_day", "day"]
    assert plain(orders, order=keys).equals(plain(whole.orders, order=keys))
    assert writer.event_types == set(plain(whole.daily)["event_type"].to_pylist())


def test_a_stretch_of_customers_is_read_from_all_segments(
    tallied: tuple[Config, Tallies], tmp_path: Path
) -> None:
    _, whole = tallied
    for name in ("segment-00000", "segment-00001"):
        segments.write_segment(tmp_path, name, whole)
    ids = sorted(set(plain(whole.daily)["customer_id"].to_pylist()))
    first, end = ids[100], ids[200]
    found = segments.read_customers(tmp_path, ["segment-00000", "segment-00001"], first, end)
    days = plain(whole.daily).filter(pa.compute.field("customer_id") >= first)
    days = days.filter(pa.compute.field("customer_id") < end)
    assert plain(found.daily).equals(pa.concat_tables([days, days]))
    last = segments.read_customers(tmp_path, ["segment-00000"], ids[-1], None)
    assert set(plain(last.daily)["customer_id"].to_pylist()) == {ids[-1]}
