"""Evaluation: a part and its baselines on a later snapshot that no training label touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.archive import Archive
from features.build import Task
from features.timeline import day_date
from models import inference, metrics
from models.baselines import BASELINES
from models.inference import Part
from models.lead import leads_of, plain_share
from models.lead_points import lead_points
from models.training import TrainingSet, labelled, population

Array = np.ndarray[Any, Any]
Outputs = Mapping[str, Array]
CHAMPION = "champion"  # the served recipe, in figures


@dataclass(frozen=True)
class Figure:
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
    """

    model: str
    method: str
    snapshot_at: str
    horizon_days: int
    subset: str
    metric: str
    value: float | None
    n: int

    def as_dict(self) -> dict[str, Any]:
        """The record as it stands in ``backtest.json``."""
        return asdict(self)


@dataclass(frozen=True)
class Test:
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

    task: Task
    at: int
    rows: pd.DataFrame
    everyone: pd.DataFrame
    leads: pd.DataFrame | None = None


@dataclass(frozen=True)
class Result:
    """Figures of one task at one test snapshot, and the outputs they were computed from."""

    test: Test
    figures: list[Figure]
    outputs: dict[str, Outputs]


def test_set(archive: Archive, task: Task, at: int) -> Test:
    """Labelled population of a task at a test snapshot.

    For CLV this is who bought within the horizon where the config limits activity, else everyone.
    """
    return delayed_test_set(archive, task, at, archive.builder.delay(task))


def delayed_test_set(archive: Archive, task: Task, at: int, delay: int) -> Test:
    """As `test_set`, with features that know nothing of the last `delay` days."""
    everyone = archive.delayed(at, delay)
    rows = labelled(everyone, archive.builder.labels(task, at))
    config, leads = archive.builder.config, None
    if task == "clv":
        leads = leads_of(rows)
        leads = leads.assign(points=lead_points(archive, at, leads["customer_id"]))
        if config.activity_days is not None:
            recent = rows["purchase__recency_days"] <= config.clv.horizon_days
            rows = rows[recent].reset_index(drop=True)
    return Test(task, at, rows, everyone, leads if leads is not None and len(leads) else None)


test_set.__test__ = False  # type: ignore[attr-defined]


def predict(part: Part, rows: pd.DataFrame, everyone: pd.DataFrame) -> dict[str, Array]:
    """A part's outputs for some rows of a snapshot, with the population statistics of all."""
    parts = {part.name: part}
    context = inference.scorer_context(parts, inference.scorer_sums(parts, everyone))
    functions: dict[str, Callable[..., dict[str, Array]]] = {
        "stage": inference.predict_stage,
        "transition": inference.predict_transition,
        "churn": inference.predict_churn,
        "clv": inference.predict_clv,
    }
    return functions[part.name](part, rows, context)


def evaluate(part: Part, data: TrainingSet, test: Test, horizon_days: int) -> Result:
    """Measure a part and every baseline of its task, all trained on the same snapshots."""
    outputs: dict[str, Outputs] = {CHAMPION: predict(part, test.rows, test.everyone)}
    context = population(test.everyone)
    for name, baseline in BASELINES[test.task].items():
        found = baseline(data, part, test.rows, context)
        if found is not None:
            outputs[name] = found
    figures = figures_of(test, outputs, horizon_days)
    if test.leads is not None:
        figures += lead_figures(test, lead_outputs(part, data, test), horizon_days)
    return Result(test, figures, outputs)


def figures_of(test: Test, outputs: Mapping[str, Outputs], horizon_days: int) -> list[Figure]:
    """Every metric of every method's outputs, on the whole test population and its subsets."""
    return [
        Figure(
            test.task,
            method,
            str(day_date(test.at)),
            horizon_days,
            subset,
            metric,
            _finite(value),
            int(mask.sum()),
        )
        for subset, mask in subsets(test).items()
        for method, out in outputs.items()
        for metric, value in measure(test.task, _cut(out, mask), test.rows[mask]).items()
    ]


def lead_figures(test: Test, outputs: Mapping[str, Outputs], horizon_days: int) -> list[Figure]:
    """Every metric of every method's outputs on the leads of a test (``p`` or ``rank``)."""
    assert test.leads is not None
    on, n = str(day_date(test.at)), len(test.leads)
    return [
        Figure("lead", method, on, horizon_days, "all", metric, _finite(value), n)
        for method, out in outputs.items()
        for metric, value in _measure_lead(out, test.leads).items()
    ]


