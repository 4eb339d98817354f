"""What runs left in an output folder, as frames."""

from __future__ import annotations

import datetime as dt
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd

from features.calendar import day_number
from features.errors import UserError
from features.sources.keys import key_value
from features.storage import scores_store
from features.storage.row_reader import open_reader
from stagecast.published_files import (
    DEFAULT_OUTPUT,
    as_frame,
    date_of,
    existing_folder,
    folder_of,
    read_files,
    run_at,
    with_moments,
)

_RUN_COLUMNS = (
    "run_id",
    "snapshot_at",
    "status",
    "is_current",
    "kind",
    "scorer_version",
    "customers",
    "members",
    "started_at",
    "finished_at",
)
_DATES = ("snapshot_at", "started_at", "finished_at")


def runs(output: str | Path = DEFAULT_OUTPUT) -> pd.DataFrame:
    """Return all publications, in their order.

    Returns
    -------
    DataFrame
        One row a publication: run_id, snapshot_at (date of the scores), status (``published``,
        ``superseded`` by a later run of the same date, or ``files_missing``), is_current, kind
        (``score`` or ``backfill``), scorer_version, customers and members (rows of its scores and
        audiences), started_at and finished_at (UTC). No rows before the first publication.

    Raises
    ------
    UserError
        If there is no such folder, or the store cannot be read.
    """
    found = scores_store.published_runs(existing_folder(output))
    table = pd.DataFrame([run.model_dump() for run in found], columns=list(_RUN_COLUMNS))
    return with_moments(table.assign(**{name: pd.to_datetime(table[name]) for name in _DATES}))


def scores(output: str | Path = DEFAULT_OUTPUT, *, at: dt.date | str | None = None) -> pd.DataFrame:
    """Return the scored rows of a run.

    Parameters
    ----------
    output
        The output folder.
    at
        Date of the scores; default: those of the current run.

    Returns
    -------
    DataFrame
        One row per customer, in the order of ids; the columns that `score_columns` describes,
        with what null means in each.

    Raises
    ------
    UserError
        If no run is published, or none of that date.
    """
    folder = folder_of(output)
    if at is None:
        return with_moments(scores_store.read_current(folder).scores)
    run = run_at(folder, at)
    return as_frame(read_files(folder, run.score_files).sort_by("customer_id"))


def score(customer: str, output: str | Path = DEFAULT_OUTPUT) -> dict[str, Any]:
    """Return the scored row of one customer, from the current run.

    Parameters
    ----------
    customer
        Id of the customer, as the source has it.
    output
        The output folder.

    Returns
    -------
    dict
        The columns of `scores` with Python values; None where null.

    Raises
    ------
    UserError
        If no run is published, or it has no such customer.
    """
    row = open_reader(folder_of(output)).scored_row(key_value(customer) or customer)
    if row is None:
        raise _no_customer()
    return dict(row)


def score_history(customer: str, output: str | Path = DEFAULT_OUTPUT) -> pd.DataFrame:
    """Return the scored rows of one customer in all published runs.

    Returns
    -------
    DataFrame
        One row per date of scores (``snapshot_at``), the earliest first; the columns of `scores`.
        A column that earlier runs did not have is null in their rows.

    Raises
    ------
    UserError
        If no run is published, or no run has such a customer.
    """
    folder, key = folder_of(output), key_value(customer) or customer
    files = [
        file
        for run in scores_store.published_runs(folder)
        if run.status == "published"
        for file in run.score_files
    ]
    if not files:
        scores_store.current_run(folder)  # raises, with a message
    table = read_files(folder, files, filters=[("customer_id", "=", key)])
    if not table.num_rows:
        raise _no_customer()
    return as_frame(table.sort_by("snapshot_at"))


