"""Target flow: audiences with hold-outs from the current scores; publication of a run."""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from campaigns.audience_files import audience_table, write_audiences
from campaigns.export_index import RowKeys
from campaigns.plan_table import OFFERS_FILE
from campaigns.target_exports import EXPORTS_FOLDER, write_exports
from features.errors import UserError
from features.sources.freshness import refuse_old_tables
from features.storage import scores_store
from features.storage.csv_files import write_csv
from features.storage.fault_injection import boundary
from features.storage.output_lock import exclusive
from features.storage.runs import RunRecord, run_folder, write_parquet
from features.table.customer_partitions import too_large
from flows.report.summary import write_summary
from flows.services.campaign_plan import PlannedRun, plan_run, read_run_meta
from flows.services.console import step, warn
from flows.services.prefect_summaries import show_published
from flows.services.reasons import add_reasons
from flows.services.steps import flow, task
from flows.services.webhooks import notify
from flows.services.workspace import Workspace, keep_config, new_run_id


def write_plan(space: Workspace, run_id: str, planned: PlannedRun) -> dict[str, Any]:
    """Write the audience files and exports of a run's plan.

    Raises
    ------
    UserError
        Where contact keys would be exported by tables older than ``max_age`` allows.
    """
    folder = run_folder(space.output, run_id)
    plan, run = planned.plan, planned.run
    if planned.targets and not plan.plan_only:
        moment = run.written_at or dt.datetime.now(dt.UTC)
        refuse_old_tables(space.config(), moment, events_through=plan.snapshot_at.date())
    write_audiences(plan, folder / "audiences", run=run)
    boundary("audience files written")
    write_parquet(folder / "audience.parquet", audience_table(plan))
    boundary("audience table written")
    write_csv(folder / "audiences" / "exclusions.csv", plan.exclusions)
    write_csv(folder / "audiences" / "plan.csv", plan.table)
    if len(plan.offers):
        write_csv(folder / "audiences" / OFFERS_FILE, plan.offers)
    if planned.targets:
        delivery = replace(planned.delivery, row_keys=row_keys(space.output))
        write_exports(plan, planned.targets, folder / EXPORTS_FOLDER, run=run, delivery=delivery)
        step(f"exports for {', '.join(target.target for target in planned.targets)}")
    boundary("exports written")
    waiting = plan.table[plan.table["held"] != ""]
    if len(waiting) and planned.targets:
        reasons = ", ".join(sorted(set(waiting["held"])))
        warn(
            f"{len(waiting)} export(s) wait ({reasons}): look at the plan, then run "
            f"`stagecast target --confirm-entrants --output {space.output}`"
        )
    members = int((plan.table["members"]).sum())
    step(f"{len(plan.table)} campaigns, {members:,} members, {_held_out(plan.table):,} held out")
    return {"campaigns": len(plan.table), "members": len(plan.audience)}


def row_keys(output: Path) -> RowKeys:
    """Secret of the index of exported rows; created by the first export."""
    existing_keys = RowKeys.load(output)
    if existing_keys is None:
        existing_keys = RowKeys(secrets.token_bytes(32))
        existing_keys.save(output)
    return existing_keys


