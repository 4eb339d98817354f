"""Spark and the embedded engine give the same tallies, features and facts."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterator
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.aggregates.daily_aggregates import tally
from features.config.config import Config
from features.errors import UserError
from features.table import feature_store
from features.table.families import catalogue
from features.table.feature_store import Archive, open_archive
from flows.services import spark_steps
from flows.services.update_aggregates import refresh_tallies
from flows.services.workspace import Workspace
from tests.oracles.histories import LATEST, TYPES, Event, config, local, write

pytestmark = pytest.mark.spark

DAILY = ["customer_id", "event_type", "day", "known_day"]
CHOSEN = ["customer_id", "event_type", "attribute", "choice", "day", "known_day"]


def events(customers: int, seed: int) -> list[Event]:
    """Late news, orders in several lines, refunds, machine opens, midnights, changing clocks."""
    random, first = np.random.default_rng(seed), dt.date(2021, 2, 1)
    found = [Event("a0", "purchase", local(first), amount=100)]
    for customer in range(customers):
        for _ in range(int(random.integers(3, 25))):
            day = first + dt.timedelta(days=int(random.integers(0, 70)))
            at = local(day, str(random.choice(["00:00", "02:30", "12:00", "23:59:59.999999"])))
            late = dt.timedelta(hours=int(random.integers(0, 200)) * int(random.random() < 0.2))
            kind = str(random.choice(TYPES))
            money = kind in ("purchase", "refund")
            order = f"o{random.integers(0, 3)}" if money and random.random() < 0.4 else None
            brand = random.choice([None, "x", "y", "ü"])
            found.append(
                Event(
                    customer=f"{'äbc'[customer % 3]}{customer}",
                    type=kind,
                    at=at,
                    known=at + late,
                    amount=int(random.integers(-500, 5000)) if money else None,
                    order=order,
                    brand=None if brand is None else str(brand),
                    machine=kind == "open" and random.random() < 0.3,
                )
            )
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two sources, one of text and one typed, a channel, and rows that must be set aside."""
    folder = tmp_path_factory.mktemp("shop")
    made = events(60, 3)
    write([*made[::2], changed(made[1], amount=None)], folder / "one.csv")
    with (folder / "one.csv").open("a", encoding="utf-8") as file:
        file.write("b1,purchase,never,never,1.0,,,\n")
    write(made[1::2], folder / "two.parquet")
    (one,) = config(folder / "one.csv").model_dump(mode="json", by_alias=True)["sources"]
    one["columns"]["channel"] = "brand"
    two = {**one, "events": str(folder / "two.parquet")}
    return config(folder / "one.csv", sources=[one, two], quarantine={"max_share": 0.1})


@pytest.fixture(scope="module")
def both(
    shop: Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Archive, Workspace, Any]]:
    """The same data stored by either engine."""
    folder = tmp_path_factory.mktemp("both")
    own, spark = Workspace(folder / "own"), Workspace(folder / "spark")
    refresh_tallies(own, shop)
    beyond = shop.model_copy(update={"engine": "spark"})
    spark.output.mkdir()
    read = refresh_tallies(spark, beyond)
    assert read.how == "all"
    from features.spark.spark_build import open_on_spark

    running = spark_steps.start_spark(spark, beyond)
    yield open_archive(own.output, shop), spark, open_on_spark(running, spark.output, beyond)
    running.session.stop()


def stored(folder: Path, table: str, keys: list[str]) -> pd.DataFrame:
    (path,) = feature_store.segments.table_files(folder / "features" / "tallies", table)
    frame = pq.read_table(path).to_pandas()
    texts = {name: str for name in keys[:-2]}
    return frame.astype(texts).sort_values(keys, ignore_index=True)


def test_the_tallies_are_the_same_rows(both: tuple[Archive, Workspace, Any]) -> None:
    own, spark, _ = both
    for table, keys in (("daily", DAILY), ("attributes", CHOSEN)):
        one, other = (stored(f, table, keys) for f in (own.folder.parent, spark.output))
        assert len(one) > 100
        pd.testing.assert_frame_equal(one, other[one.columns], check_exact=True)
    assert own.source_counts() == feature_store.source_counts(spark.output / "features")
    aside = pd.read_parquet(spark.output / "quarantine" / "source_0.parquet")
    assert set(aside["reason"]) == {
        "occurred_at is not a readable date or time",
        *(["purchase without an amount"] if len(aside) > 1 else []),
    }


