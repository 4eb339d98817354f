"""Train flow: fit, test on the gate, refit on all matured data, log and register."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any

from features.calendar import day_date
from features.storage.atomic_write import (
    new_folder_of,
    remove_replacement_leftovers,
    replace_folder,
)
from features.storage.fault_injection import boundary
from features.storage.output_lock import exclusive
from features.table.build_fingerprint import column_names
from features.table.feature_store import Archive
from features.table.prediction_targets import TASK_NAMES, TaskName
from flows.services.code_version import code_commit
from flows.services.console import step, warn
from flows.services.prefect_summaries import show_training
from flows.services.progress_bars import progress
from flows.services.resource_use import ResourceMeter
from flows.services.steps import flow, task
from flows.services.training_record import (
    record_metrics,
    record_recipes,
    record_task,
    record_training,
    training_data,
    training_tags,
    version_tags,
)
from flows.services.tuning import log_tuning
from flows.services.update_aggregates import drop_outdated_snapshots
from flows.services.uplift_history import fit_uplift_part
from flows.services.workspace import TRAINED_FILE, Workspace, tally_fingerprint
from models.evaluation.backtest import require_earned_calibration
from models.evaluation.evaluate import MetricFigure
from models.evaluation.fit_and_test import (
    Refitted,
    Tested,
    Trained,
    fit_and_test,
    refit_on_all,
    trained_task,
)
from models.evaluation.workers import Submit, worker_pool
from models.monitoring import monitor
from models.plots import task_plots
from models.registry import model_cards, registry
from models.registry.promotion import (
    COLUMNS_FILE,
    CONFIG_FILE,
    FITTED_BEFORE,
    columns_hash,
    prediction_definitions,
    recipe_hash,
)
from models.registry.tracking import Tracking
from models.scorer.part import Part
from models.serving.score import scorer_head
from models.tasks.uplift import uplift_summary

SLOWEST_FIRST: tuple[TaskName, ...] = ("clv", "transition", "churn", "stage")


@task(name="train and register the four models")
def train_models(output: str, parent_run_id: str) -> list[dict[str, Any]]:
    """Fit the tasks in parallel; log and register each one."""
    archive = Workspace(Path(output)).archive()
    builder = archive.builder
    results = {}
    with (
        worker_pool(archive, min(builder.config.threads, len(TASK_NAMES))) as submit,
        progress("fits", 2 * len(TASK_NAMES)) as advance,
    ):
        for name, trained in _fits(archive, submit, advance):
            results[name] = _registered(output, archive, name, trained, parent_run_id)
    return [results[name] for name in SLOWEST_FIRST]


def _fits(
    archive: Archive, submit: Submit, advance: Callable[[], None]
) -> Iterator[tuple[TaskName, Trained]]:
    """Both fits of every task, each task when both are done; `advance` is called for each fit.

    The fits run side by side in the workers. Only a tuned task is refitted after its test, which
    finds its settings.
    """
    builder, is_tuned = archive.builder, archive.builder.config.tune is not None
    tests: dict[Future[Any], TaskName] = {}
    refits: dict[Future[Any], TaskName] = {}
    for name in SLOWEST_FIRST:
        gate_date, last_date = day_date(builder.gate(name)), day_date(builder.last_snapshot)
        step(f"{name}: training, testing at {gate_date}, refitting at {last_date}")
        tests[submit(fit_and_test, name)] = name
    if not is_tuned:
        refits = {submit(refit_on_all, name): name for name in SLOWEST_FIRST}
    tested: dict[TaskName, Tested] = {}
    refitted: dict[TaskName, Refitted] = {}
    waiting = {*tests, *refits}
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            advance()
            if future in refits:
                name = refits[future]
                refitted[name] = future.result()
            else:
                name = tests[future]
                tested[name] = future.result()
                if is_tuned:
                    tuned = tested[name].tuned
                    settings = tuned.settings if tuned else {}
                    refit = submit(refit_on_all, name, settings)
                    refits[refit] = name
                    waiting.add(refit)
            if name in tested and name in refitted:
                yield name, trained_task(tested.pop(name), refitted.pop(name))


def _registered(
    output: str, archive: Archive, name: TaskName, trained: Trained, parent_run_id: str
) -> dict[str, Any]:
    """Store a task's parts and plots, log its metrics, and register its model."""
    space = Workspace(Path(output))
    tracking, folder = space.tracking(), space.output / "training.new"
    trained.gated.save(folder / "gated" / name)
    trained.part.save(folder / "parts" / name)
    last_day = archive.builder.last_snapshot
    parent, config = tracking.existing(parent_run_id), archive.builder.config
    card = model_cards.part_card(archive, trained.result, trained.learned, trained.part)
    with tracking.run(name, parent=parent, tags=training_tags(config, "train")) as run:
        task_figures = task_plots.task_figures(trained.result, archive.builder.taxonomy.names)
        parameters = record_task(run, archive, trained, task_figures, card)
        for suspect in trained.leaks:
            warn(str(suspect))
        alarms = [f"{name}: {alarm}" for alarm in model_cards.part_alarms(trained.part)]
        for alarm in alarms:
            warn(alarm)
        log_tuning(tracking, run, name, trained)
        scorer_header = scorer_head(archive, {name: trained.part}, last_day, versions={})
        version = registry.log_version(
            run,
            f"stagecast-{name}",
            {name: trained.part},
            head=scorer_header,
            description=card,
            tags=version_tags(archive, trained.learned),
            summary=model_cards.model_summary(name),
        )
        record_metrics(run, archive, trained)
    record_recipes(parent, {name: parameters})
    parent.data(*training_data(archive, trained))
    boundary("model registered")
    task_plots.save_figures(task_figures, folder)
    figures = [figure.as_dict() for figure in trained.result.figures]
    leaks = [asdict(suspect) for suspect in trained.leaks]
    return {
        "task": name,
        "version": version.version,
        "figures": figures,
        "leaks": leaks,
        "alarms": alarms,
        "baselines": [asdict(each) for each in trained.baselines],
        "reason": trained.part.parameters.get("report", {}).get("why", ""),
    }


