"""Back-test: train as of each origin on what had matured by then, test on what came after."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.calendar import day_date
from features.errors import UserError
from features.storage.fault_injection import boundary
from features.table.feature_store import Archive
from features.table.prediction_targets import TASK_NAMES, TaskName
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
from models.fitting.training_set import TrainingSet, training_set
from models.tasks.all_tasks import TASKS

BACKTEST_FOLDER = "backtest"  # of what the back-test writes beside its records
_DRAWN_ROWS = 10_000_000  # rows that all draws of one figure take together
_LEAST_REPEATS = 50


@dataclass(frozen=True)
class _SkippedTest:
    """A task that could not be tested at an origin, and why."""

    task: str
    origin: str
    reason: str


def _check_origins(archive: Archive, origins: Sequence[int]) -> None:
    """Refuse origins outside the data.

    Raises
    ------
    UserError
        Naming the origin and the dates allowed.
    """
    span = archive.builder.span
    first = span.first + MIN_HISTORY_DAYS
    if not origins:
        raise UserError(
            "backtest.origins",
            found="no origins",
            expected="dates in the config, or --origins DATE,DATE,...",
        )
    for origin in origins:
        if not first <= origin <= span.last_snapshot:
            raise UserError(
                "backtest origins",
                found=day_date(origin),
                expected=f"dates from {day_date(first)} to {day_date(span.last_snapshot)}",
                hint="the history reaches no further; choose other origins",
            )


def refuse_leaks(archive: Archive, origins: Sequence[int]) -> None:
    """Refuse features of an origin that differ when nothing after it is there to be seen.

    Raises
    ------
    UserError
        Naming the columns.
    """
    for origin in origins:
        leaks = leaking(archive.builder, archive.features(origin), origin)
        if leaks:
            raise UserError(
                f"features at {day_date(origin)}",
                found=f"{len(leaks)} columns that know what came later: {', '.join(leaks[:5])}",
                expected="features of what was known before the day began",
                hint="fix the family that makes them (docs/add-a-family.md), and run "
                "`stagecast features` again; figures with them would be worth nothing",
            )


def reason_untestable(archive: Archive, task: TaskName, origin: int) -> str | None:
    """Why a task cannot be tested at an origin; None where it can."""
    builder = archive.builder
    end = origin + builder.horizon(task) + builder.config.settle_days
    if end > builder.span.last_snapshot:
        return f"labels mature on {day_date(end)}, the data end on {day_date(builder.span.through)}"
    if not builder.training_days(task, origin):
        return f"no label of {builder.horizon(task)} days has matured by then"
    return None


def _customer_draws(archive: Archive) -> Draws:
    """The customers that every figure's interval draws from, fewer times the more they are."""
    everyone = np.sort(np.asarray(archive.builder.history.customers).astype(str))
    repeats = int(np.clip(_DRAWN_ROWS // max(len(everyone), 1), _LEAST_REPEATS, REPEATS))
    return Draws(everyone, archive.builder.config.seed, repeats)


@dataclass(frozen=True)
class _TaskResult:
    """One task at one origin: its figures, and of churn what the calibration rule looks at."""

    figures: list[MetricFigure]
    chances: ChurnForecasts | None


@dataclass(frozen=True)
class BacktestResult:
    """What a back-test found.

    Attributes
    ----------
    figures
        Of every task, method, group and origin.
    skipped
        What could not be tested.
    calibration
        What the rule makes of the churn model; None where churn was not tested.
    """

    figures: list[MetricFigure]
    skipped: list[_SkippedTest]
    calibration: CalibrationChoice | None


# Figures that stand beside a tested model, such as what a simulation's truth allows.
_BoundFigures = Callable[[Archive, TrainingSet, LabelledTestSet, Draws], list[MetricFigure]]


def backtest_task(
    archive: Archive, task: TaskName, origin: int, bounds: _BoundFigures | None = None
) -> _TaskResult:
    """Train and test one task at one origin; one thread, since workers run side by side."""
    config, horizon = archive.builder.config, archive.builder.horizon(task)
    data = training_set(archive, task, origin)
    part = TASKS[task].fit(data, config, archive.builder.taxonomy.names, threads=1)
    test, draws = labelled_test_set(archive, task, origin), _customer_draws(archive)
    result = evaluate_part(part, data, test, horizon, slices=config.backtest.slices, draws=draws)
    rates = base_rate_figures(data, test, horizon_days=horizon, config=config, draws=draws)
    churn_forecasts = None
    if (raw_part := TASKS[task].uncalibrated(part)) is not None:
        target = test.rows["no_purchase"].to_numpy(dtype=np.float64)
        probability = predict_part(raw_part, test.rows, test.everyone)["p_churn"]
        churn_forecasts = ChurnForecasts(origin, target, probability)
    bound_figures = [] if bounds is None else bounds(archive, data, test, draws)
    return _TaskResult(result.figures + rates + bound_figures, churn_forecasts)


def run_backtest(
    archive: Archive,
    origins: Sequence[int],
    *,
    tasks: Sequence[TaskName] = TASK_NAMES,
    done: Callable[[TaskName, int], None] = lambda task, origin: None,
    bounds: _BoundFigures | None = None,
) -> BacktestResult:
    """Figures of every task, method and origin.

    Parameters
    ----------
    archive
        Stored tallies and features.
    origins
        Day numbers.
    tasks
        Which models to test.
    done
        Called after each task and origin that is tested.
    bounds
        Gives further figures of a tested task, in a worker process: a function of a module.
    """
    _check_origins(archive, origins)
    wanted = [(task, origin) for origin in sorted(set(origins)) for task in tasks]
    reasons = {each: reason_untestable(archive, *each) for each in wanted}
    skipped = [
        _SkippedTest(task, str(day_date(origin)), reason)
        for (task, origin), reason in reasons.items()
        if reason is not None
    ]

    refuse_leaks(archive, sorted({origin for each, origin in wanted if not reasons[each, origin]}))
    figures: list[MetricFigure] = []
    chances: list[ChurnForecasts] = []
    with worker_pool(archive, archive.builder.config.threads) as submit:
        running = [
            (each, submit(backtest_task, *each, bounds)) for each in wanted if reasons[each] is None
        ]
        for each, future in running:
            try:
                tested: _TaskResult = future.result()
            except UserError as error:  # one class only, say: the other origins still tell much
                skipped.append(_SkippedTest(each[0], str(day_date(each[1])), str(error.found)))
            else:
                figures += tested.figures
                chances += [] if tested.chances is None else [tested.chances]
            done(*each)
    if not figures:
        raise UserError(
            "backtest origins",
            found="; ".join(f"{s.task} {s.origin}: {s.reason}" for s in skipped[:4]),
            expected="at least one origin at which a task can be trained and tested",
            hint="choose earlier or later origins, or shorter horizons",
        )
    choice = None
    if chances:
        config = archive.builder.config
        reach = archive.builder.horizon("churn") + config.settle_days
        choice = calibration_choice(chances, matures_after=reach)
    return BacktestResult(figures, skipped, choice)


def write_backtest(found: BacktestResult, output: Path) -> Path:
    """Write ``backtest.json``, a record a figure, and ``backtest/means.json``, each in one act."""
    _written([figure.as_dict() for figure in found.figures], output / "backtest.json")
    folder = output / BACKTEST_FOLDER
    folder.mkdir(exist_ok=True)
    _written([mean.as_dict() for mean in origin_means(found.figures)], folder / "means.json")
    if found.calibration is not None:
        _written(found.calibration.as_dict(), folder / "calibration.json")
    return output / "backtest.json"


def require_earned_calibration(output: Path, wanted: str) -> None:
    """Refuse a calibration map that the back-test of an output folder does not adopt.

    Raises
    ------
    UserError
        With the map that it adopts, or that there is no back-test.
    """
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
