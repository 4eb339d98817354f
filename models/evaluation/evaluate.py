"""Evaluate a part and its baselines on a later snapshot, outside all training labels."""

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
from features.table.feature_store import Archive
from features.table.snapshot_builder import Task
from models.baselines.lead_points import lead_points
from models.baselines.registry import BASELINES
from models.evaluation.customer_bootstrap import REPEATS, customer_draws, metric_draws
from models.evaluation.slices import subset_masks
from models.evaluation.task_metrics import (
    MethodOutputs,
    MetricCall,
    lead_metric_calls,
    metric_calls,
)
from models.fitting.training_set import TrainingSet, add_channel, join_labels, snapshot_population
from models.scorer.churn import predict_churn
from models.scorer.clv import predict_clv
from models.scorer.part import Part
from models.scorer.scoring_context import scorer_context, scorer_sums
from models.scorer.stage import predict_stage
from models.scorer.transition import predict_transition
from models.tasks.lead import leads_of, plain_share

CHAMPION_METHOD = "champion"  # method name of the served recipe in figures
_INFLATED_ERRORS = ("ece", "decile_error")  # too large when rows are drawn more than once


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
        Horizon of the label in days.
    subset
        ``all`` is the task's population.
    metric, value
        Name and value; null if it is undefined on this subset.
    n
        Number of customers.
    low, high
        95 % interval from resampled customers; null without draws.
    difference, difference_low, difference_high
        Only for baselines: the champion's figure minus this one, on the same drawn customers (for
        biases the difference of absolute values); null for the champion.
    sample
        Value of each draw, for means over dates; not part of the record.
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
        """Record of ``backtest.json``."""
        return {column.name: getattr(self, column.name) for column in fields(self)[:-1]}


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
        Feature frame of all customers, for population statistics.
    leads
        Only for CLV: labelled rows of customers who never bought, with their ``points`` by the
        points table; None if there are none.
    """

    task: Task
    at: int
    rows: pd.DataFrame
    everyone: pd.DataFrame
    leads: pd.DataFrame | None = None


@dataclass(frozen=True)
class Evaluation:
    """Figures of one task at one test snapshot, with the outputs they are computed from."""

    test: LabelledTestSet
    figures: list[MetricFigure]
    outputs: dict[str, MethodOutputs]


def labelled_test_set(archive: Archive, task: Task, at: int) -> LabelledTestSet:
    """Labelled population of a task at a test snapshot.

    For CLV: customers who bought within the horizon if the config limits activity, else all.
    """
    return delayed_test_set(archive, task, at, archive.builder.delay(task))


def delayed_test_set(archive: Archive, task: Task, at: int, delay: int) -> LabelledTestSet:
    """As `labelled_test_set`, with features that exclude the last `delay` days."""
    everyone = add_channel(archive, task, archive.delayed(at, delay), at)
    rows = join_labels(everyone, archive.builder.labels(task, at))
    config, leads = archive.builder.config, None
    if task == "clv":
        leads = leads_of(rows)
        leads = leads.assign(points=lead_points(archive, at, leads["customer_id"]))
        if config.activity_days is not None:
            is_recent = rows["purchase__recency_days"] <= config.clv.horizon_days
            rows = rows[is_recent].reset_index(drop=True)
    return LabelledTestSet(
        task, at, rows, everyone, leads if leads is not None and len(leads) else None
    )


def predict_part(part: Part, rows: pd.DataFrame, everyone: pd.DataFrame) -> dict[str, Array]:
    """Outputs of a part for rows of a snapshot, with the population statistics of `everyone`."""
    parts = {part.name: part}
    context = scorer_context(parts, scorer_sums(parts, everyone))
    functions: dict[str, Callable[..., dict[str, Array]]] = {
        "stage": predict_stage,
        "transition": predict_transition,
        "churn": predict_churn,
        "clv": predict_clv,
    }
    return functions[part.name](part, rows, context)


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws of customers, the same for every model, method and date.

    Attributes
    ----------
    everyone
        All customers of the data, sorted.
    seed, repeats
        Random seed and number of draws.
    """

    everyone: Array
    seed: int
    repeats: int = REPEATS

    def counts(self, customers: pd.Series) -> Array:
        """How often each row's customer is drawn: draws x rows."""
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
    """Compute the figures of a part and its baselines, all trained on the same snapshots."""
    outputs: dict[str, MethodOutputs] = {
        CHAMPION_METHOD: predict_part(part, test.rows, test.everyone)
    }
    context = snapshot_population(test.everyone)
    for name, baseline in BASELINES[test.task].items():
        baseline_outputs = baseline(data, part, test.rows, context)
        if baseline_outputs is not None:
            outputs[name] = baseline_outputs
    figures = metric_figures(test, outputs, horizon_days, slices=slices, draws=draws)
    if test.leads is not None:
        figures += lead_figures(test, _lead_outputs(part, data, test), horizon_days, draws=draws)
    return Evaluation(test, figures, outputs)