@task(name="learn from randomised history")
def train_uplift(output: str, parent_run_id: str) -> dict[str, Any] | None:
    """Fit, log and register the uplift part; None without enough randomised history."""
    space = Workspace(Path(output))
    uplift_part = fit_uplift_part(space, threads=space.config().threads)
    if uplift_part is None:
        return None
    archive, tracking = space.archive(), space.tracking()
    last_day = archive.builder.last_snapshot
    uplift_part.save(space.output / "training.new" / "parts" / uplift_part.name)
    effects_table = uplift_summary(uplift_part)
    parent, config = tracking.existing(parent_run_id), space.config()
    tags, card = training_tags(config, "train"), model_cards.uplift_card(archive, effects_table)
    with tracking.run(uplift_part.name, parent=parent, tags=tags) as run:
        run.describe(card)
        run.params({"models": len(effects_table), "people": int(effects_table["people"].sum())})
        run.metrics(
            {f"uplift/{row.model}/qini": float(row.qini) for row in effects_table.itertuples()}
        )
        run.table(effects_table, "uplift")
        version = registry.log_version(
            run,
            "stagecast-uplift",
            {uplift_part.name: uplift_part},
            head=scorer_head(archive, {uplift_part.name: uplift_part}, last_day, versions={}),
            description=card,
            tags={
                "data": tally_fingerprint(config)[:16],
                "trained_at": str(day_date(last_day)),
                "commit": code_commit(),
            },
            summary=model_cards.model_summary(uplift_part.name),
        )
    for row in effects_table.itertuples():
        ranking = "not told from zero"
        if row.known:
            ranking = "tells people apart" if row.ranks else "gives everyone the mean effect"
        step(f"uplift of {row.model}: {row.people:,} people, {ranking}")
    return {"version": version.version}


def _of_parts(tracking: Tracking, versions: Mapping[str, int]) -> str:
    """First and last snapshot in the training data of any part."""
    part_rows = [
        row.tags["snapshots"].split(" to ")
        for name, number in versions.items()
        for row in registry.versions(tracking, f"stagecast-{name}")
        if row.version == number and "snapshots" in row.tags
    ]
    return f"{min(first for first, _ in part_rows)} to {max(last for _, last in part_rows)}"


