"""Retention: remove runs and exports that are too old."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path

from features.config.retention import Retention
from features.storage import runs as records
from features.storage.atomic_write import remove_path
from features.storage.output_lock import exclusive
from features.storage.runs import PublishedRun, run_folder
from features.storage.scores_store import store_of

# Files for other tools and people; a run's scores and audience stay as history.
_HANDED_OUT = ("audiences", "exports", "export_rows", "report", "report.html", "summary.md")


def _expired_runs(
    runs: Sequence[PublishedRun], days: int | None, current: dt.date
) -> list[PublishedRun]:
    """Return runs more than `days` older than a date, except the current run."""
    if days is None:
        return []
    first_kept_day = current - dt.timedelta(days=days)
    return [run for run in runs if run.snapshot_at < first_kept_day and not run.is_current]


def apply_retention(output: Path, retention: Retention) -> dict[str, int]:
    """Remove expired runs and exports; return the number of runs that lost exports or all.

    A run leaves the store before its files are removed, so that no view lacks a file. Folders of
    published runs that are no longer in the store are removed too: an earlier removal was killed,
    or another machine began it.
    """
    output = output.absolute()
    with exclusive(output, "retention"):
        with store_of(output).alone("retention") as store:
            runs = store.runs()
            current = max((run.snapshot_at for run in runs if run.is_current), default=None)
            if current is None:
                return {"exports": 0, "runs": 0}
            removed_runs = _expired_runs(runs, retention.history_days, current)
            if removed_runs:
                store.drop_runs(removed_runs)
        stored_ids = {run.run_id for run in runs}
        expired_markers = _expired_runs(
            records.runs_with_markers(output), retention.history_days, current
        )
        removed_runs += [run for run in expired_markers if run.run_id not in stored_ids]
        for run in removed_runs:
            remove_path(run_folder(output, run.run_id))
        removed_ids = {run.run_id for run in removed_runs}
        trimmed_runs = 0
        for run in _expired_runs(runs, retention.exports_days, current):
            if run.run_id not in removed_ids:
                trimmed_runs += _remove_handed_out(run_folder(output, run.run_id))
    return {"exports": trimmed_runs, "runs": len(removed_runs)}


def _remove_handed_out(folder: Path) -> bool:
    """Remove exports and reports; return True if there were any."""
    handed_out = [path for path in (folder / name for name in _HANDED_OUT) if os.path.lexists(path)]
    for path in handed_out:
        remove_path(path)
    return bool(handed_out)