def metric_figures(
    test: LabelledTestSet,
    outputs: Mapping[str, MethodOutputs],
    horizon_days: int,
    *,
    slices: Mapping[str, Slice] | None = None,
    draws: Draws | None = None,
) -> list[MetricFigure]:
    """All metrics of all methods, on the whole test population and its subsets."""
    counts = None if draws is None else draws.counts(test.rows[CUSTOMER])
    date, figures = str(day_date(test.at)), []
    for subset, mask in subset_masks(test.task, test.rows, slices or {}).items():
        measured = {
            method: metric_calls(test.task, _cut(method_outputs, mask), test.rows[mask])
            for method, method_outputs in outputs.items()
        }
        figure_key = (test.task, date, horizon_days, subset, int(mask.sum()))
        figures += _figures(figure_key, measured, None if counts is None else counts[:, mask])
    return figures


def lead_figures(
    test: LabelledTestSet,
    outputs: Mapping[str, MethodOutputs],
    horizon_days: int,
    *,
    draws: Draws | None = None,
) -> list[MetricFigure]:
    """All metrics of all methods (outputs ``p`` or ``rank``) on the leads of a test set."""
    assert test.leads is not None
    counts = None if draws is None else draws.counts(test.leads[CUSTOMER])
    measured = {
        method: lead_metric_calls(method_outputs, test.leads)
        for method, method_outputs in outputs.items()
    }
    figure_key = ("lead", str(day_date(test.at)), horizon_days, "all", len(test.leads))
    return _figures(figure_key, measured, counts)


def _lead_outputs(part: Part, data: TrainingSet, test: LabelledTestSet) -> dict[str, MethodOutputs]:
    """First-purchase probabilities of the CLV part and its baselines, for the leads of a test set.

    ``points``: the points table, a ranking without probabilities; ``cohort``: the share of training
    leads who bought, the same for all.
    """
    assert test.leads is not None
    cohort_share = plain_share(data.frame)
    return {
        CHAMPION_METHOD: {"p": predict_part(part, test.leads, test.everyone)["p_first_purchase"]},
        "points": {"rank": test.leads["points"].to_numpy(dtype=np.float64)},
        "cohort": {"p": np.full(len(test.leads), cohort_share)},
    }


def _figures(
    figure_key: tuple[str, str, int, str, int],
    measured: Mapping[str, list[MetricCall]],
    counts: Array | None,
) -> list[MetricFigure]:
    """Figures with intervals of all methods on one group of customers."""
    model, date, horizon_days, subset, row_count = figure_key
    champion_figures: dict[str, MetricFigure] = {}
    figures = []
    for method, call in ((name, call) for name, calls in measured.items() for call in calls):
        value = _finite(call.value)
        sample = None
        if counts is not None and value is not None:
            sample = _centred_sample(call, metric_draws(call.function, counts, *call.arguments))
        low, high = interval_ends(sample)
        figure = MetricFigure(
            model, method, date, horizon_days, subset, call.metric, value, row_count, low, high,
            sample=sample,
        )  # fmt: skip
        if method == CHAMPION_METHOD:
            champion_figures[call.metric] = figure
        figures.append(_with_difference(figure, champion_figures.get(call.metric)))
    return figures


def _centred_sample(measure: MetricCall, sample: Array) -> Array:
    """Drawn values; calibration errors are shifted so that their median equals the figure.

    A row drawn twice counts as two customers with the same outcome, so a calibration error on draws
    is too large by about its own noise.
    """
    if measure.metric not in _INFLATED_ERRORS:
        return sample
    defined = sample[np.isfinite(sample)]
    return (
        sample if not len(defined) else np.maximum(sample - np.median(defined) + measure.value, 0.0)
    )


def _with_difference(figure: MetricFigure, champion: MetricFigure | None) -> MetricFigure:
    """Add the difference champion minus baseline to a baseline's figure."""
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
    """95 % interval of drawn values; None if half of the draws or more are undefined."""
    if sample is None:
        return None, None
    defined = sample[np.isfinite(sample)]
    if 2 * len(defined) <= len(sample):
        return None, None
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _cut(method_outputs: MethodOutputs, mask: Array) -> dict[str, Array]:
    return {
        name: np.asarray(values)[mask]
        for name, values in method_outputs.items()
        if np.ndim(values) > 0 and len(values) == len(mask)
    }
