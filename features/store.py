"""The scores store: what is published, and the one act that publishes it.

A run writes its files under ``OUTPUT/runs/<run_id>/``. Publishing builds a whole new database
beside ``OUTPUT/stagecast.duckdb`` and renames it over the old one, so a reader sees all of a run
or nothing of it. The row in ``runs`` is what makes a run published; the marker file in its folder
repeats it, so that the history survives the loss of the database file.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict
from sqlglot import exp

from features import runs as records
from features.errors import UserError
from features.locks import exclusive
from features.runs import (
    RUNS_FOLDER,
    RUNS_SCHEMA,
    PublishedRun,
    RunRecord,
    run_folder,
    sync,
)

SCHEMA_VERSION = 1
STORE_FILE = "stagecast.duckdb"


class Current(BaseModel):
    """The current run, its scores and its audience, as read together."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    run: PublishedRun
    scores: pd.DataFrame
    audience: pd.DataFrame


def publish(
    output: Path, run: RunRecord, *, scores: Sequence[Path], audience: Path
) -> PublishedRun:
    """Make a run the published result of its snapshot, in one act.

    Running the same snapshot again replaces it: the history holds the latest published run of
    every snapshot.

    Parameters
    ----------
    output
        The output folder.
    run
        What the flow knows of the run.
    scores
        Parquet files of the scored rows, one row a customer, inside the run's folder.
    audience
        Parquet file of the audience (may have no rows), one row per campaign and customer.

    Returns
    -------
    PublishedRun
        The run as it stands in ``runs``.

    Raises
    ------
    UserError
        Where another run holds the output folder, it belongs to another data set, or the old
        store cannot be read.
    ValueError
        Where the files break the contract: a doubled key, another snapshot, outside the folder.
    """
    output = output.absolute()
    with exclusive(output, run.run_id):
        check_dataset(output, run.dataset)
        earlier = [old for old in published_runs(output) if old.run_id != run.run_id]
        entry = _inspected(output, run, scores, audience, records.next_sequence(earlier))
        records.boundary("files inspected")
        for file in (*scores, audience):
            sync(file)
            sync(file.parent)
        records.boundary("files synced")
        runs = records.arranged(output, [*earlier, entry])
        new = output / f"{STORE_FILE}.{run.run_id}.tmp"
        try:
            _remove_database(new)
            _build(new, output, runs)
            records.boundary("store built")
            sync(new)
            # A log left by whoever wrote to the old file must not be replayed into the new one.
            (output / f"{STORE_FILE}.wal").unlink(missing_ok=True)
            records.boundary("before rename")
            os.replace(new, output / STORE_FILE)
        finally:
            _remove_database(new)
        sync(output)
        records.boundary("renamed")
        records.mark(output, entry)
        records.boundary("marked")
    return next(each for each in runs if each.run_id == run.run_id)


def published_runs(output: Path) -> list[PublishedRun]:
    """Every published run in the order of publication, from the store, or from the markers.

    Raises
    ------
    UserError
        Where the store is locked, damaged, or made by a newer version.
    """
    output = output.absolute()
    if (output / STORE_FILE).exists():
        with _opened(output) as con:
            rows = con.table("store.runs").order("sequence").to_arrow_table().to_pylist()
        return [PublishedRun.model_validate(row) for row in rows]
    return records.arranged(output, records.marked(output))


def read_current(output: Path) -> Current:
    """The current run with its scores and audience, all of one publication.

    Raises
    ------
    UserError
        Where nothing has been published, or the store cannot be read.
    """
    output = output.absolute()
    if not (output / STORE_FILE).exists():
        raise UserError(
            str(output / STORE_FILE),
            found="no scores store",
            expected="the store that a scoring run publishes",
            mend="run `stagecast run`, or `stagecast score`, with this output folder",
        )
    with _opened(output) as con:
        rows = con.table("store.runs").filter("is_current").to_arrow_table().to_pylist()
        scores = _frame(con.table("store.customer_scores"))
        audience = _frame(con.table("store.audience_members"))
    return Current(run=PublishedRun.model_validate(rows[0]), scores=scores, audience=audience)


def previous_audience(output: Path, *, before: dt.date) -> pd.DataFrame | None:
    """Last published word on every campaign and customer before a date.

    Returns
    -------
    DataFrame or None
        One row per (campaign_id, customer_id): the row of the latest snapshot before ``before``
        that names them. ``change`` is ``removed`` for those who had left by then, and
        ``snapshot_at`` says when. None where nothing was published before that date.
    """
    output = output.absolute()
    files = [
        str(output / run.audience_file)
        for run in published_runs(output)
        if run.status == "published" and run.snapshot_at < before
    ]
    if not files:
        return None
    with _connected() as con:
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


def entrants(output: Path, *, before: dt.date) -> pd.DataFrame:
    """Customers added to every campaign at each published snapshot before a date.

    Returns
    -------
    DataFrame
        Indexed by snapshot_at, oldest first; one column a campaign; null before its first
        mention.
    """
    output = output.absolute()
    runs = [
        run
        for run in published_runs(output)
        if run.status == "published" and run.snapshot_at < before
    ]
    found: dict[dt.date, dict[str, int]] = {}
    with _connected() as con:
        for run in runs:
            members = con.read_parquet(str(output / run.audience_file))
            counted = members.aggregate(
                "campaign_id, count(*) FILTER (change = 'added')", "campaign_id"
            )
            found[run.snapshot_at] = dict(counted.fetchall())
    return pd.DataFrame.from_dict(found, orient="index").sort_index()


