"""Monitor flow: compare features, scores, events and matured predictions with the training."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.aggregates.daily_volumes import daily_buyers, daily_counts
from features.calendar import day_date, day_number
from features.errors import UserError
from features.history.history import customers_by_day
from features.storage import scores_store
from features.storage.fault_injection import boundary
from features.storage.output_lock import exclusive
from features.storage.runs import PublishedRun
from features.table.feature_store import FOLDER, TALLIES, Archive
from features.table.prediction_targets import TASK_NAMES
from flows.services import alarm_event, alerts
from flows.services.console import step, warn
from flows.services.steps import flow, task
from flows.services.workspace import Workspace
from models.monitoring import monitor, performance
from models.monitoring.alarms import Alarm, due_alarms, mark_notified, update_alarms
from models.monitoring.findings import MonitorFinding
from models.monitoring.volume import HISTORY_DAYS

if TYPE_CHECKING:
    import pandas as pd

    from models.registry.registry import Loaded

_FOLDER = "monitoring"
_ALARMS_FILE = "alarms.json"
_MATURED_FILE = "matured.json"
_MOST_RUNS = 31  # past runs measured at once: of more, the rest comes the next time


def _observe(space: Workspace, now: dt.datetime) -> tuple[monitor.DayObservation, dict[str, Any]]:
    """Collect observations of the last published run, and the run's metadata."""
    config, archive = space.config(), space.archive()
    current = scores_store.read_current(space.output)
    snapshot_day = day_number(current.run.snapshot_at)
    builder = archive.builder
    through = min(builder.span.through, snapshot_day - 1)
    first_day = max(builder.span.first, through - HISTORY_DAYS)
    tallies = space.output / FOLDER / TALLIES
    purchase_types = config.role_types().get("purchase", ("purchase",))
    observed = monitor.DayObservation(
        at=snapshot_day,
        through=through,
        inputs=monitor.watched_inputs(archive.features(snapshot_day)),
        scores=monitor.watched_scores(current.scores),
        counts=_until(daily_counts(tallies, first_day), through),
        buyers=_until(daily_buyers(tallies, first_day, purchase_types), through),
        customers=customers_by_day(builder.history, first_day, through),
        base_rates=_base_rates(archive, snapshot_day),
        matured=_matured(space, archive),
        age_days=(now.astimezone(config.zone).date() - day_date(through)).days,
    )
    run_metadata = {"run_id": current.run.run_id, "scorer_version": current.run.scorer_version}
    return observed, run_metadata


def _until(counts: pd.DataFrame, through: int) -> pd.DataFrame:
    inside = (counts["day"] <= through) & (counts["known_day"] <= through)
    return counts[inside].reset_index(drop=True)


def _base_rates(archive: Archive, snapshot_day: int) -> list[performance.BaseRate]:
    """Base rate of each label at its latest snapshot matured by `snapshot_day`."""
    builder, base_rates = archive.builder, []
    for task_name in TASK_NAMES:
        matured_day = snapshot_day - builder.horizon(task_name) - builder.config.settle_days
        rate = (
            performance.base_rate(builder, task_name, matured_day)
            if matured_day > builder.span.first
            else None
        )
        base_rates += [] if rate is None else [rate]
    return base_rates


def _matured(space: Workspace, archive: Archive) -> list[performance.MaturedFigure]:
    """Metrics of past runs: stored ones, and those that have matured since."""
    matured_file = space.output / _FOLDER / _MATURED_FILE
    figures_by_run: dict[str, list[dict[str, Any]]] = {}
    if matured_file.is_file():
        figures_by_run = json.loads(matured_file.read_text(encoding="utf-8"))
    runs = [run for run in scores_store.published_runs(space.output) if run.status == "published"]
    pending = [
        (run, name)
        for run in sorted(runs, key=lambda run: run.snapshot_at, reverse=True)
        for name in performance.tasks_matured(archive.builder, day_number(run.snapshot_at))
        if f"{run.run_id} {name}" not in figures_by_run
    ]
    for run, name in pending[: _MOST_RUNS * len(TASK_NAMES)]:
        figures = _figures_of(space, archive, run, name)
        figures_by_run[f"{run.run_id} {name}"] = [figure.as_dict() for figure in figures]
    if pending:
        step(f"matured since the last time: {len(pending)} predictions of past runs")
    _write(matured_file, figures_by_run)
    boundary("matured kept")
    published_ids = {run.run_id for run in runs}
    return [
        performance.MaturedFigure(**figure)
        for key, figures in sorted(figures_by_run.items())
        for figure in figures
        if key.split(" ")[0] in published_ids
    ]


