"""A page in a real browser without a network."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.report.report_data import ReportData

MINUTE = 60_000


class Opened:
    """A page that was opened without a network, and all that it complained of."""

    def __init__(self, browser: Any, file: Path, **context: Any) -> None:
        """Open it and wait until all charts are drawn."""
        self.context = browser.new_context(offline=True, **context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(2 * MINUTE)
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-ready]")

    def rows(self, table: str) -> list[list[str]]:
        """Cells of a table."""
        found: list[list[str]] = self.page.evaluate(
            "t => [...document.querySelectorAll(`#${t} tbody tr`)]"
            ".map(r => [...r.children].map(c => c.textContent))", table,
        )  # fmt: skip
        return found


def changed_customers(report: ReportData, change: Callable[[dict[str, Any]], object]) -> Any:
    """The searchable customers after a change of what the page knows of them."""
    content = json.loads(gzip.decompress(base64.b64decode(report.searchable.packed)))
    change(content)
    text = base64.b64encode(gzip.compress(json.dumps(content).encode(), mtime=0)).decode()
    return dataclasses.replace(report.searchable, packed=text)
