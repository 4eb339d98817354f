"""Monitor: today's features, scores, events and matured predictions against the training."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, task

from features.aggregates.daily_volumes import daily_buyers, daily_counts
from features.calendar import day_date, day_number
from features.errors import UserError
from features.history.history import customers_by_day
from features.storage import scores_store
from features.storage.fault_injection import boundary
from features.storage.output_lock import exclusive
from features.storage.runs import PublishedRun
from features.table.feature_store import FOLDER, TALLIES, Archive
from features.table.snapshot_builder import TASKS
from flows.services import alarm_event, alerts
from flows.services.console import step, warn
from flows.services.workspace import Workspace
from models.monitoring import monitor, performance
from models.monitoring.alarms import Alarm, followed, marked_told, to_tell
from models.monitoring.findings import Finding
from models.monitoring.volume import HISTORY_DAYS
from models.registry import registry

if TYPE_CHECKING:
    import pandas as pd

    from models.registry.registry import Loaded

PLACE = "monitoring"
ALARMS = "alarms.json"
MATURED = "matured.json"
MOST_RUNS = 31  # past runs measured at once: of more, the rest comes the next time


def monitored(space: Workspace, now: dt.datetime) -> tuple[monitor.Observed, dict[str, Any]]:
    """What there is to see at the last published run, and which run that is."""
    config, archive = space.config(), space.archive()
    current = scores_store.read_current(space.output)
    at = day_number(current.run.snapshot_at)
    builder = archive.builder
    through = min(builder.span.through, at - 1)
    first = max(builder.span.first, through - HISTORY_DAYS)
    tallies = space.output / FOLDER / TALLIES
    types = config.role_types().get("purchase", ("purchase",))
    seen = monitor.Observed(
        at=at,
        through=through,
        inputs=monitor.watched_inputs(archive.features(at)),
        scores=monitor.watched_scores(current.scores),
        counts=_until(daily_counts(tallies, first), through),
        buyers=_until(daily_buyers(tallies, first, types), through),
        customers=customers_by_day(builder.history, first, through),
        base_rates=_base_rates(archive, at),
        matured=_matured(space, archive),
        age_days=(now.astimezone(config.zone).date() - day_date(through)).days,
    )
    about = {"run_id": current.run.run_id, "scorer_version": current.run.scorer_version}
    return seen, about


def _until(counts: pd.DataFrame, through: int) -> pd.DataFrame:
    inside = (counts["day"] <= through) & (counts["known_day"] <= through)
    return counts[inside].reset_index(drop=True)


def _base_rates(archive: Archive, at: int) -> list[performance.BaseRate]:
    """Of each label at the latest snapshot that has matured by `at`."""
    builder, found = archive.builder, []
    for name in TASKS:
        then = at - builder.horizon(name) - builder.config.settle_days
        rate = performance.base_rate(builder, name, then) if then > builder.span.first else None
        found += [] if rate is None else [rate]
    return found


def _matured(space: Workspace, archive: Archive) -> list[performance.Matured]:
    """Figures of past runs: those kept, and those that have matured since."""
    path = space.output / PLACE / MATURED
    kept: dict[str, list[dict[str, Any]]] = {}
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
    runs = [run for run in scores_store.published_runs(space.output) if run.status == "published"]
    open_ = [
        (run, name)
        for run in sorted(runs, key=lambda run: run.snapshot_at, reverse=True)
        for name in performance.tasks_matured(archive.builder, day_number(run.snapshot_at))
        if f"{run.run_id} {name}" not in kept
    ]
    for run, name in open_[: MOST_RUNS * len(TASKS)]:
        figures = _figures_of(space, archive, run, name)
        kept[f"{run.run_id} {name}"] = [figure.as_dict() for figure in figures]
    if open_:
        step(f"matured since the last time: {len(open_)} predictions of past runs")
    _write(path, kept)
    boundary("matured kept")
    there = {run.run_id for run in runs}
    return [
        performance.Matured(**figure)
        for key, figures in sorted(kept.items())
        for figure in figures
        if key.split(" ")[0] in there
    ]


def _figures_of(
    space: Workspace, archive: Archive, run: PublishedRun, name: Any
) -> list[performance.Matured]:
    import pandas as pd

    files = [space.output / file for file in run.score_files]
    scores = pd.concat([pd.read_parquet(f, columns=performance.COLUMNS) for f in files])
    about = {
        "run_id": run.run_id,
        "version": run.scorer_version,
        "snapshot_at": str(run.snapshot_at),
    }
    return performance.performance(
        archive.builder, about, scores, name, day_number(run.snapshot_at)
    )


def stored_reference(space: Workspace, loaded: Loaded) -> monitor.Reference:
    """The reference that was kept with a scorer.

    Raises
    ------
    UserError
        Where an older version of stagecast trained it.
    """
    name = monitor.REFERENCE
    content = space.tracking().stored_json(loaded.version.run_id, name)
    if content is None:
        raise UserError(
            f"stagecast-scorer version {loaded.version.version}",
            found=f"no {name} among the artifacts of its run",
            expected="the reference that `stagecast train` keeps with every scorer",
            hint="run `stagecast train` and `stagecast promote` with this output folder",
        )
    return monitor.Reference.read(content)


@task(name="look at everything")
def look(output: str) -> dict[str, Any]:
    """Compare, write table and page, log figures; nothing is told yet."""
    from flows.report.monitor_page import render_monitor_page, write_monitor_page

    space = Workspace(Path(output))
    config, tracking = space.config(), space.tracking()
    alerts.require_alert_urls(config.monitoring.alert_urls)
    seen, about = monitored(space, dt.datetime.now(dt.UTC))
    reference = stored_reference(space, registry.load(tracking))
    findings = monitor.monitor(seen, reference, config.monitoring)
    folder = space.output / PLACE / str(day_date(seen.at))
    text = monitor.summary(seen.at, findings)
    content = {
        "snapshot_at": str(day_date(seen.at)),
        **about,
        "summary": text,
        "alarms": sum(finding.alarm for finding in findings),
        "findings": [finding.as_dict() for finding in findings],
    }
    write_monitor_page(
        folder / "index.html",
        render_monitor_page(f"{config.name}: monitor", findings, seen, reference),
    )
    boundary("page written")
    _write(folder / "findings.json", content)
    boundary("findings written")
    with tracking.run(f"monitor {content['snapshot_at']}", tags={"kind": "monitor"}) as run:
        run.metrics(monitor.figures_of(findings))
        run.mapping(content, "monitoring/findings.json")
        run.text((folder / "index.html").read_text(encoding="utf-8"), "monitoring/index.html")
    boundary("findings logged")
    step(text)
    return {**content, "page": str(folder / "index.html"), "mlflow_run_id": run.run_id}


@task(name="tell alarms")
def tell(output: str, found: dict[str, Any]) -> list[str]:
    """Tell a person what is new, or has lasted, and Prefect all alarms; gives the lines told."""
    space = Workspace(Path(output))
    dataset, limits = space.config().name, space.config().monitoring
    at = dt.date.fromisoformat(found["snapshot_at"])
    path = space.output / PLACE / ALARMS
    before = []
    if path.is_file():
        before = [Alarm.read(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    findings = [Finding(**row) for row in found["findings"]]
    now = followed(before, findings, at, remind_days=limits.remind_days)
    news = to_tell(now, at, remind_days=limits.remind_days)
    lines = [alarm.text for alarm in news]
    _keep(path, now)
    boundary("alarms kept")
    alarm_event.emit_alarm_event(dataset, output, found, lines)
    if news:
        title = f"stagecast {dataset}: {len(news)} alarm(s) at {at}"
        failed = alerts.send_alert(limits.alert_urls, title=title, text="\n".join(lines))
        if failed:
            warn(f"not told, and tried again the next time: {', '.join(failed)}")
        else:
            boundary("alarms told")
            _keep(path, marked_told(now, news, at))
            boundary("alarms marked as told")
    return lines


def _keep(path: Path, alarms: Sequence[Alarm]) -> None:
    _write(path, [alarm.as_dict() for alarm in alarms])


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(content, indent=1, default=str), encoding="utf-8")
    boundary(f"{path.name}: fresh is whole")
    os.replace(partial, path)


@flow(name="monitor")
def monitor_flow(output: str) -> dict[str, Any]:
    """Look at the last published run and its events; tell what has changed for the worse.

    The result's ``alarms`` says how many things raise an alarm; ``told`` are the new ones.
    """
    with exclusive(Path(output), "monitor"):
        found = look(output)
        return {**found, "told": tell(output, found)}
