"""The scores store as one DuckDB file, built separately and renamed over the old one."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
from sqlglot import exp

from features.errors import UserError
from features.storage import runs as records
from features.storage.output_lock import exclusive
from features.storage.result_tables import RESULT_TABLES, stored_results
from features.storage.runs import RUNS_SCHEMA, PublishedRun, sync
from features.storage.sync_tables import SYNC_TABLES

SCHEMA_VERSION = 1
STORE_FILE = "stagecast.duckdb"
# Nothing here needs an extension from the network.
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "threads": 2,
}


@dataclass(frozen=True)
class DuckDBStore:
    """The file ``OUTPUT/stagecast.duckdb``; its histories are views of the runs' own files.

    Attributes
    ----------
    output
        The output folder, absolute.
    """

    output: Path

    @property
    def name(self) -> str:
        """Name for messages."""
        return str(self.output / STORE_FILE)

    def there(self) -> bool:
        """Return True if any run has been published."""
        return (self.output / STORE_FILE).exists()

    def runs(self) -> list[PublishedRun]:
        """Return all runs in order of publication; from the marker files if the store is lost."""
        if not self.there():
            return self.arranged(records.runs_with_markers(self.output))
        with self._opened() as connection:
            rows = connection.table("store.runs").order("sequence").to_arrow_table().to_pylist()
        return [PublishedRun.model_validate(row) for row in rows]

    def current(self) -> tuple[PublishedRun, pd.DataFrame, pd.DataFrame]:
        """Return the current run with its scores and audience."""
        with self._opened() as connection:
            rows = connection.table("store.runs").filter("is_current").to_arrow_table().to_pylist()
            scores = _frame(connection.table("store.customer_scores"))
            audience = _frame(connection.table("store.audience_members"))
        return PublishedRun.model_validate(rows[0]), scores, audience

    def arranged(self, runs: Sequence[PublishedRun]) -> list[PublishedRun]:
        """Return the runs with current status; a run without its files does not count."""
        return records.arrange_runs(self.output, runs)

    @contextmanager
    def alone(self, who: str) -> Iterator[DuckDBStore]:
        """Lock the store for one writer; the output folder's lock is enough."""
        with exclusive(self.output, who):
            yield self

    def publish(self, runs: Sequence[PublishedRun], run_id: str) -> None:
        """Replace the store's file by a new one."""
        self._replace_file(run_id, lambda new_file: _build(new_file, self.output, runs))

    def publish_results(self) -> None:
        """Replace the tables of results in a copy of the store's file, then the file."""
        if self.there():
            self._replace_file("results", self._copy_with_results)

    def _copy_with_results(self, new_file: Path) -> None:
        shutil.copyfile(self.output / STORE_FILE, new_file)
        with duckdb.connect(str(new_file), config=_SETTINGS) as connection:
            _write_results(connection, self.output)
            connection.execute("CHECKPOINT")

    def _replace_file(self, writer: str, build: Callable[[Path], None]) -> None:
        """Build a new file, and rename it over the store's file."""
        new_file = self.output / f"{STORE_FILE}.{writer}.tmp"
        try:
            _remove_database(new_file)
            build(new_file)
            records.boundary("store built")
            sync(new_file)
            # A write-ahead log of the old file must not be replayed into the new one.
            (self.output / f"{STORE_FILE}.wal").unlink(missing_ok=True)
            records.boundary("before rename")
            os.replace(new_file, self.output / STORE_FILE)
        finally:
            _remove_database(new_file)
        sync(self.output)
        records.boundary("renamed")

    def remove_unfinished(self) -> list[str]:
        """Remove files of killed publications, and return their names."""
        unfinished = sorted(self.output.glob(f"{STORE_FILE}.*.tmp*"))
        for file in unfinished:
            file.unlink()
        return [file.name for file in unfinished]

    def members_before(self, day: dt.date) -> pd.DataFrame | None:
        """Return the last row per campaign and customer before a date; None without runs."""
        audience_files = [
            str(self.output / run.audience_file) for run in self._published_before(day)
        ]
        if not audience_files:
            return None
        with _connect() as connection:
            members = connection.read_parquet(audience_files, union_by_name=True)
            return _frame(
                members.query(
                    "members",
                    """
                    SELECT * FROM members
                    QUALIFY row_number() OVER (
                        PARTITION BY campaign_id, customer_id ORDER BY snapshot_at DESC
                    ) = 1
                    ORDER BY campaign_id, customer_id
                    """,
                )
            )

    def entrants_before(self, day: dt.date) -> dict[dt.date, dict[str, int]]:
        """Count the customers added, by snapshot and campaign."""
        entrants: dict[dt.date, dict[str, int]] = {}
        with _connect() as connection:
            for run in self._published_before(day):
                members = connection.read_parquet(str(self.output / run.audience_file))
                added_counts = members.aggregate(
                    "campaign_id, count(*) FILTER (change = 'added')", "campaign_id"
                )
                entrants[run.snapshot_at] = dict(added_counts.fetchall())
        return entrants

    def forget(self, customer: str) -> int:
        """Rebuild the file from the runs' files, from which the customer is already removed."""
        if not self.there():
            return 0
        with self._opened() as connection:
            removed_rows = sum(
                len(connection.table(f"store.{name}").filter(_is_customer(customer)).fetchall())
                for name in ("customer_scores", "audience_members")
            )
        self.publish(self.arranged(self.runs()), "erase")
        return removed_rows

    def rows_of(self, customer: str) -> dict[str, list[dict[str, Any]]]:
        """Return nothing: the runs' own files hold all rows."""
        return {}

    def drop_runs(self, runs: Sequence[PublishedRun]) -> None:
        """Rebuild the file without the runs, whose files are already removed."""
        dropped_ids = {run.run_id for run in runs}
        self.publish(
            self.arranged([r for r in self.runs() if r.run_id not in dropped_ids]), "retain"
        )

    def _published_before(self, day: dt.date) -> list[PublishedRun]:
        return [run for run in self.runs() if run.status == "published" and run.snapshot_at < day]

    @contextmanager
    def _opened(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Attach the published store read-only as ``store``.

        See `attached`.
        """
        with self.attached() as connection:
            yield connection

    def attached(self, *, threads: int = 2) -> duckdb.DuckDBPyConnection:
        """Return an in-memory engine with the published store, read-only, as ``store``.

        The file is attached because ``duckdb.connect`` returns a still open old file after a
        rename has replaced it.

        Raises
        ------
        UserError
            If the file cannot be opened, or is of a newer version.
        """
        path = self.output / STORE_FILE
        connection = duckdb.connect(":memory:", config={**_SETTINGS, "threads": threads})
        try:
            connection.execute(_attach(path, "store"))
            version = connection.table("store.schema_version").fetchall()[0][0]
        except (duckdb.Error, IndexError) as error:
            connection.close()
            raise UserError(
                str(path),
                found=f"a store that cannot be opened: {str(error).splitlines()[0]}",
                expected="a scores store that no other program holds open for writing",
                hint="close that program, or open the store read-only; if the file is damaged, "
                "remove it: the next run rebuilds it from the published runs",
            ) from error
        if version > SCHEMA_VERSION:
            connection.close()
            raise UserError(
                str(path),
                found=f"a store of schema version {version}",
                expected=f"version {SCHEMA_VERSION} or older",
                hint="use the newer stagecast that wrote it, or another --output",
            )
        return connection


def _attach(file: Path, name: str) -> str:
    """Return the SQL that attaches a database file read-only; sqlglot quotes the path."""
    return exp.Attach(
        this=exp.alias_(exp.Literal.string(str(file)), name),
        expressions=[exp.AttachOption(this=exp.var("READ_ONLY"))],
    ).sql("duckdb")


def _is_customer(customer: str) -> duckdb.Expression:
    return duckdb.ColumnExpression("customer_id") == duckdb.ConstantExpression(customer)


@contextmanager
def _connect() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an in-memory engine to read files."""
    with duckdb.connect(":memory:", config=_SETTINGS) as connection:
        yield connection


def check_run_files(files: Sequence[Path], key: Sequence[str], snapshot_at: dt.date) -> int:
    """Check that parquet files keep the contract; return their number of rows.

    Raises
    ------
    ValueError
        If a key is repeated, or rows belong to another snapshot.
    """
    with _connect() as connection:
        file_rows = connection.read_parquet([str(file) for file in files], union_by_name=True)
        columns = ", ".join(key)
        count, distinct_keys, first_snapshot, last_snapshot = file_rows.aggregate(
            f"count(*), count(DISTINCT ({columns})), min(snapshot_at)::DATE, max(snapshot_at)::DATE"
        ).fetchall()[0]
    if count != distinct_keys:
        raise ValueError(f"{count - distinct_keys} rows repeat a ({columns})")
    if count and not first_snapshot == last_snapshot == snapshot_at:
        raise ValueError(f"rows of {first_snapshot} to {last_snapshot} in a run of {snapshot_at}")
    return int(count)


def count_members(file: Path) -> int:
    """Count the rows of an audience file that are not ``removed``."""
    with _connect() as connection:
        members = connection.read_parquet(str(file)).filter("change <> 'removed'")
        return int(members.count("*").fetchall()[0][0])


def _build(new_file: Path, output: Path, runs: Sequence[PublishedRun]) -> None:
    """Write a complete store as a new file."""
    history = [run for run in runs if run.status == "published"]
    current = next(run for run in runs if run.is_current)
    run_rows = [run.model_dump() for run in runs]
    with duckdb.connect(str(new_file), config=_SETTINGS) as connection:
        connection.from_arrow(pa.table({"version": pa.array([SCHEMA_VERSION], pa.int64())})).create(
            "schema_version"
        )
        connection.from_arrow(pa.Table.from_pylist(run_rows, schema=RUNS_SCHEMA)).create("runs")
        records.boundary("runs written")
        scores = [str(output / file) for file in current.score_files]
        connection.read_parquet(scores, union_by_name=True).order("customer_id").create(
            "customer_scores"
        )
        records.boundary("scores written")
        connection.read_parquet(str(output / current.audience_file)).order(
            "campaign_id, rank NULLS LAST, customer_id"
        ).create("audience_members")
        records.boundary("audience written")
        # A full disk shows here; later it would look like a missing table.
        connection.execute("CHECKPOINT")
        _write_sync_tables(connection, output / STORE_FILE)
        history_files = [str(output / file) for run in history for file in run.score_files]
        connection.execute(_view("customer_scores_history", history_files))
        history_files = [str(output / run.audience_file) for run in history]
        connection.execute(_view("audience_members_history", history_files))
        _write_results(connection, output)
        connection.execute("CHECKPOINT")


def _write_sync_tables(connection: duckdb.DuckDBPyConnection, before: Path) -> None:
    """Create the tables for reverse ETL; rows without a change keep what the old file has."""
    known: set[str] = set()
    if before.exists():
        connection.execute(_attach(before, "before"))
        tables = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'before'"
        known = {name for (name,) in connection.execute(tables).fetchall()}
    for table in SYNC_TABLES.values():
        connection.execute(table.definition().format(table=table.name))
        columns = connection.table(table.source).columns
        old = f"before.{table.name}" if table.name in known else table.name  # itself: no rows
        query = table.changes(columns, with_unchanged=True)
        rows = connection.sql(query.format(source=table.source, before=old, runs="runs"))
        rows.insert_into(table.name)
    if before.exists():
        connection.execute("DETACH before")


def _write_results(connection: duckdb.DuckDBPyConnection, output: Path) -> None:
    """Create the tables of results, or replace them."""
    for name, table in RESULT_TABLES.items():
        drop = exp.Drop(this=exp.to_table(name), kind="TABLE", exists=True)
        connection.execute(drop.sql("duckdb"))
        connection.from_arrow(stored_results(output, table)).create(name)


def _view(name: str, files: Sequence[str]) -> str:
    """Return the SQL of a view over parquet files; sqlglot quotes the paths."""
    path_array = exp.Array(expressions=[exp.Literal.string(file) for file in files])
    by_name = exp.EQ(this=exp.var("union_by_name"), expression=exp.true())
    parquet_rows = exp.func("read_parquet", path_array, by_name, dialect="duckdb")
    query = exp.select("*").from_(parquet_rows)
    return exp.Create(this=exp.to_table(name), kind="VIEW", expression=query).sql("duckdb")


def _frame(rows: duckdb.DuckDBPyRelation) -> pd.DataFrame:
    """Convert rows to pandas: dates as midnights, text as str."""
    frame: pd.DataFrame = rows.to_arrow_table().to_pandas(date_as_object=False)
    return frame


def _remove_database(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