def lead_outputs(part: Part, data: TrainingSet, test: Test) -> dict[str, Outputs]:
    """The CLV part's chance of a first purchase, and its baselines, of the leads of a test.

    ``points``: the points table, which ranks and knows no chance; ``cohort``: the share of the
    training's leads who bought, the same for all.
    """
    assert test.leads is not None
    share = plain_share(data.frame)
    return {
        CHAMPION: {"p": predict(part, test.leads, test.everyone)["p_first_purchase"]},
        "points": {"rank": test.leads["points"].to_numpy(dtype=np.float64)},
        "cohort": {"p": np.full(len(test.leads), share)},
    }


def _measure_lead(out: Outputs, leads: pd.DataFrame) -> dict[str, float]:
    y = (leads["orders"] > 0).to_numpy(dtype=np.float64)
    found, p = {}, out.get("p")
    rank = out.get("rank", p)
    if rank is None or np.isnan(rank).any():
        return {}
    if 0 < y.sum() < len(y):
        found = {"auc": metrics.auc(y, rank), "lift_10": metrics.lift_10(y, rank)}
    if p is not None:
        found |= {"log_loss": metrics.log_loss(y, p), "brier": metrics.brier(y, p)}
        found |= {"ece": metrics.ece(y, p), "bias_pct": metrics.bias_pct(y, p)}
    return found


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _cut(out: Outputs, mask: Array) -> dict[str, Array]:
    return {
        name: np.asarray(values)[mask]
        for name, values in out.items()
        if np.ndim(values) > 0 and len(values) == len(mask)
    }


def subsets(test: Test) -> dict[str, Array]:
    """Named groups of the test population, empty ones left out."""
    rows = test.rows
    groups = {"all": np.ones(len(rows), dtype=bool)}
    if test.task in ("stage", "transition"):
        groups["rule_active"] = (rows["stage__days_to_lapse"] != 0).to_numpy()
    return {name: mask for name, mask in groups.items() if mask.any()}


def measure(task: str, out: Outputs, rows: pd.DataFrame) -> dict[str, float]:
    """All metrics of a task for one method's outputs on labelled rows."""
    return _MEASURES[task](out, rows)


def _measure_churn(out: Outputs, rows: pd.DataFrame) -> dict[str, float]:
    y, p = rows["no_purchase"].to_numpy(), out["p_churn"]
    found = {"log_loss": metrics.log_loss(y, p), "brier": metrics.brier(y, p)}
    found["ece"] = metrics.ece(y, p)
    found["bias_pct"] = metrics.bias_pct(y, p)
    if 0 < y.sum() < len(y):
        found |= {"auc": metrics.auc(y, p), "lift_10": metrics.lift_10(y, p)}
    return found


def _measure_clv(out: Outputs, rows: pd.DataFrame) -> dict[str, float]:
    y, p = rows["spend"].to_numpy(), out["clv"]
    found = {"mae": metrics.mae(y, p), "rmse": metrics.rmse(y, p)}
    if y.sum() > 0:
        found |= {
            "bias_pct": metrics.bias_pct(y, p),
            "spearman": metrics.spearman(y, p),
            "gini": metrics.gini(y, p),
            "top10": metrics.top10(y, p),
            "decile_error": metrics.decile_error(y, p),
        }
    if "clv_low" in out:
        found["coverage"] = metrics.coverage(y, out["clv_low"], out["clv_high"])
        if y.sum() > 0:
            found["width_ratio"] = metrics.width_ratio(y, out["clv_low"], out["clv_high"])
    return found


def _measure_stage(out: Outputs, rows: pd.DataFrame) -> dict[str, float]:
    truth = rows["truth_code"].to_numpy().astype(int)
    p = out["probabilities"]
    said = out.get("code", p.argmax(axis=1))
    return {
        "log_loss": metrics.multiclass_log_loss(truth, p),
        "brier": metrics.multiclass_brier(truth, p),
        "macro_f1": metrics.macro_f1(truth, said),
    }


def _measure_transition(out: Outputs, rows: pd.DataFrame) -> dict[str, float]:
    p, period = out["probabilities"], rows["period"].to_numpy().astype(int)
    destination = rows["next_code"].to_numpy().astype(int)
    truth = np.where(period > 0, destination, p.shape[1] - 1)
    found = {
        "log_loss": metrics.multiclass_log_loss(truth, p),
        "brier": metrics.multiclass_brier(truth, p),
        "top1_movers": metrics.top1_movers(p[:, :-1], destination, period),
    }
    if "cif" in out:
        cif = np.swapaxes(out["cif"], 1, 2)  # rows x stages x periods -> rows x periods x stages
        found["integrated_brier"] = metrics.integrated_brier(cif, destination, period)
        found["median_time_mae"] = metrics.median_time_mae(cif.sum(axis=2), period)
    return found


_MEASURES: dict[str, Callable[[Outputs, pd.DataFrame], dict[str, float]]] = {
    "churn": _measure_churn,
    "clv": _measure_clv,
    "stage": _measure_stage,
    "transition": _measure_transition,
}
