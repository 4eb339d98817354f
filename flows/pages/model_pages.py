"""Pages about models: versions with promotion and roll-back, and what the monitor has found."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response

from features.errors import UserError
from flows.pages.site import Site, Visit, add_page, see_other
from models.registry.version import CHAMPION, CHAMPION_SINCE, Version

_MONITORING = "monitoring"


def add_model_pages(app: FastAPI, site: Site) -> None:
    """Add the pages."""
    add_page(app, site, "/models", _models, role="read", method="GET")
    add_page(app, site, "/models/promote", _promote, role="operate", method="POST")
    add_page(app, site, "/models/roll-back", _roll_back, role="operate", method="POST")
    add_page(app, site, "/monitor", _monitor, role="read", method="GET")


def _models(visit: Visit) -> Response:
    versions = visit.site.space.registered_versions()
    return visit.show(
        "models.html.j2", "Models", rows=[_row(version) for version in versions],
        running=visit.site.commands.running, served=visit.site.served.status(),
    )  # fmt: skip


def _row(version: Version) -> dict[str, str]:
    registered = dt.datetime.fromtimestamp(version.created_at / 1000, dt.UTC)
    return {
        "version": str(version.version),
        "aliases": ", ".join(version.aliases),
        "is_champion": "yes" if CHAMPION in version.aliases else "",
        "since": _minute(version.tags.get(CHAMPION_SINCE, "")),
        "trained_at": _minute(version.tags.get("trained_at", "")),
        "registered": _minute(registered.isoformat()),
        "why": version.tags.get("promoted_because", ""),
    }


def _promote(visit: Visit) -> Response:
    """Compare the newest version with the champion, and promote it if it passes the gate."""
    visit.site.commands.start(visit.visitor.name, "promote", "", ["promote"])
    return see_other("/models")


def _roll_back(visit: Visit) -> Response:
    """Make the champion before this one the champion again."""
    visit.site.commands.start(visit.visitor.name, "roll back", "", ["rollback"])
    return see_other("/models")


def _monitor(visit: Visit) -> Response:
    content = latest_findings(visit.site.output)
    findings: list[dict[str, Any]] = content.get("findings", [])
    return visit.show(
        "monitor.html.j2", "Monitor", summary=content.get("summary", ""),
        alarms=[finding for finding in findings if finding["alarm"]],
        quiet=[finding for finding in findings if not finding["alarm"]],
        checks=_checks(findings),
    )  # fmt: skip


def latest_findings(output: Path) -> dict[str, Any]:
    """What the monitor has written for the latest day; empty if it has never run.

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    files = sorted((output / _MONITORING).glob("[0-9]*/findings.json"))
    if not files:
        return {}
    try:
        content: dict[str, Any] = json.loads(files[-1].read_text(encoding="utf-8"))
        return content
    except (OSError, ValueError) as error:
        raise UserError(
            str(files[-1]), found=type(error).__name__, expected="findings of the monitor",
            hint="run `stagecast monitor` with this output folder",
        ) from error  # fmt: skip


def _checks(findings: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    """Kind of check, number of things looked at, and of alarms."""
    kinds = dict.fromkeys(str(finding["check"]) for finding in findings)
    return [
        (kind, sum(f["check"] == kind for f in findings),
         sum(f["check"] == kind and f["alarm"] for f in findings))
        for kind in kinds
    ]  # fmt: skip


def _minute(text: str) -> str:
    """A moment in ISO form to the minute; other texts as they are."""
    try:
        return f"{dt.datetime.fromisoformat(text):%Y-%m-%d %H:%M}" if "T" in text else text
    except ValueError:
        return text
