"""The scores store: what is published, and the one act that publishes it.

A run writes its files under ``OUTPUT/runs/<run_id>/``. Publishing puts its rows into the store, a
DuckDB file of the output folder or a PostgreSQL database, in one act: a reader sees all of a run or
nothing of it. The row in ``runs`` is what makes a run published; the marker file in its folder
repeats it, so that the history survives the loss of the database file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict

from features.config.store_location import store_url
from features.errors import UserError
from features.storage import runs as records
from features.storage.atomic_write import remove
from features.storage.duckdb_store import SCHEMA_VERSION as SCHEMA_VERSION
from features.storage.duckdb_store import STORE_FILE as STORE_FILE
from features.storage.duckdb_store import DuckDBStore as DuckDBStore
from features.storage.duckdb_store import checked, staying_members
from features.storage.output_lock import exclusive
from features.storage.runs import RUNS_FOLDER, PublishedRun, RunRecord, run_folder, sync


class Current(BaseModel):
    """The current run, its scores and its audience, as read together."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    run: PublishedRun
    scores: pd.DataFrame
    audience: pd.DataFrame


class Store(Protocol):
    """What a place of published runs can do; both kinds give the same tables."""

    @property
    def name(self) -> str:
        """What messages call it; never with a password."""

    def there(self) -> bool:
        """Whether anything has been published."""

    def runs(self) -> list[PublishedRun]:
        """Every run in it, in the order of publication."""

    def current(self) -> tuple[PublishedRun, pd.DataFrame, pd.DataFrame]:
        """The current run, its scores and its audience."""

    def arranged(self, runs: Sequence[PublishedRun]) -> list[PublishedRun]:
        """The runs with the status they have after the last publication."""

    def alone(self, who: str) -> AbstractContextManager[Self]:
        """The store for one writer: what is read within holds until what is written is done."""

    def publish(self, runs: Sequence[PublishedRun], run_id: str) -> None:
        """Make these the runs, and one of them new, in one act; to be called within `alone`."""

    def remove_unfinished(self) -> list[str]:
        """Remove what killed publications left, and return the names."""

    def members_before(self, day: dt.date) -> pd.DataFrame | None:
        """The last row of every campaign and customer before a date; None without any run."""

    def entrants_before(self, day: dt.date) -> dict[dt.date, dict[str, int]]:
        """Customers added, by snapshot and campaign."""

    def forget(self, customer: str) -> int:
        """Take a customer out of all tables, once the runs' files are without them."""

    def rows_of(self, customer: str) -> dict[str, list[dict[str, Any]]]:
        """Every row of a customer, by table; none where files hold the rows."""

    def drop_runs(self, runs: Sequence[PublishedRun]) -> None:
        """Take runs out of the history, once their files are gone."""


