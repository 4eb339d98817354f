"""What the truth of a simulation allows: bounds that stand beside the models in back-tests.

``latent_truth`` predicts with the expectation given the hidden state of every customer: a bound
that nobody can reach. ``posterior`` predicts with the expectation given the history under the very
model that made it: the best possible, where the scenario has a closed form. ``sees_latents`` is
our own recipe with the hidden state and traits among its features, for tasks whose truth has no
closed expectation.
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
from features.table.snapshot_builder import Task
from models.evaluation.evaluate import Draws, Figure, Test, figures_of, lead_figures, predict
from models.fitting.training_set import TrainingSet
from models.tasks.training import fit_task
from simulator.ground_truth_reader import HiddenTruth

# By task: output of the model, and the truth's columns for it (latent, posterior).
EXPECTED: dict[Task, tuple[str, str, str]] = {
    "churn": ("p_churn", "p_no_purchase", "posterior_p_no_purchase"),
    "clv": ("clv", "expected_spend", "posterior_spend"),
}
BOUNDS = ("latent_truth", "posterior", "sees_latents")
# The figure that the report compares by, and whether more of it is better.
COMPARED = {
    "stage": {"log_loss": False, "macro_f1": True},
    "transition": {"log_loss": False, "integrated_brier": False},
    "churn": {"auc": True, "log_loss": False},
    "clv": {"gini": True, "rmse": False, "bias_pct": False},
    "lead": {"auc": True, "lift_10": True, "log_loss": False},
}


def bounds(
    archive: Archive, data: TrainingSet, test: Test, draws: Draws | None = None
) -> list[Figure]:
    """Figures of every bound that exists for a task at a test snapshot; none without a truth."""
    config, horizon = archive.builder.config, archive.builder.horizon(test.task)
    if config.truth is None:
        return []
    truth = HiddenTruth(Path(config.truth))
    if test.task not in EXPECTED:
        outputs = {"sees_latents": _sees_latents(archive, truth, data, test)}
        return figures_of(test, outputs, horizon, draws=draws)
    rows = truth.expectations(test.at, horizon)
    if rows is None:
        return []
    output, *columns = EXPECTED[test.task]
    known = {
        name: {output: _of_customers(rows[column], test.rows[CUSTOMER])}
        for name, column in zip(("latent_truth", "posterior"), columns, strict=True)
        if column in rows
    }
    figures = figures_of(test, known, horizon, draws=draws)
    if test.leads is not None and "p_first_purchase" in rows:
        p = {"p": _of_customers(rows["p_first_purchase"], test.leads[CUSTOMER])}
        figures += lead_figures(test, {"latent_truth": p}, horizon, draws=draws)
    return figures


def _of_customers(values: pd.Series, customers: pd.Series) -> np.ndarray[Any, Any]:
    """Values in the order of the customers; the mean for those the truth does not know."""
    found = values.reindex(customers).to_numpy(dtype=np.float64)
    return np.where(np.isnan(found), np.nanmean(found), found)


def _sees_latents(
    archive: Archive, truth: HiddenTruth, data: TrainingSet, test: Test
) -> dict[str, np.ndarray[Any, Any]]:
    builder = archive.builder
    seen = replace(data, frame=_with_latents(truth, data.frame))
    part = fit_task(seen, builder.config, builder.taxonomy.names, threads=1)
    return predict(part, _with_latents(truth, test.rows), test.everyone)


def _with_latents(truth: HiddenTruth, frame: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for snapshot, rows in frame.groupby(SNAPSHOT, sort=False):
        found = truth.latents(day_number(pd.Timestamp(snapshot).date()), rows[CUSTOMER])
        parts.append(found.set_index(rows.index))
    return pd.concat([frame, pd.concat(parts).loc[frame.index]], axis=1)


def gaps(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every compared figure of the served recipe beside its best baseline and the bounds.

    Parameters
    ----------
    records
        Figures as they stand in ``backtest.json``.

    Returns
    -------
    One record a model, date and metric: model, snapshot_at, metric, n, champion, baseline (its
    name), baseline_value, latent_truth, posterior, sees_latents (null where there is none), and
    `reached`: the share of the way from the best baseline to the best bound that the champion
    goes (null where they do not differ; negative where the baseline is better).
    """
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    customers: dict[tuple[str, str, str], int] = {}
    for one in records:
        if one["subset"] == "all" and one["value"] is not None:
            key = (str(one["model"]), str(one["snapshot_at"]), str(one["metric"]))
            found.setdefault(key, {})[str(one["method"])] = float(one["value"])
            customers[key] = int(one["n"])
    return [
        {
            "model": model,
            "snapshot_at": date,
            "metric": metric,
            "n": customers[model, date, metric],
            **_gap(found[model, date, metric], metric, higher=higher),
        }
        for (model, date, metric) in sorted(found)
        if (higher := COMPARED.get(model, {}).get(metric)) is not None
        and "champion" in found[model, date, metric]
    ]


def _gap(values: Mapping[str, float], metric: str, *, higher: bool) -> dict[str, Any]:
    def loss(method: str) -> float:
        value = values[method]
        return -value if higher else abs(value) if metric == "bias_pct" else value

    baselines = [m for m in values if m != "champion" and m not in BOUNDS]
    # What could be reached at all comes first: the posterior, where there is one.
    bounds = [m for m in ("posterior", "latent_truth", "sees_latents") if m in values]
    best = min(baselines, key=loss, default=None)
    reached = None
    if best is not None and bounds and loss(best) > loss(bounds[0]):
        way = loss(best) - loss(bounds[0])
        reached = (loss(best) - loss("champion")) / way
    return {
        "champion": values["champion"],
        "baseline": best,
        "baseline_value": None if best is None else values[best],
        **{name: values.get(name) for name in BOUNDS},
        "reached": reached,
    }


def oracle_page(records: Iterable[Mapping[str, Any]]) -> str:
    """The gaps as a Markdown page."""
    head = (
        "| model | date | metric | n | ours | best baseline | posterior | latent truth "
        "| ours, seeing the latents | way reached |"
    )
    lines = [
        "# Beside the truth of the simulation",
        "",
        "Simulated data: no row describes a real person. `latent truth` predicts with the hidden",
        "state of every customer, which nobody can know; `posterior` with the history under the",
        "very model that made it, the best anyone can do; the last column but one is our recipe",
        "with the hidden state among its features. `way reached`: from the best baseline (0 %) to",
        "the best possible (100 %).",
        "",
        head,
        "|---" * 10 + "|",
    ]
    for row in gaps(records):
        reached = "" if row["reached"] is None else f"{row['reached']:.0%}"
        baseline = "" if row["baseline"] is None else f"{_said(row['baseline_value'])} "
        cells = (
            row["model"],
            row["snapshot_at"],
            row["metric"],
            f"{row['n']:,}",
            _said(row["champion"]),
            f"{baseline}({row['baseline']})" if row["baseline"] else "",
            _said(row["posterior"]),
            _said(row["latent_truth"]),
            _said(row["sees_latents"]),
            reached,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _said(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
