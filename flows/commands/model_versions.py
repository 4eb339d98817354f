"""The table of `stagecast models`, without the imports of the tables of other commands."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

from flows.services.console import deliver_result, print_table
from flows.services.workspace import Workspace
from models.registry.version import CHAMPION_SINCE


def print_models(output: Path, json_file: Path | None = None) -> None:
    """Versions of the scorer, as a table or as JSON."""
    rows = []
    for version in Workspace(output).registered_versions():
        made = dt.datetime.fromtimestamp(version.created_at / 1000, dt.UTC)
        rows.append(
            (
                str(version.version),
                ", ".join(version.aliases) or "-",
                version.tags.get(CHAMPION_SINCE, "-"),
                version.tags.get("trained_at", "-"),
                made.isoformat(timespec="seconds"),
                version.tags.get("promoted_because", "-"),
            )
        )
    columns = ["version", "alias", "champion since", "trained at", "registered", "why"]
    content = [dict(zip(columns, row, strict=True)) for row in rows]
    shown = [tuple(map(_readable, row)) for row in rows]
    deliver_result(
        content, json_file, lambda: print_table("stagecast-scorer (times are UTC)", columns, shown)
    )


def _readable(text: str) -> str:
    """A stored moment to the minute; other texts as they are."""
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\S+$", r"\1 \2", text)
