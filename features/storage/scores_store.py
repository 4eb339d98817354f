"""The scores store: read published runs, and publish a run atomically.

A run writes its files under ``OUTPUT/runs/<run_id>/``. Publishing adds its rows atomically to the
store, a DuckDB file of the output folder or a PostgreSQL database: a reader sees all of a run or
nothing. A run is published once it has a row in ``runs``; the marker file in its folder repeats
the row, so that the history survives the loss of the database file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict

from features.config.store_location import store_url
from features.errors import UserError
from features.storage import runs as records
from features.storage.atomic_write import remove_path
from features.storage.duckdb_store import SCHEMA_VERSION as SCHEMA_VERSION
from features.storage.duckdb_store import STORE_FILE as STORE_FILE
from features.storage.duckdb_store import DuckDBStore as DuckDBStore
from features.storage.duckdb_store import check_run_files, count_members
from features.storage.output_lock import exclusive
from features.storage.runs import RUNS_FOLDER, PublishedRun, RunRecord, run_folder, sync

if TYPE_CHECKING:
    from sqlalchemy import URL


class CurrentRun(BaseModel):
    """The current run, its scores and its audience, as read together."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    run: PublishedRun
    scores: pd.DataFrame
    audience: pd.DataFrame


class ScoresStore(Protocol):
    """Interface of the stores of published runs; both kinds hold the same tables."""

    @property
    def name(self) -> str:
        """Name for messages, without a password."""

    def there(self) -> bool:
        """Return True if any run has been published."""

    def runs(self) -> list[PublishedRun]:
        """Return all runs in order of publication."""

    def current(self) -> tuple[PublishedRun, pd.DataFrame, pd.DataFrame]:
        """Return the current run with its scores and audience."""

    def arranged(self, runs: Sequence[PublishedRun]) -> list[PublishedRun]:
        """Return the runs with current status."""

    def alone(self, who: str) -> AbstractContextManager[Self]:
        """Lock the store for one writer; reads within stay valid until its writes are done."""

    def publish(self, runs: Sequence[PublishedRun], run_id: str) -> None:
        """Replace the runs by these, one of them new, atomically; call it within `alone`."""

    def publish_results(self) -> None:
        """Replace the tables of results by the output folder's files, if a run is published."""

    def remove_unfinished(self) -> list[str]:
        """Remove files of killed publications, and return their names."""

    def members_before(self, day: dt.date) -> pd.DataFrame | None:
        """Return the last row per campaign and customer before a date; None without runs."""

    def entrants_before(self, day: dt.date) -> dict[dt.date, dict[str, int]]:
        """Count the customers added, by snapshot and campaign."""

    def forget(self, customer: str) -> int:
        """Remove a customer from all tables; the runs' files must be cleaned first."""

    def rows_of(self, customer: str) -> dict[str, list[dict[str, Any]]]:
        """Return every row of a customer, by table; empty if files hold the rows."""

    def drop_runs(self, runs: Sequence[PublishedRun]) -> None:
        """Remove runs from the history; their files must be removed first."""


def store_of(output: Path) -> ScoresStore:
    """Return the store of an output folder (see `features.config.store_location`)."""
    return store_at(output, store_url(output))


def store_at(output: Path, url: URL | None) -> ScoresStore:
    """Return the store at a URL; None: the DuckDB file of the output folder."""
    if url is None:
        return DuckDBStore(output)
    from features.storage.postgres_store import PostgresStore

    return PostgresStore.of(output, url)


def publish_run(
    output: Path, run: RunRecord, *, scores: Sequence[Path], audience: Path
) -> PublishedRun:
    """Publish a run as the result of its snapshot, atomically.

    Running the same snapshot again replaces it: the history holds the latest published run of
    every snapshot.

    Parameters
    ----------
    output
        The output folder.
    run
        The flow's record of the run.
    scores
        Parquet files of the scored rows, one row per customer, inside the run's folder.
    audience
        Parquet file of the audience (may have no rows), one row per campaign and customer.

    Returns
    -------
    PublishedRun
        The run as stored in ``runs``.

    Raises
    ------
    UserError
        If another run holds the output folder, it belongs to another data set, or the store
        cannot be read or written.
    ValueError
        If the files break the contract: repeated key, other snapshot, or outside the folder.
    """
    output = output.absolute()
    with exclusive(output, run.run_id):
        _refuse_question_mark(output)
        # Other publishers wait from here on: the number of this run, and the runs it replaces,
        # follow from the state read now.
        with store_of(output).alone(run.run_id) as store:
            stored_runs = store.runs()
            records.boundary("runs read")
            _refuse_other_dataset(store.name, stored_runs, run.dataset)
            other_runs = [
                stored_run for stored_run in stored_runs if stored_run.run_id != run.run_id
            ]
            new_run = _inspected_run(
                output, run, scores, audience, records.next_sequence(other_runs)
            )
            records.boundary("files inspected")
            for file in (*scores, audience):
                sync(file)
                sync(file.parent)
            records.boundary("files synced")
            runs = store.arranged([*other_runs, new_run])
            store.publish(runs, run.run_id)
        records.boundary("committed")
        records.write_marker(output, new_run)
        records.boundary("marked")
    return next(published for published in runs if published.run_id == run.run_id)


