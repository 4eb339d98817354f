"""Bounds from the truth of a simulation, shown beside the models in back-tests.

``latent_truth`` predicts the expectation given the hidden state of every customer; no model can
reach it. ``posterior`` predicts the expectation given the history under the model that generated
it: the best possible prediction, if the scenario has a closed form. ``sees_latents`` is our own
recipe with the hidden state and traits as additional features, for tasks without a closed form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.calendar import day_number
from features.contracts import CUSTOMER, SNAPSHOT
from features.table.feature_store import Archive
from features.table.prediction_targets import TaskName
from models.evaluation.evaluate import (
    Draws,
    LabelledTestSet,
    MetricFigure,
    lead_figures,
    metric_figures,
    predict_part,
)
from models.fitting.training_set import TrainingSet
from models.metrics.shown_metrics import HIGHER_IS_BETTER, SHOWN_METRICS
from models.tasks.all_tasks import TASKS
from simulator.ground_truth_reader import HiddenTruth

# By task: output column of the model, and the columns of the truth (latent, posterior).
_EXPECTED: dict[TaskName, tuple[str, str, str]] = {
    "churn": ("p_churn", "p_no_purchase", "posterior_p_no_purchase"),
    "clv": ("clv", "expected_spend", "posterior_spend"),
}
_BOUNDS = ("latent_truth", "posterior", "sees_latents")


def oracle_figures(
    archive: Archive, data: TrainingSet, test: LabelledTestSet, draws: Draws | None = None
) -> list[MetricFigure]:
    """Metrics of every bound of a task at a test snapshot; empty without a hidden truth."""
    config, horizon = archive.builder.config, archive.builder.horizon(test.task)
    if config.truth is None:
        return []
    hidden_truth = HiddenTruth(Path(config.truth))
    if test.task not in _EXPECTED:
        outputs = {"sees_latents": _sees_latents(archive, hidden_truth, data, test)}
        return metric_figures(test, outputs, horizon, draws=draws)
    expectations = hidden_truth.expectations(test.at, horizon)
    if expectations is None:
        return []
    output, *columns = _EXPECTED[test.task]
    predictions = {
        name: {output: _of_customers(expectations[column], test.rows[CUSTOMER])}
        for name, column in zip(("latent_truth", "posterior"), columns, strict=True)
        if column in expectations
    }
    figures = metric_figures(test, predictions, horizon, draws=draws)
    if test.leads is not None and "p_first_purchase" in expectations:
        p = {"p": _of_customers(expectations["p_first_purchase"], test.leads[CUSTOMER])}
        figures += lead_figures(test, {"latent_truth": p}, horizon, draws=draws)
    return figures


def _of_customers(values: pd.Series, customers: pd.Series) -> np.ndarray[Any, Any]:
    """Values in the order of the customers; customers without a value get the mean."""
    ordered = values.reindex(customers).to_numpy(dtype=np.float64)
    return np.where(np.isnan(ordered), np.nanmean(ordered), ordered)


def _sees_latents(
    archive: Archive, truth: HiddenTruth, data: TrainingSet, test: LabelledTestSet
) -> dict[str, np.ndarray[Any, Any]]:
    builder = archive.builder
    seen = replace(data, frame=_with_latents(truth, data.frame))
    part = TASKS[data.task].fit(seen, builder.config, builder.taxonomy.names, threads=1)
    return predict_part(part, _with_latents(truth, test.rows), test.everyone)


def _with_latents(truth: HiddenTruth, frame: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for snapshot, rows in frame.groupby(SNAPSHOT, sort=False):
        found = truth.latents(day_number(pd.Timestamp(snapshot).date()), rows[CUSTOMER])
        parts.append(found.set_index(rows.index))
    return pd.concat([frame, pd.concat(parts).loc[frame.index]], axis=1)


def oracle_gaps(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Compare every metric of the served recipe with its best baseline and the bounds.

    Parameters
    ----------
    records
        Metrics as in ``backtest.json``.

    Returns
    -------
    One record per model, date and metric: model, snapshot_at, metric, n, champion, baseline (its
    name), baseline_value, latent_truth, posterior, sees_latents (null if missing), and `reached`:
    the champion's gain over the best baseline as a share of the best bound's gain (null if the
    bound is no better; negative if the baseline beats the champion).
    """
    values_by_key: dict[tuple[str, str, str], dict[str, float]] = {}
    customer_counts: dict[tuple[str, str, str], int] = {}
    for record in records:
        if record["subset"] == "all" and record["value"] is not None:
            key = (str(record["model"]), str(record["snapshot_at"]), str(record["metric"]))
            values_by_key.setdefault(key, {})[str(record["method"])] = float(record["value"])
            customer_counts[key] = int(record["n"])
    return [
        {
            "model": model,
            "snapshot_at": date,
            "metric": metric,
            "n": customer_counts[model, date, metric],
            **_gap(values_by_key[model, date, metric], metric),
        }
        for (model, date, metric) in sorted(values_by_key)
        if model in SHOWN_METRICS
        and metric in SHOWN_METRICS[model].bounds
        and "champion" in values_by_key[model, date, metric]
    ]


def _gap(values: Mapping[str, float], metric: str) -> dict[str, Any]:
    def loss(method: str) -> float:
        value = values[method]
        return (
            -value if metric in HIGHER_IS_BETTER else abs(value) if metric == "bias_pct" else value
        )

    baselines = [m for m in values if m != "champion" and m not in _BOUNDS]
    # In this order: the posterior, if known, is the best that can be reached.
    bound_methods = [m for m in ("posterior", "latent_truth", "sees_latents") if m in values]
    best_baseline = min(baselines, key=loss, default=None)
    reached = None
    if best_baseline is not None and bound_methods and loss(best_baseline) > loss(bound_methods[0]):
        possible_gain = loss(best_baseline) - loss(bound_methods[0])
        reached = (loss(best_baseline) - loss("champion")) / possible_gain
    return {
        "champion": values["champion"],
        "baseline": best_baseline,
        "baseline_value": None if best_baseline is None else values[best_baseline],
        **{name: values.get(name) for name in _BOUNDS},
        "reached": reached,
    }


def oracle_page(records: Iterable[Mapping[str, Any]]) -> str:
    """Markdown page with the gaps between champion, baselines and bounds."""
    table_header = (
        "| model | date | metric | n | ours | best baseline | posterior | latent truth "
        "| ours, seeing the latents | way reached |"
    )
    lines = [
        "# Compared with the truth of the simulation",
        "",
        "Simulated data: no row describes a real person. `latent truth` predicts from the hidden",
        "state of every customer, which cannot be observed; `posterior` from the history under",
        "the model that generated it, the best possible prediction; the last column but one is",
        "our recipe with the hidden state among its features. `way reached`: gain over the best",
        "baseline (0 %) as a share of the best possible gain (100 %).",
        "",
        table_header,
        "|---" * 10 + "|",
    ]
    for row in oracle_gaps(records):
        reached = "" if row["reached"] is None else f"{row['reached']:.0%}"
        baseline = "" if row["baseline"] is None else f"{_four_digits(row['baseline_value'])} "
        cells = (
            row["model"],
            row["snapshot_at"],
            row["metric"],
            f"{row['n']:,}",
            _four_digits(row["champion"]),
            f"{baseline}({row['baseline']})" if row["baseline"] else "",
            _four_digits(row["posterior"]),
            _four_digits(row["latent_truth"]),
            _four_digits(row["sees_latents"]),
            reached,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _four_digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
