"""Back-test flow: rolling origins, every model and baseline, figures as records."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from prefect import flow, task

from features.build import TASKS
from features.locks import exclusive
from features.timeline import day_number
from flows.console import progress, step, warn
from flows.features import read_and_tally
from flows.workspace import Workspace, fingerprint
from models import backtest as backtests
from models.concerns import concerns
from models.oracle import oracle_page


@task(name="tally if needed")
def tally_if_needed(output: str) -> None:
    """Read the sources unless the stored tallies were made from the same files and settings."""
    space = Workspace(Path(output))
    mark = space.output / "features" / "fingerprint"
    if mark.is_file() and mark.read_text(encoding="utf-8") == fingerprint(space.config()):
        step("using the stored tallies: sources and settings are unchanged")
        return
    read_and_tally.fn(output)


@task(name="train and test at every origin")
def run_origins(output: str, origins: list[str], models: list[str]) -> dict[str, Any]:
    """Train and test every task at every origin; writes ``backtest.json``."""
    space = Workspace(Path(output))
    archive = space.archive()
    days = [day_number(dt.date.fromisoformat(origin)) for origin in origins]
    tasks = [name for name in TASKS if name in models]
    units = len(days) * len(tasks)
    with progress(f"{len(days)} origins x {len(tasks)} models", units) as advance:
        figures, skipped = backtests.backtest(archive, days, tasks=tasks, done=lambda *_: advance())
    for each in skipped:
        warn(f"{each.task} at {each.origin} left out: {each.reason}")
    for sentence in concerns(figure.as_dict() for figure in figures):
        warn(sentence)
    path = backtests.write(figures, space.output)
    if archive.builder.config.truth is not None:
        page = space.output / "oracle.md"
        page.write_text(oracle_page(figure.as_dict() for figure in figures), encoding="utf-8")
        step(f"beside the truth of the simulation: {page}")
    return {"path": str(path), "figures": len(figures), "skipped": len(skipped)}


@flow(name="backtest")
def backtest_flow(output: str, origins: list[str], models: list[str]) -> dict[str, Any]:
    """Measure every model and baseline at rolling origins."""
    with exclusive(Path(output), "backtest"):
        tally_if_needed(output)
        return run_origins(output, origins, models)