@task(name="register scorer")
def register_scorer(
    output: str, parent_run_id: str, versions: dict[str, int], figures: list[dict[str, Any]]
) -> dict[str, Any]:
    """Log and register the scorer with all parts; it is not champion yet."""
    space = Workspace(Path(output))
    archive, tracking = space.archive(), space.tracking()
    last_day = archive.builder.last_snapshot
    folder = space.output / "training.new"
    loaded_parts: dict[str, Part] = {name: Part.load(folder / "parts" / name) for name in versions}
    scorer_header = scorer_head(archive, loaded_parts, last_day, versions=versions)
    run = tracking.existing(parent_run_id)
    config = archive.builder.config
    snapshots = _of_parts(tracking, versions)
    tags = {
        "config": recipe_hash(config),
        "columns": columns_hash(config),
        "data": tally_fingerprint(config)[:16],
        "snapshots": snapshots,
        "trained_at": str(day_date(last_day)),
        "commit": code_commit(),
        FITTED_BEFORE: json.dumps(
            {name: str(day_date(archive.builder.gates(name)[0])) for name in TASK_NAMES}
        ),
        "definitions": json.dumps(
            prediction_definitions(loaded_parts, archive.builder.taxonomy.names)
        ),
        **{f"part.{name}": version for name, version in versions.items()},
    }
    card = model_cards.scorer_card(archive, scorer_header, figures, snapshots)
    version = registry.log_version(
        run,
        registry.SCORER,
        loaded_parts,
        head=scorer_header,
        description=card,
        tags=tags,
        summary=model_cards.model_summary(registry.SCORER),
    )
    run.describe(card)
    record_training(run, archive, [MetricFigure(**figure) for figure in figures])
    run.folder(folder / "gated", "gated")
    run.mapping(json.loads(config.model_dump_json(by_alias=True)), CONFIG_FILE)
    run.mapping({"columns": column_names(config)}, COLUMNS_FILE)
    reference = monitor.training_reference(archive, loaded_parts, scorer_header, figures)
    run.mapping(reference.as_dict(), monitor.REFERENCE_PATH)
    return {"version": version.version, "run_id": version.run_id}


@flow(name="train")
def train_flow(output: str) -> dict[str, Any]:
    """Train all four models, test them on later snapshots, log and register them."""
    space = Workspace(Path(output))
    with exclusive(space.output, "train"):
        # What a killed run has finished and not renamed counts; the rest is begun anew.
        training_folder = remove_replacement_leftovers(space.training, whole=TRAINED_FILE)
        config = space.config()
        require_earned_calibration(space.output, config.churn.calibration)
        drop_outdated_snapshots(space, config)
        tracking, meter = space.tracking(), ResourceMeter()
        run_name = f"train {config.name} {day_date(space.archive().builder.last_snapshot)}"
        with tracking.run(run_name, tags=training_tags(config, "train")) as run:
            results = train_models(output, run.run_id)
            versions = {result["task"]: result["version"] for result in results}
            if (uplift := train_uplift(output, run.run_id)) is not None:
                versions["uplift"] = uplift["version"]
            figures = [figure for result in results for figure in result["figures"]]
            scorer = register_scorer(output, run.run_id, versions, figures)
            run.metrics(meter.metrics())
        leaks = [suspect for result in results for suspect in result["leaks"]]
        training_record = {
            "scorer": scorer,
            "parts": versions,
            "figures": figures,
            "leaks": leaks,
            "alarms": [alarm for result in results for alarm in result["alarms"]],
            "baselines": [row for result in results for row in result["baselines"]],
            "reasons": {result["task"]: result["reason"] for result in results},
        }
        new_folder = new_folder_of(training_folder)
        boundary("scorer registered")
        (new_folder / TRAINED_FILE).write_text(
            json.dumps(training_record, indent=1), encoding="utf-8"
        )
        replace_folder(training_folder, whole=TRAINED_FILE)
        show_training(tracking, scorer, figures)
    step(f"registered stagecast-scorer version {scorer['version']}")
    return {"scorer": scorer, "parts": versions}