def clean_unpublished(output: Path, *, keep: Iterable[str] = ()) -> list[str]:
    """Remove what killed runs left behind, and return the names.

    Removes folders under ``runs/`` whose run is not published, and unfinished database files.
    It holds the output folder's lock, so no live run of another process can be hit; ``keep`` names
    the runs of this process.
    """
    output = output.absolute()
    keep = set(keep)
    removed = []
    with exclusive(output, "clean_unpublished"):
        runs = {run.run_id: run for run in (*records.marked(output), *published_runs(output))}
        for run in runs.values():
            if run_folder(output, run.run_id).is_dir():
                records.mark(output, run)
        folders = output / RUNS_FOLDER
        for folder in sorted(folders.iterdir()) if folders.is_dir() else []:
            if folder.is_dir() and folder.name not in runs and folder.name not in keep:
                _remove_folder(folder)
                removed.append(f"{RUNS_FOLDER}/{folder.name}")
        for file in sorted(output.glob(f"{STORE_FILE}.*.tmp*")):
            file.unlink()
            removed.append(file.name)
    return removed


def check_dataset(output: Path, dataset: str) -> None:
    """Refuse an output folder that holds the results of another data set.

    Raises
    ------
    UserError
        Naming both data sets; or where DuckDB cannot open a file at such a path.
    """
    if "?" in str(output.absolute()):
        raise UserError(
            str(output),
            found="a question mark in the path",
            expected="a folder without one (DuckDB reads it as the start of options)",
            mend="give another folder with --output",
        )
    others = sorted({run.dataset for run in published_runs(output)} - {dataset})
    if others:
        raise UserError(
            str(output),
            found=f"results of the data set {others[0]!r}",
            expected=f"an empty folder, or one with results of {dataset!r}",
            mend="give another folder with --output",
        )


def _inspected(
    output: Path, run: RunRecord, scores: Sequence[Path], audience: Path, sequence: int
) -> PublishedRun:
    """The run with its counts, once its files keep the contract."""
    folder = run_folder(output, run.run_id)
    relative = []
    for file in (*scores, audience):
        if not file.absolute().is_relative_to(folder):
            raise ValueError(f"{file} lies outside the run's folder {folder}")
        relative.append(str(file.absolute().relative_to(output)))
    with _connected() as con:
        scored = con.read_parquet([str(f) for f in scores], union_by_name=True)
        members = con.read_parquet(str(audience))
        customers = _checked(scored, "customer_id", run.snapshot_at)
        _checked(members, "campaign_id, customer_id", run.snapshot_at)
        staying = members.filter("change <> 'removed'").count("*").fetchall()[0][0]
    return PublishedRun(
        **run.model_dump(),
        sequence=sequence,
        customers=customers,
        members=staying,
        score_files=tuple(relative[:-1]),
        audience_file=relative[-1],
    )


def _checked(rows: duckdb.DuckDBPyRelation, key: str, snapshot_at: dt.date) -> int:
    count, keys, first, last = rows.aggregate(
        f"count(*), count(DISTINCT ({key})), min(snapshot_at)::DATE, max(snapshot_at)::DATE"
    ).fetchall()[0]
    if count != keys:
        raise ValueError(f"{count - keys} rows repeat a ({key})")
    if count and not first == last == snapshot_at:
        raise ValueError(f"rows of {first} to {last} in a run of {snapshot_at}")
    return int(count)


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


# Nothing here needs an extension from the network.
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "threads": 2,
}


@contextmanager
def _connected() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config=_SETTINGS) as con:
        yield con


@contextmanager
def _opened(output: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The published store, attached read-only as ``store``.

    Attached to a database of our own, because ``duckdb.connect`` gives an open connection's file
    again after a rename has put another one in its place.
    """
    path = output / STORE_FILE
    attach = exp.Attach(
        this=exp.alias_(exp.Literal.string(str(path)), "store"),
        expressions=[exp.AttachOption(this=exp.var("READ_ONLY"))],
    )
    with _connected() as con:
        try:
            con.execute(attach.sql("duckdb"))
            version = con.table("store.schema_version").fetchall()[0][0]
        except (duckdb.Error, IndexError) as error:
            raise UserError(
                str(path),
                found=f"a store that cannot be opened: {str(error).splitlines()[0]}",
                expected="a scores store that no other program holds open for writing",
                mend="close that program, or open the store read-only; if the file is damaged, "
                "remove it: the next run rebuilds it from the published runs",
            ) from error
        if version > SCHEMA_VERSION:
            raise UserError(
                str(path),
                found=f"a store of schema version {version}",
                expected=f"version {SCHEMA_VERSION} or older",
                mend="use the newer stagecast that wrote it, or another --output",
            )
        yield con


def _frame(rows: duckdb.DuckDBPyRelation) -> pd.DataFrame:
    """Rows as pandas: dates as midnights, text as str."""
    frame: pd.DataFrame = rows.to_arrow_table().to_pandas(date_as_object=False)
    return frame


def _remove_folder(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)


def _remove_database(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
