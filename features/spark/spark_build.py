"""Features on Spark: the kernel runs in the executors, on the tallies of a shard of customers."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from features.aggregates import segments
from features.aggregates.tallies import Tallies
from features.calendar import day_date
from features.config.config import Config
from features.contracts import CUSTOMER, SNAPSHOT
from features.spark.spark import Cluster, collected, user_errors, write_frame
from features.storage.atomic_write import remove_path
from features.storage.check_sums import has_sums, write_sums
from features.table.families import catalogue
from features.table.families.feature import View
from features.table.feature_store import FOLDER, TALLIES, feature_file, outlined, required_manifest
from features.table.population_statistics import Everybody, sums
from features.table.snapshot_builder import STAGE_COLUMNS, Builder

_SHARD_CUSTOMERS = 50_000
_SHARD_BYTES = 128 << 20  # of the rows that a shard gives
_ORDER = {
    "daily": ("customer_id", "event_type", "day", "known_day"),
    "attributes": ("customer_id", "event_type", "attribute", "choice", "day", "known_day"),
}
# Makes rows of a snapshot of the customers that a builder holds.
_MadeRows = Callable[[Builder], pd.DataFrame]


@dataclass(frozen=True)
class SparkArchive:
    """Stored tallies that no single machine has to hold.

    Attributes
    ----------
    cluster
        The Spark session.
    folder
        ``OUTPUT/features``, on a path that all machines see.
    builder
        Without customers: it knows the columns, the days covered and the grid of snapshots.
    customers
        How many customers there are.
    """

    cluster: Cluster
    folder: Path
    builder: Builder
    customers: int

    def ensure(self, days: Sequence[int], done: Callable[[int], None]) -> int:
        """Build and store the snapshots that are missing; tells each finished day."""
        missing = [at for at in days if not has_sums(feature_file(self.folder, at))]
        if missing:
            self._build(missing)
        for at in days:
            done(at)
        return len(days)

    def _build(self, days: list[int]) -> None:
        """Build snapshots in one look at the tallies, and put each in its place when all are."""
        schema = _feature_schema(self.builder)
        marked = schema.append(pa.field(_DAY, pa.string()))

        def features(builder: Builder) -> pd.DataFrame:
            made = [builder.features(at).assign(**{_DAY: str(day_date(at))}) for at in days]
            return pd.concat(made, ignore_index=True)

        rows = len(schema) * 8 * self.customers * len(days)
        partial_folder = self.folder / "snapshots.partial"
        with user_errors():
            write_frame(
                self.rows(features, marked, least_shards=rows // _SHARD_BYTES),
                partial_folder,
                by=_DAY,
            )
        for at in days:
            target, feature_rows = (
                feature_file(self.folder, at),
                partial_folder / f"{_DAY}={day_date(at)}",
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            write_sums(feature_rows)
            remove_path(target)  # one of an earlier version, without check sums
            os.replace(feature_rows, target)
        shutil.rmtree(partial_folder)

    def everybody(self, at: int) -> Everybody:
        """Facts of all customers at a snapshot, from the sums of shards."""
        minor_units = self.builder.config.minor_units

        def summed(builder: Builder) -> pd.DataFrame:
            known_types = builder.history.known_before(at)
            return pd.DataFrame({"sums": [json.dumps(sums(View(known_types, at, minor_units)))]})

        with user_errors():
            shard_sums = collected(self.rows(summed, pa.schema([("sums", pa.string())])))
        roles = self.builder.spec.roles
        return Everybody.from_sums(roles, (json.loads(each["sums"]) for each in shard_sums))

    def rows(
        self,
        made: _MadeRows,
        schema: pa.Schema,
        *,
        everybody: Everybody | None = None,
        least_shards: int = 1,
    ) -> Any:
        """A frame of the rows that a function makes of the customers of every shard."""
        shard_builder = self.builder if everybody is None else self.builder.among(everybody)

        def of_shard(daily: pa.Table, attributes: pa.Table) -> pa.Table:
            tallies = Tallies(_sorted(daily, "daily"), _sorted(attributes, "attributes"))
            shard_frame = made(shard_builder.with_customers(tallies))
            return pa.Table.from_pandas(shard_frame, schema=schema, preserve_index=False)

        tables = tuple(
            self.cluster.parquet(segments.table_files(self.folder / TALLIES, name))
            for name in _ORDER
        )
        shards = max(math.ceil(self.customers / _SHARD_CUSTOMERS), least_shards, self._parallel())
        return self.cluster.by_shard(
            (tables[0], tables[1]), "customer_id", shards, of_shard, schema
        )

    def _parallel(self) -> int:
        return int(self.cluster.session.sparkContext.defaultParallelism)


_DAY = "day_of_snapshot"


def open_on_spark(cluster: Cluster, output: Path, config: Config) -> SparkArchive:
    """The stored tallies of an output folder, counted and not read.

    Raises
    ------
    UserError
        Where the features step has not run, or did so in an earlier version.
    """
    manifest, folder = required_manifest(output), output / FOLDER
    daily_rows = cluster.named(
        "stored_daily", cluster.parquet(segments.table_files(folder / TALLIES, "daily"))
    )
    builder = outlined(config, manifest, daily_rows, lambda row: collected(cluster.frame(row))[0])
    (counted,) = collected(
        cluster.frame(daily_rows.agg(customers=daily_rows.customer_id.nunique()))
    )
    return SparkArchive(cluster, folder, builder, counted["customers"])


def _feature_schema(builder: Builder) -> pa.Schema:
    """Columns of a feature frame, as they are stored."""
    numbers = [*(feature.name for feature in catalogue(builder.spec)), *STAGE_COLUMNS]
    return pa.schema(
        [
            (CUSTOMER, pa.string()),
            (SNAPSHOT, pa.timestamp("us")),
            *((name, pa.float64()) for name in numbers),
            ("stage", pa.string()),
            ("churn_eligible", pa.bool_()),
        ]
    )


def _sorted(table: pa.Table, name: str) -> pa.Table:
    """A shard's tallies in the order in which they are stored elsewhere."""
    return table.sort_by([(key, "ascending") for key in _ORDER[name]])
