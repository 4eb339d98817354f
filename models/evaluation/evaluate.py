"""Evaluation: a part and its baselines on a later snapshot that no training label touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from features.calendar import day_date
from features.config.tasks import Slice
from features.contracts import CUSTOMER
from features.errors import UserError
from features.table.feature_store import Archive
from features.table.prediction_targets import TaskName
from models.evaluation.customer_bootstrap import REPEATS, customer_draws, metric_draws
from models.evaluation.slices import subset_masks
from models.fitting.training_set import TrainingSet, add_channel, join_labels
from models.metrics.metric_call import MetricCall
from models.scorer.part import Part
from models.scorer.scoring_context import scorer_context, scorer_sums
from models.tasks.all_tasks import TASKS
from models.tasks.lead import lead_conversion_rate, lead_metric_calls
from models.tasks.task import Outputs

CHAMPION_METHOD = "champion"  # the served recipe, in figures
_INFLATED_ERRORS = ("ece", "decile_error")  # by drawing rows more than once


@dataclass(frozen=True)
class MetricFigure:
    """One measured number.

    Attributes
    ----------
    model
        stage, transition, churn, clv, or lead (the CLV part's leads).
    method
        ``champion`` for the served recipe, else the baseline's name.
    snapshot_at
        ISO date of the test snapshot.
    horizon_days
        Days the label looks ahead.
    subset
        ``all`` is the task's population.
    metric, value
        Name and value; null where it is undefined there.
    n
        Customers it is computed on.
    low, high
        95 % interval when customers are drawn again; null where nothing was drawn.
    difference, difference_low, difference_high
        Of a baseline: the champion's figure minus this one, on the same drawn customers (of biases
        the difference of their sizes); null for the champion itself.
    sample
        The value of every draw, for means over dates; not part of the record.
    """

    model: str
    method: str
    snapshot_at: str
    horizon_days: int
    subset: str
    metric: str
    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    sample: Array | None = field(default=None, compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The record as it stands in ``backtest.json``."""
        return {each.name: getattr(self, each.name) for each in fields(self)[:-1]}


@dataclass(frozen=True)
class LabelledTestSet:
    """A test snapshot: labelled rows of the task's population, and everyone who existed.

    Attributes
    ----------
    task, at
        The task and the day number.
    rows
        Features joined with labels, one row a customer.
    everyone
        Feature frame of all, from which population statistics are made.
    leads
        Of CLV: labelled rows of those who never bought, with their ``points`` by the points
        table; None where there are none.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    task: TaskName
    at: int
    rows: pd.DataFrame
    everyone: pd.DataFrame
    leads: pd.DataFrame | None = None


@dataclass(frozen=True)
class Evaluation:
    """Figures of one task at one test snapshot, and the outputs they were computed from."""

    test: LabelledTestSet
    figures: list[MetricFigure]
    outputs: dict[str, Outputs]


def labelled_test_set(archive: Archive, task: TaskName, at: int) -> LabelledTestSet:
    """Labelled population of a task at a test snapshot."""
    return delayed_test_set(archive, task, at, archive.builder.targets[task].delay_days)


def delayed_test_set(archive: Archive, task: TaskName, at: int, delay: int) -> LabelledTestSet:
    """As `test_set`, with features that know nothing of the last `delay` days."""
    everyone = add_channel(archive, task, archive.delayed(at, delay), at)
    rows = join_labels(everyone, archive.builder.labels(task, at))
    leads = TASKS[task].leads(archive, rows, at)
    tested_rows = TASKS[task].tested_rows(rows, archive.builder.config)
    return LabelledTestSet(task, at, tested_rows, everyone, leads)


labelled_test_set.__test__ = False  # type: ignore[attr-defined]


def predict_part(part: Part, rows: pd.DataFrame, everyone: pd.DataFrame) -> dict[str, Array]:
    """A part's outputs for some rows of a snapshot, with the population statistics of all."""
    parts = {part.name: part}
    context = scorer_context(parts, scorer_sums(parts, everyone))
    return TASKS[part.name].predict(part, rows, context)


@dataclass(frozen=True)
class Draws:
    """How customers are drawn again: the same ones for every model, method and date.

    Attributes
    ----------
    everyone
        All customers of the data, sorted.
    seed, repeats
        Of the draws.
    """

    everyone: Array
    seed: int
    repeats: int = REPEATS

    def counts(self, customers: pd.Series) -> Array:
        """Draws x rows: how often each customer is taken."""
        customer_ids = np.asarray(customers).astype(str)
        return customer_draws(customer_ids, self.everyone, seed=self.seed, repeats=self.repeats)


def evaluate_part(
    part: Part,
    data: TrainingSet,
    test: LabelledTestSet,
    horizon_days: int,
    *,
    slices: Mapping[str, Slice] | None = None,
    draws: Draws | None = None,
) -> Evaluation:
    """Measure a part and every baseline of its task, all trained on the same snapshots.

    Raises
    ------
    UserError
        Where the test has no customers, since nobody bought for long before it.
    """
    if test.rows.empty:
        raise UserError(
            f"{test.task}: test as of {day_date(test.at)}",
            found="no customer to test on: nobody bought in the days before it that count",
            expected="purchases before the test, and customers who could buy again",
            hint="look for a hole at the end of the data: set `data_through` to the last day that "
            "you know in full, or deliver the missing days",
        )
    outputs: dict[str, Outputs] = {CHAMPION_METHOD: predict_part(part, test.rows, test.everyone)}
    for name, baseline in TASKS[test.task].all_baselines().items():
        baseline_outputs = baseline(data, part, test.rows)
        if baseline_outputs is not None:
            outputs[name] = baseline_outputs
    figures = metric_figures(test, outputs, horizon_days, slices=slices, draws=draws)
    if test.leads is not None:
        figures += lead_figures(test, _lead_outputs(part, data, test), horizon_days, draws=draws)
    return Evaluation(test, figures, outputs)


