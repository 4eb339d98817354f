"""Write the report of a run into its folder."""

from __future__ import annotations

import os
from pathlib import Path

from features.storage.runs import run_folder
from flows.services.workspace import Workspace

REPORT_FILE = "report.html"


def write_report(space: Workspace, run_id: str) -> Path:
    """Write ``report.html`` of a run atomically. It holds personal data: never log it to MLflow."""
    from flows.report.page import render_page
    from flows.report.report_data import gather_report_data

    report_path = run_folder(space.output, run_id) / REPORT_FILE
    document = render_page(gather_report_data(space, run_id))
    partial = report_path.with_name(f"{report_path.name}.tmp")
    partial.write_text(document, encoding="utf-8")
    os.replace(partial, report_path)
    return report_path
