"""Writing the report of a run into its folder."""

from __future__ import annotations

import os
from pathlib import Path

from features.storage.runs import run_folder
from flows.services.workspace import Workspace

REPORT_FILE = "report.html"


def write_report(space: Workspace, run_id: str) -> Path:
    """Write ``report.html`` of a run, whole or not at all; it never goes to MLflow."""
    from flows.report.page import page
    from flows.report.report_data import gather

    path = run_folder(space.output, run_id) / REPORT_FILE
    text = page(gather(space, run_id))
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)
    return path