def test_features_are_equal_and_stored_by_snapshot(both: tuple[Archive, Workspace, Any]) -> None:
    own, spark, archive = both
    last = own.builder.last_snapshot
    assert (archive.builder.last_snapshot, archive.builder.spec) == (last, own.builder.spec)
    assert archive.customers == len(own.builder.history.customers)
    assert archive.builder.needed_days() == own.builder.needed_days()
    done: list[int] = []
    days = [last - 30, last - 9, last]
    assert archive.ensure(days, done.append) == 3
    assert done == days
    read = Archive(spark.output / "features", own.builder)
    exact = {f.name for f in catalogue(own.builder.spec) if f.unit in ("events", "days", "money")}
    assert len(exact) > 50
    for at in days:
        assert feature_store.feature_file(read.folder, at).is_dir()
        one, other = own.features(at), read.features(at)
        pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-9, atol=0)
        names = [name for name in one if name in exact and "mean" not in name]
        pd.testing.assert_frame_equal(one[names], other[names], check_exact=True)
    assert read.stored() == days


def test_facts_come_out_as_among_everybody(both: tuple[Archive, Workspace, Any]) -> None:
    own, _, archive = both
    at = own.builder.last_snapshot
    everybody = archive.everybody(at)
    mine = own.builder.everybody_at(at)
    assert everybody.roles == mine.roles
    assert everybody.likings.keys() == mine.likings.keys()
    for kind, likings in mine.likings.items():
        for name, liking in likings.items():
            there = everybody.likings[kind][name]
            assert there["shares"] == pytest.approx(liking["shares"], rel=1e-12)
            assert there["weight"] == pytest.approx(liking["weight"], rel=1e-12)
    whole = own.builder.profile(at)
    names = ["customer_id", "historic_clv", "preferred_brand_share", "preferred_brand", "flags",
             "preferred_channel", "data_through", "stage_since"]  # fmt: skip
    kinds = [pa.string(), pa.float64(), pa.float64(), pa.string(), pa.string(), pa.string()]
    dates = [pa.timestamp("us"), pa.timestamp("us")]
    schema = pa.schema(list(zip(names, [*kinds, *dates], strict=True)))
    frame = archive.rows(lambda builder: builder.profile(at)[names], schema, everybody=everybody)
    found = frame.toPandas().sort_values("customer_id", ignore_index=True)
    pd.testing.assert_frame_equal(
        whole[names], found, check_exact=False, rtol=1e-9, check_dtype=False
    )


def test_what_an_executor_refuses_is_the_users_one_message(
    both: tuple[Archive, Workspace, Any], tmp_path: Path
) -> None:
    file = write(events(2, 1), tmp_path / "events.csv")
    (source,) = config(file).model_dump(mode="json", by_alias=True)["sources"]
    del source["columns"]["occurred_at"]["zone"]
    broken = config(file, sources=[source])
    errors = []
    for engine in ("duckdb", "spark"):
        space = Workspace(tmp_path / engine)
        space.output.mkdir()
        with pytest.raises(UserError) as error:
            refresh_tallies(space, broken.model_copy(update={"engine": engine}))
        errors.append(str(error.value))
    assert errors[0] == errors[1]
    assert "zone" in errors[0]


def test_identities_and_event_ids_on_spark(
    both: tuple[Archive, Workspace, Any], tmp_path: Path
) -> None:
    (tmp_path / "links.csv").write_text(
        "visitor,customer,when\nv1,a,2021-03-05 10:00:00\nv2,b,2021-03-01 10:00:00\n"
    )
    rows = ["visitor,customer,type,at,amount,id"]
    rows += [f"v{1 + n % 2},,touch,2021-03-0{1 + n} 12:00:00,,t{n}" for n in range(8)]
    rows += [f",a,purchase,2021-03-1{n} 12:00:00,{n}.5,p{n % 3}" for n in range(5)]
    (tmp_path / "events.csv").write_text("\n".join(rows) + "\n")
    time = {"column": "at", "zone": "UTC"}
    source = {
        "events": str(tmp_path / "events.csv"),
        "columns": {"customer_id": "customer", "anonymous_id": "visitor", "occurred_at": time,
                    "value": "amount"},
        "event_type": {"column": "type"},
        "event_id": "id",
    }  # fmt: skip
    links = {
        "table": str(tmp_path / "links.csv"),
        "columns": {"anonymous_id": "visitor", "customer_id": "customer",
                    "linked_at": {"column": "when", "zone": "UTC"}},
    }  # fmt: skip
    shop = config(tmp_path / "events.csv", sources=[source], identities=links,
                  quarantine={"max_share": 1.0})  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        own, reports = tally(shop, latest=LATEST, quarantine=tmp_path / "aside")
    space = Workspace(tmp_path / "spark")
    space.output.mkdir()
    refresh_tallies(space, shop.model_copy(update={"engine": "spark"}))
    daily = own.daily.to_pandas().astype({"customer_id": str, "event_type": str})
    found = stored(space.output, "daily", DAILY)
    pd.testing.assert_frame_equal(
        daily.sort_values(DAILY, ignore_index=True), found[daily.columns], check_exact=True
    )
    assert "identity_link" in set(found["event_type"])
    assert reports[-1].quarantined == {"duplicate event_id": 2}
