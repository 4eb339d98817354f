"""The report of the made-up shop, opened in a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from features.storage.scores_store import read_current
from flows.report.page import render_page
from flows.report.report_data import ReportData, gather_report_data
from flows.services.workspace import Workspace
from tests.flows.report.opened_page import Opened

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
# The made-up shop is what CI runs; a folder named here is looked at instead.
OUTPUT = os.environ.get("STAGECAST_REPORT_OUTPUT")


@pytest.fixture(scope="module")
def report(request: pytest.FixtureRequest) -> ReportData:
    output = Path(OUTPUT) if OUTPUT else request.getfixturevalue("shop").output
    return gather_report_data(Workspace(output), read_current(output).run.run_id)


@pytest.fixture(scope="module")
def file(report: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_page(report), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    assert program, "no chromium: apt-get install -y chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def opened(browser: Any, file: Path) -> Iterator[Opened]:
    found = Opened(browser, file, viewport={"width": 1360, "height": 900})
    yield found
    assert found.said == []
    found.context.close()


@pytest.fixture(autouse=True)
def everyone(request: pytest.FixtureRequest) -> None:
    """Each test begins without a filter."""
    if "opened" in request.fixturenames:
        request.getfixturevalue("opened").page.click("#filter button[type=reset]")