def publish_results(output: Path) -> None:
    """Publish the tables of results of the output folder, atomically.

    Raises
    ------
    UserError
        If another run holds the output folder, or the store cannot be written.
    """
    output = output.absolute()
    with exclusive(output, "results"), store_of(output).alone("results") as store:
        store.publish_results()


def published_runs(output: Path) -> list[PublishedRun]:
    """Return all published runs in order of publication, from the store or the markers.

    Raises
    ------
    UserError
        If the store is locked, damaged, unreachable, or of a newer version.
    """
    return store_of(output.absolute()).runs()


def read_current(output: Path) -> CurrentRun:
    """Return the current run with its scores and audience, all of one publication.

    Raises
    ------
    UserError
        If nothing has been published, or the store cannot be read.
    """
    store = store_of(output.absolute())
    if not store.there():
        raise _no_store(store.name)
    run, scores, audience = store.current()
    return CurrentRun(run=run, scores=scores, audience=audience)


def current_run(output: Path) -> PublishedRun:
    """Return the current run without its rows.

    Raises
    ------
    UserError
        As `read_current`.
    """
    store = store_of(output.absolute())
    current = [run for run in store.runs() if run.is_current] if store.there() else []
    if not current:
        raise _no_store(store.name)
    return current[0]


def _no_store(name: str) -> UserError:
    return UserError(
        name,
        found="no scores store",
        expected="the store that a scoring run publishes",
        hint="run `stagecast run`, or `stagecast score`, with this output folder",
    )


def previous_audience(output: Path, *, before: dt.date) -> pd.DataFrame | None:
    """Return the last published audience row per campaign and customer before a date.

    Returns
    -------
    DataFrame or None
        One row per (campaign_id, customer_id): the row of the latest snapshot before ``before``
        that names them. ``change`` is ``removed`` for customers who had left by then, at
        ``snapshot_at``. None if nothing was published before that date.
    """
    return store_of(output.absolute()).members_before(before)


def entrants_by_snapshot(output: Path, *, before: dt.date) -> pd.DataFrame:
    """Count the customers added per campaign at each published snapshot before a date.

    Returns
    -------
    DataFrame
        Indexed by snapshot_at, oldest first; one column per campaign; null before its first
        mention.
    """
    added_counts = store_of(output.absolute()).entrants_before(before)
    return pd.DataFrame.from_dict(added_counts, orient="index").sort_index()


def clean_unpublished(output: Path, *, keep: Iterable[str] = ()) -> list[str]:
    """Remove leftovers of killed runs, and return their names.

    Removes folders under ``runs/`` whose run is not published, and unfinished database files.
    It holds the locks of the output folder and the store, so no live run of another process or
    machine is affected; ``keep`` names the runs of this process.
    """
    output = output.absolute()
    keep = set(keep)
    removed = []
    with exclusive(output, "clean_unpublished"), store_of(output).alone("clean up") as store:
        known_runs = {
            run.run_id: run for run in (*records.runs_with_markers(output), *store.runs())
        }
        records.boundary("runs read")
        for run in known_runs.values():
            if run_folder(output, run.run_id).is_dir():
                records.write_marker(output, run)
        folders = output / RUNS_FOLDER
        for folder in sorted(folders.iterdir()) if folders.is_dir() else []:
            if folder.is_dir() and folder.name not in known_runs and folder.name not in keep:
                remove_path(folder)
                removed.append(f"{RUNS_FOLDER}/{folder.name}")
        removed += store.remove_unfinished()
    return removed


def forget_customer(output: Path, customer: str) -> int:
    """Remove a customer from the store's tables; the runs' files must be cleaned first."""
    output = output.absolute()
    with exclusive(output, "erase"), store_of(output).alone("erase") as store:
        return store.forget(customer)


def check_dataset(output: Path, dataset: str) -> None:
    """Stop if the output folder holds results of another data set.

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
    other_datasets = sorted({run.dataset for run in runs} - {dataset})
    if other_datasets:
        raise UserError(
            name,
            found=f"results of the data set {other_datasets[0]!r}",
            expected=f"an empty store, or one with results of {dataset!r}",
            hint="give another folder with --output, or another store",
        )


def _inspected_run(
    output: Path, run: RunRecord, scores: Sequence[Path], audience: Path, sequence: int
) -> PublishedRun:
    """Check a run's files, and return the run with its counts."""
    folder = run_folder(output, run.run_id)
    relative_paths = []
    for file in (*scores, audience):
        if not file.absolute().is_relative_to(folder):
            raise ValueError(f"{file} lies outside the run's folder {folder}")
        relative_paths.append(str(file.absolute().relative_to(output)))
    customers = check_run_files(scores, ("customer_id",), run.snapshot_at)
    check_run_files([audience], ("campaign_id", "customer_id"), run.snapshot_at)
    return PublishedRun(
        **run.model_dump(),
        sequence=sequence,
        customers=customers,
        members=count_members(audience),
        score_files=tuple(relative_paths[:-1]),
        audience_file=relative_paths[-1],
    )