def metrics(
    output: str | Path = DEFAULT_OUTPUT,
    *,
    first: dt.date | str | None = None,
    to: dt.date | str | None = None,
    every: int | None = None,
) -> pd.DataFrame:
    """Return the metrics of every stage, by period.

    Parameters
    ----------
    output
        The output folder.
    first, to
        First day, and the day after the last one; default: up to twelve periods to the end of the
        data.
    every
        Days of a period, 1 to 3650; default: calendar months.

    Returns
    -------
    DataFrame
        One row per period, stage (null: all customers), metric and source: period_start,
        period_end, stage, metric, key, source, value (null where hidden under 30 customers or
        missing), unit, n, note (why there is no value) and ours. `metric_definitions` explains
        each key.

    Raises
    ------
    UserError
        If nothing is stored, no whole period fits, or a parameter has another type or range.
    """
    from features.metrics.metric_table import LONGEST_PERIOD
    from flows.services.life_cycle_metrics import stage_metrics

    begin, end = date_of(first, "first"), date_of(to, "to")
    is_number = isinstance(every, Integral) and not isinstance(every, bool)
    if every is not None and not (is_number and 1 <= every <= LONGEST_PERIOD):
        raise UserError(
            "every",
            found=repr(every),
            expected=f"a whole number of days, 1 to {LONGEST_PERIOD}, or None for months",
        )
    return with_moments(stage_metrics(folder_of(output), first=begin, to=end, every=every))


def features(
    output: str | Path = DEFAULT_OUTPUT, *, at: dt.date | str | None = None
) -> pd.DataFrame:
    """Return the features of a snapshot: what was known before that day began.

    Parameters
    ----------
    output
        The output folder.
    at
        Date of the snapshot, one that a run has stored; default: the latest.

    Returns
    -------
    DataFrame
        One row per customer who existed then; the columns that `feature_columns` describes.

    Raises
    ------
    UserError
        If no features are stored, or none of that date.
    """
    from features.table.feature_store import FOLDER, feature_file, read_features

    stored = folder_of(output) / FOLDER
    names = [path.parent.name for path in stored.glob("snapshots/*/features.parquet")]
    days = sorted(name.partition("=")[2] for name in names)
    day = date_of(at, "at")
    wanted = str(day) if day is not None else days[-1] if days else "none"
    if wanted not in days:
        raise UserError(
            "at",
            found=wanted,
            expected=f"a stored date, the latest are {', '.join(days[-3:])}"
            if days
            else "features that `stagecast features` or `stagecast run` stores",
        )
    number = day_number(dt.date.fromisoformat(wanted))
    return with_moments(read_features(feature_file(stored, number)))


def explain(customer: str, output: str | Path = DEFAULT_OUTPUT) -> dict[str, Any]:
    """Return the main scores of one customer with the strongest reasons.

    Returns
    -------
    dict
        customer_id, snapshot_at, scorer_version, the main scores that are not null, and reasons: a
        list of code and sentence. A reason describes the model, and need not be a cause.

    Raises
    ------
    UserError
        If no run is published, or it has no such customer.
    """
    from flows.services.reasons import explain_customer

    return explain_customer(folder_of(output), customer)


def models(output: str | Path = DEFAULT_OUTPUT) -> pd.DataFrame:
    """Return the registered versions of the scorer, the newest first.

    Returns
    -------
    DataFrame
        One row a version: version, aliases (tuple; ``champion`` is the one that scores),
        created_at (UTC), promoted_because (null without a promotion), description (its card).

    Raises
    ------
    UserError
        If the registry does not answer.
    """
    from flows.services.workspace import Workspace

    rows = [
        (
            version.version,
            version.aliases,
            pd.Timestamp(version.created_at, unit="ms"),
            version.tags.get("promoted_because"),
            version.description,
        )
        for version in Workspace(folder_of(output)).registered_versions()
    ]
    columns = ["version", "aliases", "created_at", "promoted_because", "description"]
    return with_moments(pd.DataFrame(rows, columns=columns))


def _no_customer() -> UserError:
    return UserError(
        "customer",
        found="an id without a scored row",
        expected="the id of a scored customer, as the source has it",
        hint="check the id and its capital letters; `stagecast score` updates the scores",
    )
