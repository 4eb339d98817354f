"""How long runs are kept: what is too old at a date, and its removal."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path

from features.config.retention import Retention
from features.storage import runs as records
from features.storage.atomic_write import remove
from features.storage.output_lock import exclusive
from features.storage.runs import PublishedRun, run_folder
from features.storage.scores_store import store_of

# What other tools were given, and pages for people; a run's scores and audience are its history.
HANDED_OUT = ("audiences", "exports", "export_rows", "report", "report.html", "summary.md")


def outlived(
    runs: Sequence[PublishedRun], days: int | None, current: dt.date
) -> list[PublishedRun]:
    """Runs older than so many days before a date; the current one never is."""
    if days is None:
        return []
    first = current - dt.timedelta(days=days)
    return [run for run in runs if run.snapshot_at < first and not run.is_current]


def apply_retention(output: Path, retention: Retention) -> dict[str, int]:
    """Remove what has outlived its time; how many runs lost their exports, and how many all.

    A run leaves the store before its files go, so that no reader meets a view without its file.
    Folders of published runs that the store knows no more go with them: a removal was killed there,
    or another machine began it.
    """
    output = output.absolute()
    with exclusive(output, "retention"):
        with store_of(output).alone("retention") as store:
            runs = store.runs()
            current = max((run.snapshot_at for run in runs if run.is_current), default=None)
            if current is None:
                return {"exports": 0, "runs": 0}
            gone = outlived(runs, retention.history_days, current)
            if gone:
                store.drop_runs(gone)
        known = {run.run_id for run in runs}
        marked = outlived(records.marked(output), retention.history_days, current)
        gone += [run for run in marked if run.run_id not in known]
        for run in gone:
            remove(run_folder(output, run.run_id))
        dropped = {run.run_id for run in gone}
        lighter = 0
        for run in outlived(runs, retention.exports_days, current):
            if run.run_id not in dropped:
                lighter += _without_handed_out(run_folder(output, run.run_id))
    return {"exports": lighter, "runs": len(gone)}


def _without_handed_out(folder: Path) -> bool:
    """Remove what was handed out; whether there was anything."""
    there = [place for place in (folder / name for name in HANDED_OUT) if os.path.lexists(place)]
    for place in there:
        remove(place)
    return bool(there)