@task(name="plan audiences")
def plan_audiences(
    output: str, run_id: str, confirm: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Plan every campaign from a run's scores; writes its audience files and exports."""
    space = Workspace(Path(output))
    planned = plan_run(space, run_id, confirm=confirm)
    return write_plan(space, run_id, add_reasons(space, run_id, planned))


def _held_out(table: pd.DataFrame) -> int:
    return int(table["control"].sum())


@task(name="publish")
def publish_run(output: str, run_id: str) -> dict[str, Any]:
    """Write the summary, then publish the run's scores and audiences atomically."""
    space = Workspace(Path(output))
    folder = run_folder(space.output, run_id)
    run_meta = read_run_meta(folder)
    write_summary(space, run_id)
    boundary("summary written")
    record = RunRecord(
        run_id=run_id,
        dataset=run_meta["dataset"],
        snapshot_at=dt.date.fromisoformat(run_meta["snapshot_at"]),
        scorer_version=run_meta["scorer_version"],
        mlflow_run_id=run_meta["mlflow_run_id"],
        started_at=dt.datetime.fromisoformat(run_meta["started_at"]),
        finished_at=dt.datetime.now(dt.UTC),
    )
    published = scores_store.publish_run(
        space.output,
        record,
        scores=sorted((folder / "scores").glob("*.parquet")),
        audience=folder / "audience.parquet",
    )
    keep_config(space.output)
    show_published(space.tracking(), folder, run_meta)
    step(f"published {published.customers:,} scores and {published.members:,} audience members")
    return {"customers": published.customers, "members": published.members}


@task(name="measure")
def measure_run(output: str) -> dict[str, Any]:
    """Measure the published campaigns, and compare past predictions with what came."""
    from flows.services.measure import measure
    from flows.services.prediction_accuracy import update_prediction_accuracy

    space = Workspace(Path(output))
    config = space.config()
    if config.engine == "spark" or too_large(space.output, config):
        return {}
    measured = 0
    if config.campaigns:
        effects, _ = measure(space.output)
        measured = int(effects.loc[effects["by"] == "all", "campaign_id"].nunique())
        step(f"{measured} campaigns measured")
    accuracy = update_prediction_accuracy(space)
    if len(accuracy):
        step(f"predictions of {accuracy['run_id'].nunique()} run(s) compared with what came")
    boundary("results written")
    scores_store.publish_results(space.output)
    return {"measured": measured} if config.campaigns else {}


@task(name="tell other programs")
def tell_programs(output: str) -> dict[str, Any]:
    """Send a message to the webhooks; a failure waits in the outbox and stops nothing."""
    targets = Workspace(Path(output)).config().webhooks
    try:
        messages = notify(Path(output), targets, dt.datetime.now(dt.UTC))
    except UserError as error:
        warn(f"webhooks: {error.where}: {error.found}")
        return {}
    if not messages:
        return {}
    waiting = [message for message in messages if message["problem"]]
    for message in waiting:
        warn(f"webhook {message['target']}: {message['problem']}; `stagecast webhooks` sends again")
    return {"webhooks": len(messages) - len(waiting)}


@task(name="write the report")
def report_run(output: str, run_id: str) -> dict[str, Any]:
    """Write the page of a published run; it compares with earlier published scores."""
    from flows.report.write import write_report

    space = Workspace(Path(output))
    config = space.config()
    if config.engine == "spark" or too_large(space.output, config):
        step("no report of more than memory holds; `stagecast report` writes it where it suffices")
        return {}
    path = write_report(space, run_id)
    step(f"report: {path}")
    return {"report": str(path)}


@task(name="take over the current scores")
def take_over_scores(output: str, run_id: str) -> None:
    """Link the current run's scores into a new run that plans audiences from them."""
    space = Workspace(Path(output))
    current = scores_store.read_current(space.output).run
    source_folder, target_folder = (
        run_folder(space.output, current.run_id),
        run_folder(space.output, run_id),
    )
    (target_folder / "scores").mkdir(parents=True)
    for file in current.score_files:
        os.link(space.output / file, target_folder / "scores" / Path(file).name)
    boundary("scores taken over")
    run_meta = {**read_run_meta(source_folder), "run_id": run_id}
    (target_folder / "run.json").write_text(json.dumps(run_meta, indent=1), encoding="utf-8")
    context = (source_folder / "scoring_context.json").read_text(encoding="utf-8")
    (target_folder / "scoring_context.json").write_text(context, encoding="utf-8")


@flow(name="target")
def target_flow(output: str, run_id: str, confirm: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Plan audiences from a run's scores, publish both atomically, and write the report."""
    with exclusive(Path(output), run_id):
        result = plan_audiences(output, run_id, confirm) | publish_run(output, run_id)
        result |= measure_run(output) | report_run(output, run_id)
        return result | tell_programs(output)


@flow(name="retarget")
def retarget_flow(output: str, confirm: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Plan audiences again from the current scores, and publish both.

    `confirm` names the campaigns whose entrants a person has looked at; `ALL` confirms all.
    """
    run_id = new_run_id("target")
    with exclusive(Path(output), run_id):
        scores_store.clean_unpublished(Path(output), keep=[run_id])
        take_over_scores(output, run_id)
        return target_flow(output, run_id, confirm) | {"run_id": run_id}