def store_of(output: Path) -> Store:
    """The store of an output folder (see `features.config.store_location`)."""
    url = store_url(output)
    if url is None:
        return DuckDBStore(output)
    from features.storage.postgres_store import PostgresStore

    return PostgresStore.of(output, url)


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
        Where another run holds the output folder, it belongs to another data set, or the store
        cannot be read or written.
    ValueError
        Where the files break the contract: a doubled key, another snapshot, outside the folder.
    """
    output = output.absolute()
    with exclusive(output, run.run_id):
        _refuse_question_mark(output)
        # Who else publishes there has to wait from here on: the number of this run, and which runs
        # it replaces, follow from what is read now.
        with store_of(output).alone(run.run_id) as store:
            before = store.runs()
            records.boundary("runs read")
            _refuse_other_dataset(store.name, before, run.dataset)
            earlier = [old for old in before if old.run_id != run.run_id]
            entry = _inspected(output, run, scores, audience, records.next_sequence(earlier))
            records.boundary("files inspected")
            for file in (*scores, audience):
                sync(file)
                sync(file.parent)
            records.boundary("files synced")
            runs = store.arranged([*earlier, entry])
            store.publish(runs, run.run_id)
        records.boundary("committed")
        records.mark(output, entry)
        records.boundary("marked")
    return next(each for each in runs if each.run_id == run.run_id)


def published_runs(output: Path) -> list[PublishedRun]:
    """Every published run in the order of publication, from the store, or from the markers.

    Raises
    ------
    UserError
        Where the store is locked, damaged, out of reach, or made by a newer version.
    """
    return store_of(output.absolute()).runs()


def read_current(output: Path) -> Current:
    """The current run with its scores and audience, all of one publication.

    Raises
    ------
    UserError
        Where nothing has been published, or the store cannot be read.
    """
    store = store_of(output.absolute())
    if not store.there():
        raise UserError(
            store.name,
            found="no scores store",
            expected="the store that a scoring run publishes",
            hint="run `stagecast run`, or `stagecast score`, with this output folder",
        )
    run, scores, audience = store.current()
    return Current(run=run, scores=scores, audience=audience)


def previous_audience(output: Path, *, before: dt.date) -> pd.DataFrame | None:
    """Last published word on every campaign and customer before a date.

    Returns
    -------
    DataFrame or None
        One row per (campaign_id, customer_id): the row of the latest snapshot before ``before``
        that names them. ``change`` is ``removed`` for those who had left by then, and
        ``snapshot_at`` says when. None where nothing was published before that date.
    """
    return store_of(output.absolute()).members_before(before)


def entrants(output: Path, *, before: dt.date) -> pd.DataFrame:
    """Customers added to every campaign at each published snapshot before a date.

    Returns
    -------
    DataFrame
        Indexed by snapshot_at, oldest first; one column a campaign; null before its first
        mention.
    """
    found = store_of(output.absolute()).entrants_before(before)
    return pd.DataFrame.from_dict(found, orient="index").sort_index()


def clean_unpublished(output: Path, *, keep: Iterable[str] = ()) -> list[str]:
    """Remove what killed runs left behind, and return the names.

    Removes folders under ``runs/`` whose run is not published, and unfinished database files.
    It holds the output folder's lock and the store's, so no live run of another process or machine
    can be hit; ``keep`` names the runs of this process.
    """
    output = output.absolute()
    keep = set(keep)
    removed = []
    with exclusive(output, "clean_unpublished"), store_of(output).alone("clean up") as store:
        runs = {run.run_id: run for run in (*records.marked(output), *store.runs())}
        records.boundary("runs read")
        for run in runs.values():
            if run_folder(output, run.run_id).is_dir():
                records.mark(output, run)
        folders = output / RUNS_FOLDER
        for folder in sorted(folders.iterdir()) if folders.is_dir() else []:
            if folder.is_dir() and folder.name not in runs and folder.name not in keep:
                remove(folder)
                removed.append(f"{RUNS_FOLDER}/{folder.name}")
        removed += store.remove_unfinished()
    return removed


def forget_customer(output: Path, customer: str) -> int:
    """Take a customer out of the store's tables; the runs' files must be without them already."""
    output = output.absolute()
    with exclusive(output, "erase"), store_of(output).alone("erase") as store:
        return store.forget(customer)


def check_dataset(output: Path, dataset: str) -> None:
    """Refuse an output folder that holds the results of another data set.

    Raises
    ------
    UserError
        Naming both data sets; or where DuckDB cannot open a file at such a path.
    """
    _refuse_question_mark(output.absolute())
    store = store_of(output.absolute())
    _refuse_other_dataset(store.name, store.runs(), dataset)


def _refuse_question_mark(output: Path) -> None:
    if "?" in str(output):
        raise UserError(
            str(output),
            found="a question mark in the path",
            expected="a folder without one (DuckDB reads it as the start of options)",
            hint="give another folder with --output",
        )


def _refuse_other_dataset(name: str, runs: Sequence[PublishedRun], dataset: str) -> None:
    others = sorted({run.dataset for run in runs} - {dataset})
    if others:
        raise UserError(
            name,
            found=f"results of the data set {others[0]!r}",
            expected=f"an empty store, or one with results of {dataset!r}",
            hint="give another folder with --output, or another store",
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
    customers = checked(scores, ("customer_id",), run.snapshot_at)
    checked([audience], ("campaign_id", "customer_id"), run.snapshot_at)
    return PublishedRun(
        **run.model_dump(),
        sequence=sequence,
        customers=customers,
        members=staying_members(audience),
        score_files=tuple(relative[:-1]),
        audience_file=relative[-1],
    )
