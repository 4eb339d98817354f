"""Record a training in MLflow: parameters, data sets, metrics, descriptions, figures, decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from features.calendar import day_date
from features.config.config import Config
from features.table.feature_store import Archive
from flows.services.code_version import code_commit
from flows.services.workspace import tally_fingerprint
from models.evaluation.evaluate import MetricFigure
from models.evaluation.fit_and_test import Trained
from models.fitting.training_set import TrainingSummary
from models.plots import task_plots
from models.registry.logged_data import LoggedData, data_digest
from models.registry.promotion import recipe_hash
from models.registry.run_records import (
    best_baselines,
    flat_parameters,
    headline_metrics,
    metrics_by_key,
    recipe_name,
    recipe_parameters,
)
from models.registry.tracking import Run

# Sections of the config that say what was trained on, beside those of the tasks.
_SHARED_SETTINGS = ("seed", "timezone", "currency", "activity_days", "snapshots", "stages")
_LEAD_RECIPE = "first_purchase"  # the part of CLV that scores leads


def training_tags(config: Config, kind: str) -> dict[str, str]:
    """Tags of a run: kind, data set, recipe, data and code; the code's also as MLflow's own."""
    commit = code_commit()
    tags = {
        "kind": kind,
        "dataset": config.name,
        "config": recipe_hash(config),
        "data": tally_fingerprint(config)[:16],
        "commit": commit,
        "mlflow.source.name": f"stagecast {kind}",
        "mlflow.source.type": "LOCAL",
    }
    if " " not in commit:  # not "version 0.1.0"
        tags["mlflow.source.git.commit"] = commit.removesuffix("+changes")
    return tags


def training_data(archive: Archive, trained: Trained) -> tuple[LoggedData, LoggedData]:
    """The data that a task learned from in its last fit, and the data that it was tested on."""
    name, learned, test = trained.part.name, trained.learned, trained.result.test
    columns = tuple(str(column) for column in task_plots.part_features(trained.part))
    fingerprint = tally_fingerprint(archive.builder.config)
    first, last = str(learned.first_at.date()), str(learned.validation_at.date())
    gate = str(day_date(test.at))
    data_name = f"{archive.builder.config.name} {name}"
    return (
        LoggedData(
            data_name,
            data_digest(fingerprint, columns, first, last),
            "training",
            columns,
            rows=learned.rows,
            snapshots=learned.snapshots,
            first_at=first,
            last_at=last,
        ),
        LoggedData(
            data_name,
            data_digest(fingerprint, columns, gate, gate),
            "evaluation",
            columns,
            rows=len(test.rows),
            snapshots=1,
            first_at=gate,
            last_at=gate,
        ),
    )


def record_task(
    run: Run,
    archive: Archive,
    trained: Trained,
    figures: Mapping[str, task_plots.DrawnFigure],
    card: str,
) -> dict[str, Any]:
    """Record a task's fit and test in its run; returns the parameters of its recipe.

    Parameters
    ----------
    run
        The task's run, nested under that of the training.
    archive
        The data set.
    trained
        The task, fitted twice.
    figures
        Plots of the test by name; each is logged with the table of its numbers.
    card
        The model card (Markdown), which describes the run.
    """
    learned = trained.learned
    parameters = {
        **recipe_parameters(trained.part, archive.builder.config),
        "horizon_days": archive.builder.horizon(trained.result.test.task),
        "train_rows": learned.rows,
        "train_snapshots": learned.snapshots,
        "gate": str(day_date(trained.result.test.at)),
        "seed": archive.builder.config.seed,
    }
    run.describe(card)
    run.tags(
        {
            "task": trained.part.name,
            "recipe": recipe_name(trained.part),
            "leaks": ", ".join(leak.name for leak in trained.leaks) or "none",
        }
    )
    run.params(parameters)
    run.data(*training_data(archive, trained))
    table = task_plots.figures_table(trained.result.figures)
    run.table(table, "figures")
    run.evaluation_table(table, "figures")
    for name, drawn in figures.items():
        run.figure(drawn.figure, name)
        run.table(drawn.data, name)
    return parameters


def record_metrics(run: Run, archive: Archive, trained: Trained) -> None:
    """Record all metrics of a task's test beside the model that its run has logged."""
    figures, (_, tested_on) = trained.result.figures, training_data(archive, trained)
    tasks = [figure for figure in figures if figure.model != "lead"]
    leads = [figure for figure in figures if figure.model == "lead"]
    run.metrics(metrics_by_key(tasks, recipe_name(trained.part)), data=tested_on)
    run.metrics(metrics_by_key(leads, _LEAD_RECIPE), data=tested_on)


def record_recipes(run: Run, recipes: Mapping[str, Mapping[str, Any]]) -> None:
    """Record the parameters of recipes in a training's run, each behind its task's name."""
    for task, parameters in recipes.items():
        run.params({f"{task}.{name}": value for name, value in parameters.items()})


def record_training(run: Run, archive: Archive, figures: Sequence[MetricFigure]) -> None:
    """Record what all tasks share, and their headline metrics beside the best baselines."""
    config, baselines = archive.builder.config, best_baselines(figures)
    settings = config.model_dump(mode="json", by_alias=True)
    shared = {name: settings[name] for name in _SHARED_SETTINGS if name in settings}
    run.params(
        {
            **flat_parameters(shared),
            "snapshot_at": str(day_date(archive.builder.last_snapshot)),
            **{f"{model}.best_baseline": name for model, name in baselines.items()},
        }
    )
    run.metrics(headline_metrics(figures))
    table = task_plots.figures_table(figures)
    run.table(table, "figures")
    run.evaluation_table(table, "figures")


def version_tags(archive: Archive, learned: TrainingSummary) -> dict[str, str]:
    """Tags of a registered model: recipe, data, snapshots, training date, commit."""
    config = archive.builder.config
    return {
        "config": recipe_hash(config),
        "data": tally_fingerprint(config)[:16],
        "snapshots": f"{learned.first_at.date()} to {learned.validation_at.date()}",
        "trained_at": str(day_date(learned.origin)),
        "commit": code_commit(),
    }
