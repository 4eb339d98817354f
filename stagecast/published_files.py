"""Files of published runs, read for the functions of this package."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import is_object_dtype

from features.errors import UserError
from features.storage import scores_store
from features.storage.runs import PublishedRun, run_folder

DEFAULT_OUTPUT = "outputs"


def folder_of(output: str | Path) -> Path:
    """Return the output folder as an absolute path."""
    return Path(output).absolute()


def existing_folder(output: str | Path) -> Path:
    """Return the output folder as an absolute path.

    Raises
    ------
    UserError
        If there is neither the folder nor a store elsewhere: a misspelt path is no empty result.
    """
    folder = folder_of(output)
    if not folder.is_dir() and not scores_store.store_of(folder).there():
        raise UserError(
            str(folder),
            found="no such folder",
            expected="the output folder of a run",
            hint="check the path, or run `stagecast run` with this output folder",
        )
    return folder


def date_of(day: dt.date | str | None, name: str) -> dt.date | None:
    """Return the date of a date, of a moment or of ISO text; None of None.

    Raises
    ------
    UserError
        Naming the parameter, for other text and other types.
    """
    try:
        if isinstance(day, dt.datetime):  # among them pandas' own, and its NaT, which has no date
            return day.date()
        if day is None or isinstance(day, dt.date):
            return day
        return dt.date.fromisoformat(day)
    except (ValueError, TypeError) as error:
        raise UserError(name, found=repr(day), expected="a date like 2024-05-01") from error


def run_at(folder: Path, at: dt.date | str) -> PublishedRun:
    """Return the published run of a date.

    Raises
    ------
    UserError
        If no run is published, or none of that date.
    """
    day = date_of(at, "at")
    published = [run for run in scores_store.published_runs(folder) if run.status == "published"]
    if not published:
        scores_store.current_run(folder)  # raises, with a message
    found = [run for run in published if run.snapshot_at == day]
    if not found:
        latest = ", ".join(str(run.snapshot_at) for run in published[-3:])
        raise UserError("at", found=str(day), expected=f"the date of a run; the latest: {latest}")
    return found[0]


def read_files(folder: Path, files: Sequence[str], filters: Any = None) -> pa.Table:
    """Return rows of parquet files below the folder; a column that one lacks is null there.

    Raises
    ------
    UserError
        If a file is missing.
    """
    for file in files:
        if not (folder / file).is_file():
            raise no_file(folder / file)
    tables = [pq.read_table(folder / file, filters=filters) for file in files]
    return pa.concat_tables(tables, promote_options="permissive")


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Return rows as pandas: dates as midnights."""
    return with_moments(table.to_pandas(date_as_object=False))


def with_moments(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows with one type of moments and dates, wherever they were read."""
    days = [
        name
        for name, kind in frame.dtypes.items()
        if is_object_dtype(kind)
        and len(known := frame[name].dropna())
        and type(known.iloc[0]) is dt.date
    ]
    frame = frame.astype(dict.fromkeys(days, "datetime64[us]"))
    moments = frame.select_dtypes("datetime").columns
    return frame.astype(dict.fromkeys(moments, "datetime64[us]"))


def plan_file(folder: Path, run: PublishedRun) -> Path:
    """Return the file of a run's plan."""
    return run_folder(folder, run.run_id) / "audiences" / "plan.csv"


def no_file(file: Path) -> UserError:
    """Return the error where a file of a run is missing."""
    return UserError(
        str(file),
        found="no such file",
        expected="a file of the run",
        hint="read on the machine that ran it, or read the current run only",
    )
