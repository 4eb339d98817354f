"""Back-test flow: rolling origins, every model and baseline, figures as records, plots, MLflow."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Plot

from features.calendar import day_date, day_number
from features.storage.output_lock import exclusive
from features.table.prediction_targets import TASK_NAMES
from flows.features import describe_tallies, tally_sources
from flows.services.console import step, warn
from flows.services.oracle_bounds import oracle_figures, oracle_page
from flows.services.prefect_summaries import show_figures
from flows.services.progress_bars import progress
from flows.services.steps import flow, task
from flows.services.training_record import training_tags
from flows.services.update_aggregates import drop_outdated_snapshots
from flows.services.workspace import Workspace, tally_fingerprint
from models.evaluation import backtest, origin_page
from models.evaluation.backtest import BacktestResult
from models.evaluation.evaluate import MetricFigure
from models.evaluation.means_over_origins import origin_means
from models.evaluation.warnings import backtest_warnings
from models.metrics.shown_metrics import SHOWN_METRICS
from models.plots import origin_plots
from models.plots.task_plots import DrawnFigure, figures_table, save_figures
from models.registry.run_records import metric_key
from models.registry.tracking import Run


@task(name="tally if needed")
def tally_if_needed(output: str) -> None:
    """Read the sources unless the stored tallies come from the same files and settings."""
    space = Workspace(Path(output))
    fingerprint_file = space.output / "features" / "fingerprint"
    if fingerprint_file.is_file() and fingerprint_file.read_text(
        encoding="utf-8"
    ) == tally_fingerprint(space.config()):
        step("using the stored tallies: sources and settings are unchanged")
        drop_outdated_snapshots(space, space.config())
        return
    tally_sources(output)


@task(name="train and test at every origin")
def run_origins(output: str, origins: list[str], models: list[str]) -> dict[str, Any]:
    """Train and test the models at every origin; writes ``backtest.json`` and ``backtest/``."""
    space = Workspace(Path(output))
    archive = space.archive()
    describe_tallies(archive)
    origin_days = [day_number(dt.date.fromisoformat(origin)) for origin in origins]
    task_names = [name for name in TASK_NAMES if name in models]
    fit_count = len(origin_days) * len(task_names)
    with progress(f"{len(origin_days)} origins x {len(task_names)} models", fit_count) as advance:
        backtested = backtest.run_backtest(
            archive, origin_days, tasks=task_names, done=lambda *_: advance(), bounds=oracle_figures
        )
    records = [figure.as_dict() for figure in backtested.figures]
    origin_concerns = backtest_warnings(records)
    skipped = [f"{each.task} at {each.origin}: {each.reason}" for each in backtested.skipped]
    for sentence in skipped:
        warn(f"left out: {sentence}")
    for sentence in origin_concerns:
        warn(sentence)
    folder = space.output / backtest.BACKTEST_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    backtest_file = backtest.write_backtest(backtested, space.output)
    show_figures("backtest", records)
    save_figures(origin_figures(records), folder)
    page_text = origin_page.backtest_page(
        archive.builder.config.name,
        origin_means(backtested.figures),
        warnings=origin_concerns,
        skipped=skipped,
        calibration=backtested.calibration,
    )
    (folder / "summary.md").write_text(page_text, encoding="utf-8")
    step(f"means with intervals, groups, warnings: {folder / 'summary.md'}")
    if archive.builder.config.truth is not None:
        oracle_file = space.output / "oracle.md"
        oracle_file.write_text(oracle_page(records), encoding="utf-8")
        step(f"beside the truth of the simulation: {oracle_file}")
    log_origins(space, backtested, origin_concerns)
    return {
        "path": str(backtest_file),
        "figures": len(backtested.figures),
        "skipped": len(backtested.skipped),
    }


def origin_figures(records: Sequence[dict[str, Any]]) -> dict[str, DrawnFigure]:
    """Plots over origins by name, with their data."""
    figures = {}
    tested_models = {str(record["model"]) for record in records}
    for model, shown in SHOWN_METRICS.items():
        if model in tested_models:
            shown_metrics = [
                name for name in shown.backtest if name not in ("mae", "spearman", "width_ratio")
            ]
            figure: Plot = origin_plots.plot_over_origins(records, model, shown_metrics)
            drift_data = origin_plots.over_origins_data(records, model, shown_metrics)
            figures[f"{model}_over_origins"] = DrawnFigure(figure, drift_data)
    drift_models = [model for model in ("churn", "transition", "clv") if model in tested_models]
    if drift_models:
        drift_data = origin_plots.base_rate_table(records, drift_models)
        figures["base_rates"] = DrawnFigure(
            origin_plots.plot_base_rates(records, drift_models), drift_data
        )
    return figures


def log_origins(
    space: Workspace, backtested: BacktestResult, origin_concerns: Sequence[str]
) -> None:
    """Log a parent run with means, plots and records, and one nested run per origin."""
    config, tracking = space.config(), space.tracking()
    origins = sorted({figure.snapshot_at for figure in backtested.figures})
    tags = training_tags(config, "backtest")
    with tracking.run(f"back-test {config.name} {max(origins, default='')}", tags=tags) as parent:
        parent.describe((space.output / backtest.BACKTEST_FOLDER / "summary.md").read_text("utf-8"))
        parent.params(
            {
                "origins": ", ".join(origins),
                "models": ", ".join(sorted({figure.model for figure in backtested.figures})),
                "seed": config.seed,
            }
        )
        parent.metrics(
            {
                f"mean/{metric_key(one)}": one.value
                for one in origin_means(backtested.figures)
                if one.subset == "all" or one.method == "champion"
            }
        )
        for number, origin in enumerate(origins):
            origin_metrics = [
                figure for figure in backtested.figures if figure.snapshot_at == origin
            ]
            parent.metrics(_lines(origin_metrics), step=number)
            origin_tags = {**tags, "origin": origin}
            with tracking.run(origin, parent=parent, tags=origin_tags) as origin_run:
                _log_origin(origin_run, origin_metrics)
        parent.table(figures_table(backtested.figures), "figures")
        parent.text("\n".join(origin_concerns) or "none", "warnings.txt")
        parent.folder(space.output / backtest.BACKTEST_FOLDER, "backtest")


def _log_origin(run: Run, figures: Sequence[MetricFigure]) -> None:
    """Log every metric of one origin; for the served recipe also its interval."""
    values = {}
    for figure in figures:
        if figure.value is None or (figure.subset != "all" and figure.method != "champion"):
            continue
        metric_name = metric_key(figure)
        values[metric_name] = figure.value
        if figure.low is not None and figure.high is not None and figure.method == "champion":
            values |= {f"{metric_name}.low": figure.low, f"{metric_name}.high": figure.high}
    run.params({"horizon_days": {figure.model: figure.horizon_days for figure in figures}})
    run.metrics(values)
    run.table(figures_table(figures), "figures")


def _lines(figures: Sequence[MetricFigure]) -> dict[str, float]:
    """Log the served recipe's metrics on all customers, by origin, in the parent run."""
    return {
        metric_key(one): one.value
        for one in figures
        if one.value is not None and one.subset == "all" and one.method == "champion"
    }


def rolling_origins(output: str, count: int, *, every_days: int = 30) -> list[str]:
    """ISO dates of the latest origins with matured labels of every task, oldest first."""
    builder = (archive := Workspace(Path(output)).archive()).builder
    last_gate = min(builder.gate(task) for task in TASK_NAMES)
    origin_days = [last_gate - every_days * number for number in range(count)]
    usable = [
        day
        for day in origin_days
        if any(backtest.reason_untestable(archive, t, day) is None for t in TASK_NAMES)
    ]
    return [str(day_date(day)) for day in sorted(usable)]


@flow(name="backtest")
def backtest_flow(output: str, origins: list[str], models: list[str]) -> dict[str, Any]:
    """Measure every model and baseline at rolling origins."""
    with exclusive(Path(output), "backtest"):
        tally_if_needed(output)
        return run_origins(output, origins, models)
