"""Train flow: fit, test on the gate, refit on everything matured, log and register."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from features.archive import Archive
from features.build import TASKS, Task
from features.locks import exclusive
from features.timeline import day_date
from flows.console import step
from flows.workspace import Workspace, fingerprint
from models import cards, registry, report
from models.evaluation import Result, evaluate, test_set
from models.inference import Part
from models.promotion import definitions, recipe_hash
from models.scoring import scorer_head
from models.tracking import Run
from models.training import TrainingSet, fit, training_set

AT_ONCE = 1  # LightGBM keeps its thread count globally: fits side by side in threads can crash
_ONE_AT_A_TIME = threading.Lock()
SLOWEST_FIRST = ("clv", "churn", "transition", "stage")


@task(name="train")
def train_task(output: str, task_name: Task, parent_run_id: str) -> dict[str, Any]:
    """Fit one task before its gate, test it there, refit on all that has matured, register it."""
    space = Workspace(Path(output))
    archive, tracking = space.archive(), space.tracking()
    gate, last = archive.builder.gate(task_name), archive.builder.last_snapshot
    step(f"{task_name}: training, testing at {day_date(gate)}, refitting at {day_date(last)}")
    gated_data = training_set(archive, task_name, gate)
    gated = _fit(archive, gated_data)
    test = test_set(archive, task_name, gate)
    result = evaluate(gated, gated_data, test, archive.builder.horizon(task_name))
    data = training_set(archive, task_name, last)
    part = _fit(archive, data)
    folder = space.output / "training.new"
    gated.save(folder / "gated" / task_name)
    part.save(folder / "parts" / task_name)
    parent = tracking.existing(parent_run_id)
    # MLflow's and matplotlib's global state is for one thread at a time.
    with _ONE_AT_A_TIME, tracking.run(task_name, parent=parent) as run:
        _log(run, archive, result, data, part)
        head = scorer_head(archive, {task_name: part}, last, versions={})
        version = registry.log_version(
            run,
            f"stagecast-{task_name}",
            {task_name: part},
            head=head,
            description=cards.part_card(archive, result, data, part),
            tags=_tags(archive, data),
        )
        report.save_figures(report.task_figures(result, archive.builder.taxonomy.names), folder)
    figures = [figure.as_dict() for figure in result.figures]
    return {"task": task_name, "version": version.version, "figures": figures}


def _fit(archive: Archive, data: TrainingSet) -> Part:
    config = archive.builder.config
    threads = max(1, config.threads // AT_ONCE)
    return fit(data, config, archive.builder.taxonomy.names, threads=threads)


def _tags(archive: Archive, data: TrainingSet) -> dict[str, str]:
    return {
        "config": recipe_hash(archive.builder.config),
        "data": fingerprint(archive.builder.config)[:16],
        "snapshots": f"{data.first_at.date()} to {data.validation_at.date()}",
        "trained_at": str(day_date(data.origin)),
    }


def _log(run: Run, archive: Archive, result: Result, data: TrainingSet, part: Part) -> None:
    """Figures of the recipe and of each baseline beside it, plots, and what was trained on."""
    run.params(
        {
            "horizon_days": archive.builder.horizon(result.test.task),
            "train_rows": len(data.frame),
            "train_snapshots": data.frame["snapshot_at"].nunique(),
            "gate": str(day_date(result.test.at)),
            "seed": archive.builder.config.seed,
            "features": len(report.inputs(part)),
        }
    )
    run.metrics(
        {
            f"{figure.method}.{figure.subset}.{figure.metric}": figure.value
            for figure in result.figures
            if figure.value is not None
        }
    )
    run.table(report.figures_table(result.figures), "figures")
    for name, drawn in report.task_figures(result, archive.builder.taxonomy.names).items():
        run.figure(drawn.figure, name)
        run.table(drawn.data, name)


@task(name="register scorer")
def register_scorer(output: str, parent_run_id: str, versions: dict[str, int]) -> dict[str, Any]:
    """Log and register the scorer that holds all four parts; it is not champion yet."""
    space = Workspace(Path(output))
    archive, tracking = space.archive(), space.tracking()
    last = archive.builder.last_snapshot
    folder = space.output / "training.new"
    parts: dict[str, Part] = {task: Part.load(folder / "parts" / task) for task in TASKS}
    head = scorer_head(archive, parts, last, versions=versions)
    run = tracking.existing(parent_run_id)
    config = archive.builder.config
    tags = {
        "config": recipe_hash(config),
        "data": fingerprint(config)[:16],
        "trained_at": str(day_date(last)),
        "definitions": json.dumps(definitions(parts, archive.builder.taxonomy.names)),
        **{f"part.{name}": version for name, version in versions.items()},
    }
    version = registry.log_version(
        run,
        registry.SCORER,
        parts,
        head=head,
        description=cards.scorer_card(archive, head),
        tags=tags,
    )
    run.folder(folder / "gated", "gated")
    run.mapping(json.loads(config.model_dump_json(by_alias=True)), "config.json")
    return {"version": version.version, "run_id": version.run_id}


_POOL: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=AT_ONCE)


@flow(name="train", task_runner=_POOL)
def train_flow(output: str) -> dict[str, Any]:
    """Train all four models, test them on later snapshots, log and register them."""
    space = Workspace(Path(output))
    with exclusive(space.output, "train"):
        shutil.rmtree(space.output / "training.new", ignore_errors=True)
        config = space.config()
        tracking = space.tracking()
        with tracking.run(f"train {config.name}") as run:
            # The slowest first, so that the others fill the time beside it.
            order: list[Task] = sorted(TASKS, key=SLOWEST_FIRST.index)
            futures = [train_task.submit(output, name, run.run_id) for name in order]
            results = [future.result() for future in futures]
            versions = {result["task"]: result["version"] for result in results}
            scorer = register_scorer(output, run.run_id, versions)
        figures = [figure for result in results for figure in result["figures"]]
        meta = {"scorer": scorer, "parts": versions, "figures": figures}
        fresh = space.output / "training.new"
        (fresh / "training.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
        shutil.rmtree(space.training, ignore_errors=True)
        os.replace(fresh, space.training)
    step(f"registered stagecast-scorer version {scorer['version']}")
    return {"scorer": scorer, "parts": versions}
