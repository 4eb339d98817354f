"""The scores store as one DuckDB file, built beside the old one and renamed over it."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Sequence
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
from features.storage.runs import RUNS_SCHEMA, PublishedRun, sync

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
        """What messages call it."""
        return str(self.output / STORE_FILE)

    def there(self) -> bool:
        """Whether anything has been published."""
        return (self.output / STORE_FILE).exists()

    def runs(self) -> list[PublishedRun]:
        """Every run in it, in the order of publication; of a lost file, those that are marked."""
        if not self.there():
            return self.arranged(records.marked(self.output))
        with self._opened() as con:
            rows = con.table("store.runs").order("sequence").to_arrow_table().to_pylist()
        return [PublishedRun.model_validate(row) for row in rows]

    def current(self) -> tuple[PublishedRun, pd.DataFrame, pd.DataFrame]:
        """The current run, its scores and its audience."""
        with self._opened() as con:
            rows = con.table("store.runs").filter("is_current").to_arrow_table().to_pylist()
            scores = _frame(con.table("store.customer_scores"))
            audience = _frame(con.table("store.audience_members"))
        return PublishedRun.model_validate(rows[0]), scores, audience

    def arranged(self, runs: Sequence[PublishedRun]) -> list[PublishedRun]:
        """The runs as they are after the last publication: a run without its files is none."""
        return records.arranged(self.output, runs)

    @contextmanager
    def alone(self, who: str) -> Iterator[DuckDBStore]:
        """The store for one writer: its file lies in the output folder, whose lock is enough."""
        with exclusive(self.output, who):
            yield self

    def publish(self, runs: Sequence[PublishedRun], run_id: str) -> None:
        """Put a new file in the place of the old one."""
        new = self.output / f"{STORE_FILE}.{run_id}.tmp"
        try:
            _remove_database(new)
            _build(new, self.output, runs)
            records.boundary("store built")
            sync(new)
            # A log left by whoever wrote to the old file must not be replayed into the new one.
            (self.output / f"{STORE_FILE}.wal").unlink(missing_ok=True)
            records.boundary("before rename")
            os.replace(new, self.output / STORE_FILE)
        finally:
            _remove_database(new)
        sync(self.output)
        records.boundary("renamed")

    def remove_unfinished(self) -> list[str]:
        """Remove what killed publications left, and return the names."""
        found = sorted(self.output.glob(f"{STORE_FILE}.*.tmp*"))
        for file in found:
            file.unlink()
        return [file.name for file in found]

    def members_before(self, day: dt.date) -> pd.DataFrame | None:
        """The last row of every campaign and customer before a date; None without any run."""
        files = [str(self.output / run.audience_file) for run in self._published_before(day)]
        if not files:
            return None
        with connected() as con:
            members = con.read_parquet(files, union_by_name=True)
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
        """Customers added, by snapshot and campaign."""
        found: dict[dt.date, dict[str, int]] = {}
        with connected() as con:
            for run in self._published_before(day):
                members = con.read_parquet(str(self.output / run.audience_file))
                counted = members.aggregate(
                    "campaign_id, count(*) FILTER (change = 'added')", "campaign_id"
                )
                found[run.snapshot_at] = dict(counted.fetchall())
        return found

    def forget(self, customer: str) -> int:
        """Build the file anew from the runs' files, which are without the customer by now."""
        if not self.there():
            return 0
        with self._opened() as con:
            gone = sum(
                len(con.table(f"store.{name}").filter(_is(customer)).fetchall())
                for name in ("customer_scores", "audience_members")
            )
        self.publish(self.arranged(self.runs()), "erase")
        return gone

    def rows_of(self, customer: str) -> dict[str, list[dict[str, Any]]]:
        """Nothing beside the runs' files, which are shown themselves."""
        return {}

    def drop_runs(self, runs: Sequence[PublishedRun]) -> None:
        """Build the file anew without the runs, whose files are gone."""
        gone = {run.run_id for run in runs}
        self.publish(self.arranged([r for r in self.runs() if r.run_id not in gone]), "retain")

    def _published_before(self, day: dt.date) -> list[PublishedRun]:
        return [r for r in self.runs() if r.status == "published" and r.snapshot_at < day]

    @contextmanager
    def _opened(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The published store, attached read-only as ``store``.

        Attached to a database of our own, because ``duckdb.connect`` gives an open connection's
        file again after a rename has put another one in its place.
        """
        path = self.output / STORE_FILE
        attach = exp.Attach(
            this=exp.alias_(exp.Literal.string(str(path)), "store"),
            expressions=[exp.AttachOption(this=exp.var("READ_ONLY"))],
        )
        with connected() as con:
            try:
                con.execute(attach.sql("duckdb"))
                version = con.table("store.schema_version").fetchall()[0][0]
            except (duckdb.Error, IndexError) as error:
                raise UserError(
                    str(path),
                    found=f"a store that cannot be opened: {str(error).splitlines()[0]}",
                    expected="a scores store that no other program holds open for writing",
                    hint="close that program, or open the store read-only; if the file is damaged, "
                    "remove it: the next run rebuilds it from the published runs",
                ) from error
            if version > SCHEMA_VERSION:
                raise UserError(
                    str(path),
                    found=f"a store of schema version {version}",
                    expected=f"version {SCHEMA_VERSION} or older",
                    hint="use the newer stagecast that wrote it, or another --output",
                )
            yield con


def _is(customer: str) -> duckdb.Expression:
    return duckdb.ColumnExpression("customer_id") == duckdb.ConstantExpression(customer)


@contextmanager
def connected() -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine in memory, to read files with."""
    with duckdb.connect(":memory:", config=_SETTINGS) as con:
        yield con


def checked(files: Sequence[Path], key: Sequence[str], snapshot_at: dt.date) -> int:
    """Rows of parquet files, once they keep the contract.

    Raises
    ------
    ValueError
        Where a key is doubled, or rows are of another snapshot.
    """
    with connected() as con:
        rows = con.read_parquet([str(f) for f in files], union_by_name=True)
        columns = ", ".join(key)
        count, keys, first, last = rows.aggregate(
            f"count(*), count(DISTINCT ({columns})), min(snapshot_at)::DATE, max(snapshot_at)::DATE"
        ).fetchall()[0]
    if count != keys:
        raise ValueError(f"{count - keys} rows repeat a ({columns})")
    if count and not first == last == snapshot_at:
        raise ValueError(f"rows of {first} to {last} in a run of {snapshot_at}")
    return int(count)


def staying_members(file: Path) -> int:
    """Rows of an audience file that are not ``removed``."""
    with connected() as con:
        members = con.read_parquet(str(file)).filter("change <> 'removed'")
        return int(members.count("*").fetchall()[0][0])


def _build(new: Path, output: Path, runs: Sequence[PublishedRun]) -> None:
    """Write a complete store as a new file."""
    history = [run for run in runs if run.status == "published"]
    current = next(run for run in runs if run.is_current)
    rows = [run.model_dump() for run in runs]
    with duckdb.connect(str(new), config=_SETTINGS) as con:
        con.from_arrow(pa.table({"version": pa.array([SCHEMA_VERSION], pa.int64())})).create(
            "schema_version"
        )
        con.from_arrow(pa.Table.from_pylist(rows, schema=RUNS_SCHEMA)).create("runs")
        records.boundary("runs written")
        scores = [str(output / file) for file in current.score_files]
        con.read_parquet(scores, union_by_name=True).order("customer_id").create("customer_scores")
        records.boundary("scores written")
        con.read_parquet(str(output / current.audience_file)).order(
            "campaign_id, rank NULLS LAST, customer_id"
        ).create("audience_members")
        records.boundary("audience written")
        files = [str(output / file) for run in history for file in run.score_files]
        con.execute(_view("customer_scores_history", files))
        files = [str(output / run.audience_file) for run in history]
        con.execute(_view("audience_members_history", files))
        con.execute("CHECKPOINT")


def _view(name: str, files: Sequence[str]) -> str:
    """A view over parquet files; the library quotes the paths (a view takes no parameters)."""
    paths = exp.Array(expressions=[exp.Literal.string(file) for file in files])
    by_name = exp.EQ(this=exp.var("union_by_name"), expression=exp.true())
    rows = exp.func("read_parquet", paths, by_name, dialect="duckdb")
    query = exp.select("*").from_(rows)
    return exp.Create(this=exp.to_table(name), kind="VIEW", expression=query).sql("duckdb")


def _frame(rows: duckdb.DuckDBPyRelation) -> pd.DataFrame:
    """Rows as pandas: dates as midnights, text as str."""
    frame: pd.DataFrame = rows.to_arrow_table().to_pandas(date_as_object=False)
    return frame


def _remove_database(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
