"""The list of customers whose recorded stage looks wrong: opened, shown and written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.markup import escape

from features.aggregates.daily_aggregates import Tallies
from features.calendar import day_date
from features.config.config import Config
from features.errors import UserError
from features.lifecycle.crm_stage_history import declared, read_records, stage_records
from features.storage import csv_files
from features.storage.output_lock import exclusive
from features.table import feature_store
from features.table.feature_store import Archive
from flows.services.console import console, print_table, warn
from flows.services.workspace import latest_event_day

if TYPE_CHECKING:
    from models.serving.crm_disagreement import CrmDisagreement

COLUMNS = [
    "status",
    "customer_id",
    "recorded_stage",
    "recorded_as",
    "recorded_at",
    "predicted_stage",
    "p_recorded",
    "p_predicted",
]


@contextmanager
def recorded_archive(
    config: Config, tallied: Callable[[], Tallies] | None, output: Path | None
) -> Iterator[Archive]:
    """The data set with the stage history as its truth, whatever truth the config has.

    Parameters
    ----------
    config
        With a `stage_history`.
    tallied
        Reads the sources, for a temporary folder; None where `output` holds fresh tallies.
    output
        Folder of an earlier run, locked meanwhile: features built here stay there.

    Raises
    ------
    UserError
        Where there is no stage history, or its records cannot be used.
    """
    block = declared(config)
    task = config.stage.model_copy(update={"truth": "history", "late_days": 0})
    config = config.model_copy(update={"stage": task})
    with ExitStack() as stack:
        aside = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        records, report = read_records(
            config, latest=latest_event_day(), quarantine=aside / "quarantine"
        )
        for reason, rows in report.quarantined.items():
            warn(f"{report.source}: {rows} rows set aside: {reason}")
        if tallied is not None:
            yield feature_store.store(aside / "data", config, tallied(), [], records)
            return
        assert output is not None
        stack.enter_context(exclusive(output, "stages disagree"))
        stored = feature_store.open_archive(output, config)
        builder = stored.builder
        found = stage_records(records, block, builder.taxonomy, builder.history.customers)
        yield replace(stored, builder=replace(builder, recorded=found))


def check_date(archive: Archive, at: int) -> None:
    """Refuse a date outside the data.

    Raises
    ------
    UserError
        With the dates allowed.
    """
    span = archive.builder.span
    if not span.first < at <= span.last_snapshot:
        raise UserError(
            "--at",
            found=day_date(at),
            expected=f"a date from {day_date(span.first + 1)} to {day_date(span.last_snapshot)}",
        )


def print_disagreement(found: CrmDisagreement, most: int) -> None:
    """The surest disagreements, and what the unstaged seem to be."""
    listed = found.disagree.head(most)
    rows = [
        (
            escape(row.customer_id),
            f"{row.recorded_at:%Y-%m-%d}",
            escape(row.recorded_as),
            row.predicted_stage,
            row.p_recorded,
            row.p_predicted,
        )
        for row in listed.itertuples()
    ]
    names = ["customer", "since", "recorded", "predicted", "P(recorded)", "P(predicted)"]
    share = len(found.disagree) / max(found.staged, 1)
    print_table(
        f"{len(found.disagree):,} of {found.staged:,} recorded stages on {found.at} disagree with "
        f"what other customers' records say ({share:.0%}); the first {len(listed)}",
        names,
        rows,
    )
    counts = found.unstaged["predicted_stage"].value_counts()
    if len(counts):
        said = [(str(stage), int(n)) for stage, n in counts.items()]
        print_table(
            f"{len(found.unstaged):,} unstaged customers seem to be", ["stage", "customers"], said
        )
    if found.strangers:
        console.print(f"{found.strangers:,} customers of the stage history have no events")


def content(found: CrmDisagreement) -> dict[str, Any]:
    """Counts, and both lists as records."""
    return {
        "at": found.at,
        "staged": found.staged,
        "without_events": found.strangers,
        "disagree": _records(found.disagree),
        "unstaged": _records(found.unstaged),
    }


def write_csv(found: CrmDisagreement, file: Path) -> None:
    """Both lists in one table, by `status`: disagrees (surest first), then unstaged."""
    rows = [{"status": "disagrees", **row} for row in _records(found.disagree)]
    rows += [{"status": "unstaged", **row} for row in _records(found.unstaged)]
    csv_files.write_csv(file, pd.DataFrame(rows, columns=COLUMNS), decimals=6)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    told = frame.copy()
    if "recorded_at" in told:
        told["recorded_at"] = [f"{day:%Y-%m-%d}" for day in told["recorded_at"]]
    rows: list[dict[str, Any]] = told.to_dict("records")
    return rows
