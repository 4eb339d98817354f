"""Back-test: train at each origin on labels that had matured by then, test on later outcomes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from features.calendar import day_date
from features.errors import UserError
from features.storage.fault_injection import boundary
from features.table.feature_store import Archive
from features.table.snapshot_builder import TASKS, Task
from features.table.training_snapshots import MIN_HISTORY_DAYS
from models.evaluation.base_rate_drift import base_rate_figures
from models.evaluation.customer_bootstrap import REPEATS
from models.evaluation.evaluate import (
    Draws,
    LabelledTestSet,
    MetricFigure,
    evaluate_part,
    labelled_test_set,
    predict_part,
)
from models.evaluation.leakage import leaking
from models.evaluation.means_over_origins import (
    CalibrationChoice,
    ChurnForecasts,
    calibration_choice,
    origin_means,
)
from models.evaluation.workers import worker_pool
from models.fitting.calibration import NO_CALIBRATION
from models.fitting.training_set import TrainingSet, training_set
from models.tasks.training import fit

BACKTEST_FOLDER = "backtest"  # folder of means, calibration and summary
_DRAWN_ROWS = 10_000_000  # most rows in all draws of one figure together
_LEAST_REPEATS = 50


@dataclass(frozen=True)
class _SkippedTest:
    """A task that could not be tested at an origin, and the reason."""

    task: str
    origin: str
    reason: str


def _check_origins(archive: Archive, origins: Sequence[int]) -> None:
    """Raise UserError if an origin lies outside the data."""
    span = archive.builder.span
    first_allowed = span.first + MIN_HISTORY_DAYS
    if not origins:
        raise UserError(
            "backtest.origins",
            found="no origins",
            expected="dates in the config, or --origins DATE,DATE,...",
        )
    for origin in origins:
        if not first_allowed <= origin <= span.last_snapshot:
            raise UserError(
                "backtest origins",
                found=day_date(origin),
                expected=f"dates from {day_date(first_allowed)} to {day_date(span.last_snapshot)}",
                hint="choose other origins, or import a longer history",
            )


def refuse_leaks(archive: Archive, origins: Sequence[int]) -> None:
    """Raise UserError if features of an origin change when all later data are removed."""
    for origin in origins:
        leaks = leaking(archive.builder, archive.features(origin), origin)
        if leaks:
            raise UserError(
                f"features at {day_date(origin)}",
                found=f"{len(leaks)} columns depend on later data: {', '.join(leaks[:5])}",
                expected="features computed only from data known before the day began",
                hint="correct the feature family that computes them (docs/add-a-family.md) and run "
                "`stagecast features` again; figures computed with a leak are invalid",
            )


def reason_untestable(archive: Archive, task: Task, origin: int) -> str | None:
    """Reason why a task cannot be tested at an origin; None if it can be."""
    builder = archive.builder
    matured_at = origin + builder.horizon(task) + builder.config.settle_days
    if matured_at > builder.span.last_snapshot:
        through = day_date(builder.span.through)
        return f"labels mature on {day_date(matured_at)}, the data end on {through}"
    if not builder.training_days(task, origin):
        return f"no label of {builder.horizon(task)} days has matured by then"
    return None


def _customer_draws(archive: Archive) -> Draws:
    """Bootstrap draws of all customers; fewer repeats for larger data sets."""
    all_customers = np.sort(np.asarray(archive.builder.history.customers).astype(str))
    repeats = int(np.clip(_DRAWN_ROWS // max(len(all_customers), 1), _LEAST_REPEATS, REPEATS))
    return Draws(all_customers, archive.builder.config.seed, repeats)


@dataclass(frozen=True)
class _TaskResult:
    """Figures of one task at one origin; for churn also the raw forecasts, for calibration."""

    figures: list[MetricFigure]
    chances: ChurnForecasts | None


@dataclass(frozen=True)
class BacktestResult:
    """Result of a back-test.

    Attributes
    ----------
    figures
        One a task, method, group, metric and origin.
    skipped
        Tasks and origins that could not be tested.
    calibration
        Calibration map chosen for the churn model; None if churn was not tested.
    """

    figures: list[MetricFigure]
    skipped: list[_SkippedTest]
    calibration: CalibrationChoice | None


# Further figures of a tested model, such as the best possible ones given a simulation's truth.
_BoundFigures = Callable[[Archive, TrainingSet, LabelledTestSet, Draws], list[MetricFigure]]


def backtest_task(
    archive: Archive, task: Task, origin: int, bounds: _BoundFigures | None = None
) -> _TaskResult:
    """Train and test one task at one origin, in one thread because workers run in parallel."""
    config, horizon = archive.builder.config, archive.builder.horizon(task)
    data = training_set(archive, task, origin)
    part = fit(data, config, archive.builder.taxonomy.names, threads=1)
    test, draws = labelled_test_set(archive, task, origin), _customer_draws(archive)
    result = evaluate_part(part, data, test, horizon, slices=config.backtest.slices, draws=draws)
    rates = base_rate_figures(
        data, test, horizon_days=horizon, activity_days=config.activity_days, draws=draws
    )
    churn_forecasts = None
    if task == "churn":
        target = test.rows["no_purchase"].to_numpy(dtype=np.float64)
        raw_part = replace(part, parameters={**part.parameters, "calibration": NO_CALIBRATION})
        churn_forecasts = ChurnForecasts(
            origin, target, predict_part(raw_part, test.rows, test.everyone)["p_churn"]
        )
    bound_figures = [] if bounds is None else bounds(archive, data, test, draws)
    return _TaskResult(result.figures + rates + bound_figures, churn_forecasts)


def run_backtest(
    archive: Archive,
    origins: Sequence[int],
    *,
    tasks: Sequence[Task] = TASKS,
    on_tested: Callable[[Task, int], None] = lambda task, origin: None,
    bounds: _BoundFigures | None = None,
) -> BacktestResult:
    """Compute the figures of every task, method and origin in worker processes.

    Parameters
    ----------
    archive
        Stored tallies and features.
    origins
        Day numbers.
    tasks
        Models to test.
    on_tested
        Called after each task and origin that is tested.
    bounds
        Computes further figures of a tested task in a worker process; a module-level function.

    Raises
    ------
    UserError
        If an origin lies outside the data, a feature leaks, or no task could be tested.
    """
    _check_origins(archive, origins)
    task_origins = [(task, origin) for origin in sorted(set(origins)) for task in tasks]
    reasons = {
        task_origin: reason_untestable(archive, *task_origin) for task_origin in task_origins
    }
    skipped = [
        _SkippedTest(task, str(day_date(origin)), reason)
        for (task, origin), reason in reasons.items()
        if reason is not None
    ]

    refuse_leaks(
        archive,
        sorted(
            {origin for task_origin, origin in task_origins if not reasons[task_origin, origin]}
        ),
    )
    figures: list[MetricFigure] = []
    churn_forecasts: list[ChurnForecasts] = []
    with worker_pool(archive, archive.builder.config.threads) as submit:
        submitted = [
            (task_origin, submit(backtest_task, *task_origin, bounds))
            for task_origin in task_origins
            if reasons[task_origin] is None
        ]
        for task_origin, future in submitted:
            tested: _TaskResult = future.result()
            figures += tested.figures
            churn_forecasts += [] if tested.chances is None else [tested.chances]
            on_tested(*task_origin)
    if not figures:
        raise UserError(
            "backtest origins",
            found="; ".join(f"{s.task} {s.origin}: {s.reason}" for s in skipped[:4]),
            expected="at least one origin at which a task can be trained and tested",
            hint="choose earlier or later origins, or shorter horizons",
        )
    choice = None
    if churn_forecasts:
        config = archive.builder.config
        matures_after = archive.builder.horizon("churn") + config.settle_days
        choice = calibration_choice(churn_forecasts, matures_after=matures_after)
    return BacktestResult(figures, skipped, choice)


def write_backtest(result: BacktestResult, output: Path) -> Path:
    """Write ``backtest.json`` (one record a figure) and ``backtest/means.json``, atomically."""
    _written([figure.as_dict() for figure in result.figures], output / "backtest.json")
    folder = output / BACKTEST_FOLDER
    folder.mkdir(exist_ok=True)
    _written([mean.as_dict() for mean in origin_means(result.figures)], folder / "means.json")
    if result.calibration is not None:
        _written(result.calibration.as_dict(), folder / "calibration.json")
    return output / "backtest.json"


def require_earned_calibration(output: Path, wanted: str) -> None:
    """Raise UserError if the back-test of an output folder did not choose this calibration map."""
    file, adopted = output / BACKTEST_FOLDER / "calibration.json", "raw"
    if file.is_file():
        adopted = str(json.loads(file.read_text(encoding="utf-8"))["kind"])
    if wanted not in ("raw", adopted):
        raise UserError(
            "churn.calibration",
            found=wanted,
            expected="raw, or the map that won in the back-test of this folder "
            f"({adopted if file.is_file() else 'there is none yet'})",
            hint="run `stagecast backtest` at origins that are at least a horizon apart, and see "
            "backtest/summary.md; a map that has not won at three later origins usually hurts",
        )


def _written(content: Any, path: Path) -> None:
    partial = path.with_suffix(".json.tmp")
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    boundary("figures written")
    os.replace(partial, path)