def metric_figures(
    test: LabelledTestSet,
    outputs: Mapping[str, Outputs],
    horizon_days: int,
    *,
    slices: Mapping[str, Slice] | None = None,
    draws: Draws | None = None,
) -> list[MetricFigure]:
    """Every metric of every method's outputs, on the whole test population and its subsets."""
    counts = None if draws is None else draws.counts(test.rows[CUSTOMER])
    on, found = str(day_date(test.at)), []
    for subset, mask in subset_masks(test.task, test.rows, slices or {}).items():
        measured = {
            method: TASKS[test.task].metric_calls(_cut(out, mask), test.rows[mask])
            for method, out in outputs.items()
        }
        head = (test.task, on, horizon_days, subset, int(mask.sum()))
        found += _figures(head, measured, None if counts is None else counts[:, mask])
    return found


def lead_figures(
    test: LabelledTestSet,
    outputs: Mapping[str, Outputs],
    horizon_days: int,
    *,
    draws: Draws | None = None,
) -> list[MetricFigure]:
    """Every metric of every method's outputs on the leads of a test (``p`` or ``rank``)."""
    assert test.leads is not None
    counts = None if draws is None else draws.counts(test.leads[CUSTOMER])
    measured = {
        method: lead_metric_calls(method_outputs, test.leads)
        for method, method_outputs in outputs.items()
    }
    figure_key = ("lead", str(day_date(test.at)), horizon_days, "all", len(test.leads))
    return _figures(figure_key, measured, counts)


def _lead_outputs(part: Part, data: TrainingSet, test: LabelledTestSet) -> dict[str, Outputs]:
    """The CLV part's chance of a first purchase, and its baselines, of the leads of a test.

    ``points``: the points table, which ranks and knows no chance; ``cohort``: the share of the
    training's leads who bought, the same for all.
    """
    assert test.leads is not None
    share = lead_conversion_rate(data.frame)
    return {
        CHAMPION_METHOD: {"p": predict_part(part, test.leads, test.everyone)["p_first_purchase"]},
        "points": {"rank": test.leads["points"].to_numpy(dtype=np.float64)},
        "cohort": {"p": np.full(len(test.leads), share)},
    }


def _figures(
    figure_key: tuple[str, str, int, str, int],
    measured: Mapping[str, list[MetricCall]],
    counts: Array | None,
) -> list[MetricFigure]:
    """Figures with their intervals of the methods on one group of customers."""
    model, date, horizon_days, subset, row_count = figure_key
    champion_figures: dict[str, MetricFigure] = {}
    figures = []
    for method, measure in (
        (name, metric_call)
        for name, method_calls in measured.items()
        for metric_call in method_calls
    ):
        value = _finite(measure.value)
        sample = None
        if counts is not None and value is not None:
            sample = _centred_sample(
                measure, metric_draws(measure.function, counts, *measure.arguments)
            )
        low, high = interval_ends(sample)
        figure = MetricFigure(
            model, method, date, horizon_days, subset, measure.metric, value, row_count, low, high,
            sample=sample,
        )  # fmt: skip
        if method == CHAMPION_METHOD:
            champion_figures[measure.metric] = figure
        figures.append(_with_difference(figure, champion_figures.get(measure.metric)))
    return figures


def _centred_sample(measure: MetricCall, sample: Array) -> Array:
    """Drawn values; of errors that repeated rows blow up, moved so that their middle is the figure.

    Rows drawn twice look like two customers who agree, so a calibration error measured on draws is
    too large by about its own noise.
    """
    if measure.metric not in _INFLATED_ERRORS:
        return sample
    known = sample[np.isfinite(sample)]
    return sample if not len(known) else np.maximum(sample - np.median(known) + measure.value, 0.0)


def _with_difference(figure: MetricFigure, champion: MetricFigure | None) -> MetricFigure:
    """A baseline's figure with the champion's minus it; others as they are."""
    if (
        champion is None
        or figure.method == CHAMPION_METHOD
        or None in (figure.value, champion.value)
    ):
        return figure
    size: Callable[[Any], Any] = np.abs if figure.metric == "bias_pct" else np.asarray
    difference, sample = size(champion.value) - size(figure.value), None
    if figure.sample is not None and champion.sample is not None:
        sample = size(champion.sample) - size(figure.sample)
    low, high = interval_ends(sample)
    return replace(figure, difference=float(difference), difference_low=low, difference_high=high)


def interval_ends(sample: Array | None) -> tuple[float | None, float | None]:
    """95 % interval of drawn values; none where most draws leave the figure undefined."""
    if sample is None:
        return None, None
    known = sample[np.isfinite(sample)]
    if 2 * len(known) <= len(sample):
        return None, None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _cut(method_outputs: Outputs, mask: Array) -> dict[str, Array]:
    return {
        name: np.asarray(values)[mask]
        for name, values in method_outputs.items()
        if np.ndim(values) > 0 and len(values) == len(mask)
    }