def _figures_of(
    space: Workspace, archive: Archive, run: PublishedRun, name: Any
) -> list[performance.MaturedFigure]:
    import pandas as pd

    score_files = [space.output / file for file in run.score_files]
    scores = pd.concat(
        [pd.read_parquet(f, columns=performance.MATURED_COLUMNS) for f in score_files]
    )
    run_metadata = {
        "run_id": run.run_id,
        "version": run.scorer_version,
        "snapshot_at": str(run.snapshot_at),
    }
    return performance.matured_figures(
        archive.builder, run_metadata, scores, name, day_number(run.snapshot_at)
    )


def stored_reference(space: Workspace, loaded: Loaded) -> monitor.Reference:
    """The reference stored with a scorer.

    Raises
    ------
    UserError
        Where an older version of stagecast trained it.
    """
    name = monitor.REFERENCE_PATH
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
def run_monitoring(output: str) -> dict[str, Any]:
    """Compare, write table and page, log metrics; no notification is sent."""
    from flows.report.monitor_page import render_monitor_page, write_monitor_page

    space = Workspace(Path(output))
    config, tracking = space.config(), space.tracking()
    alerts.require_alert_urls(config.monitoring.alert_urls)
    champion = space.champion()
    observed, run_metadata = _observe(space, dt.datetime.now(dt.UTC))
    reference = stored_reference(space, champion)
    findings = monitor.monitor_findings(observed, reference, config.monitoring)
    folder = space.output / _FOLDER / str(day_date(observed.at))
    summary = monitor.summary_line(observed.at, findings)
    content = {
        "snapshot_at": str(day_date(observed.at)),
        **run_metadata,
        "summary": summary,
        "alarms": sum(finding.alarm for finding in findings),
        "findings": [finding.as_dict() for finding in findings],
    }
    write_monitor_page(
        folder / "index.html",
        render_monitor_page(f"{config.name}: monitor", findings, observed, reference),
    )
    boundary("page written")
    _write(folder / "findings.json", content)
    boundary("findings written")
    with tracking.run(f"monitor {content['snapshot_at']}", tags={"kind": "monitor"}) as run:
        run.metrics(monitor.finding_figures(findings))
        run.mapping(content, "monitoring/findings.json")
        run.text((folder / "index.html").read_text(encoding="utf-8"), "monitoring/index.html")
    boundary("findings logged")
    step(summary)
    return {**content, "page": str(folder / "index.html"), "mlflow_run_id": run.run_id}


@task(name="tell alarms")
def notify_alarms(output: str, found: dict[str, Any]) -> list[str]:
    """Notify a person of new or lasting alarms, and Prefect of all; return the lines sent."""
    space = Workspace(Path(output))
    dataset, limits = space.config().name, space.config().monitoring
    snapshot_date = dt.date.fromisoformat(found["snapshot_at"])
    alarms_file = space.output / _FOLDER / _ALARMS_FILE
    earlier_alarms = []
    if alarms_file.is_file():
        earlier_alarms = [
            Alarm.read(row) for row in json.loads(alarms_file.read_text(encoding="utf-8"))
        ]
    findings = [MonitorFinding(**row) for row in found["findings"]]
    current_alarms = update_alarms(
        earlier_alarms, findings, snapshot_date, remind_days=limits.remind_days
    )
    new_alarms = due_alarms(current_alarms, snapshot_date, remind_days=limits.remind_days)
    alarm_lines = [alarm.text for alarm in new_alarms]
    _keep(alarms_file, current_alarms)
    boundary("alarms kept")
    alarm_event.emit_alarm_event(dataset, output, found, alarm_lines)
    if new_alarms:
        title = f"stagecast {dataset}: {len(new_alarms)} alarm(s) at {snapshot_date}"
        failed = alerts.send_alert(limits.alert_urls, title=title, text="\n".join(alarm_lines))
        if failed:
            warn(f"not told, and tried again the next time: {', '.join(failed)}")
        else:
            boundary("alarms told")
            _keep(alarms_file, mark_notified(current_alarms, new_alarms, snapshot_date))
            boundary("alarms marked as told")
    return alarm_lines


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
    """Monitor the last published run and its events; notify of new alarms.

    The result's ``alarms`` says how many things raise an alarm; ``told`` are the new ones.
    """
    with exclusive(Path(output), "monitor"):
        monitor_result = run_monitoring(output)
        return {**monitor_result, "told": notify_alarms(output, monitor_result)}
