"""The list of customers whose recorded stage looks wrong: opened, shown and written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from features.aggregates.tallies import Tallies
from features.calendar import day_date
from features.config.config import Config
from features.errors import UserError
from features.lifecycle.crm_stage_history import declared, stage_records
from features.lifecycle.crm_stage_reading import read_records
from features.storage.output_lock import exclusive
from features.table import feature_store
from features.table.feature_store import Archive
from flows.services.console import console, print_table, warn, write_table_file
from flows.services.workspace import latest_event_day

if TYPE_CHECKING:
    from models.serving.crm_disagreement import CrmDisagreement

_COLUMNS = [
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
    history_config = declared(config)
    stage_config = config.stage.model_copy(update={"truth": "history", "late_days": 0})
    config = config.model_copy(update={"stage": stage_config})
    with ExitStack() as stack:
        quarantine = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        records, report = read_records(
            config, latest=latest_event_day(), quarantine=quarantine / "quarantine"
        )
        for reason, rows in report.quarantined.items():
            warn(f"{report.source}: {rows} rows set aside: {reason}")
        if tallied is not None:
            yield feature_store.store(quarantine / "data", config, tallied(), [], records)
            return
        assert output is not None
        stack.enter_context(exclusive(output, "stages disagree"))
        stored = feature_store.open_archive(output, config)
        builder = stored.builder
        recorded_stages = stage_records(
            records, history_config, builder.taxonomy, builder.history.customers
        )
        yield replace(stored, builder=replace(builder, recorded=recorded_stages))


def check_date(archive: Archive, snapshot_day: int) -> None:
    """Refuse a date outside the data.

    Raises
    ------
    UserError
        With the dates allowed.
    """
    data_span = archive.builder.span
    if not data_span.first < snapshot_day <= data_span.last_snapshot:
        raise UserError(
            "--at",
            found=day_date(snapshot_day),
            expected=f"a date from {day_date(data_span.first + 1)} to "
            f"{day_date(data_span.last_snapshot)}",
        )


def print_disagreement(disagreement: CrmDisagreement, row_limit: int) -> None:
    """The surest disagreements, and what the unstaged seem to be."""
    listed = disagreement.disagree.head(row_limit)
    customer_rows = [
        (
            row.customer_id,
            f"{row.recorded_at:%Y-%m-%d}",
            row.recorded_as,
            row.predicted_stage,
            row.p_recorded,
            row.p_predicted,
        )
        for row in listed.itertuples()
    ]
    headers = ["customer", "since", "recorded", "predicted", "P(recorded)", "P(predicted)"]
    share = len(disagreement.disagree) / max(disagreement.staged, 1)
    print_table(
        f"{len(disagreement.disagree):,} of {disagreement.staged:,} recorded stages on "
        f"{disagreement.at} disagree with what other customers' records say ({share:.0%}); "
        f"the first {len(listed)}",
        headers,
        customer_rows,
    )
    counts = disagreement.unstaged["predicted_stage"].value_counts()
    if len(counts):
        stage_counts = [(str(stage), int(n)) for stage, n in counts.items()]
        print_table(
            f"{len(disagreement.unstaged):,} unstaged customers seem to be",
            ["stage", "customers"],
            stage_counts,
        )
    if disagreement.strangers:
        console.print(f"{disagreement.strangers:,} customers of the stage history have no events")


def disagreement_content(disagreement: CrmDisagreement) -> dict[str, Any]:
    """Counts, and both lists as records."""
    return {
        "at": disagreement.at,
        "staged": disagreement.staged,
        "without_events": disagreement.strangers,
        "disagree": _records(disagreement.disagree),
        "unstaged": _records(disagreement.unstaged),
    }


def write_disagreement_csv(disagreement: CrmDisagreement, file: Path) -> None:
    """Both lists in one table, by `status`: disagrees (surest first), then unstaged."""
    csv_rows = [{"status": "disagrees", **row} for row in _records(disagreement.disagree)]
    csv_rows += [{"status": "unstaged", **row} for row in _records(disagreement.unstaged)]
    write_table_file(pd.DataFrame(csv_rows, columns=_COLUMNS), file, "--csv", decimals=6)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    printable = frame.copy()
    if "recorded_at" in printable:
        printable["recorded_at"] = [f"{day:%Y-%m-%d}" for day in printable["recorded_at"]]
    rows: list[dict[str, Any]] = printable.to_dict("records")
    return rows
