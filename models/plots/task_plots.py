"""Plots and tables of a task's test, made from what the models gave there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import pyplot
from matplotlib.figure import Figure as Plot

from features.storage.csv_files import write_csv
from models.evaluation.evaluate import CHAMPION_METHOD, Evaluation, MetricFigure
from models.plots import evaluation_plots
from models.scorer.part import Part


@dataclass(frozen=True)
class Drawn:
    """A figure and the numbers it draws."""

    figure: Plot
    data: pd.DataFrame


def task_figures(result: Evaluation, stages: Sequence[str]) -> dict[str, Drawn]:
    """The plots of one task by name."""
    rows, out = result.test.rows, result.outputs[CHAMPION_METHOD]
    if result.test.task == "churn":
        y, p = rows["no_purchase"].to_numpy(), out["p_churn"]
        return {
            "churn_reliability": Drawn(
                evaluation_plots.reliability(y, p), evaluation_plots.reliability_data(y, p)
            ),
            "churn_gains": Drawn(evaluation_plots.gains(y, p), evaluation_plots.gains_data(y, p)),
        }
    if result.test.task == "clv":
        spend = (rows["spend"].to_numpy(), out["clv"], out["clv_low"], out["clv_high"])
        return {
            "clv_deciles": Drawn(
                evaluation_plots.clv_deciles(*spend), evaluation_plots.clv_deciles_data(*spend)
            )
        }
    if result.test.task == "stage":
        truth = rows["truth_code"].to_numpy().astype(int)
        said = out["probabilities"].argmax(axis=1)
        names = list(stages)
        return {
            "stage_confusion": Drawn(
                evaluation_plots.confusion(truth, said, names),
                evaluation_plots.confusion_data(truth, said, names),
            )
        }
    return _transition_figures(rows, list(stages))


def _transition_figures(rows: pd.DataFrame, names: list[str]) -> dict[str, Drawn]:
    now = rows["stage__code"].to_numpy().astype(int)
    moved = rows["period"].to_numpy() > 0
    then = rows["next_code"].to_numpy().astype(int)
    then[~moved] = now[~moved]
    return {
        "transition_matrix": Drawn(
            evaluation_plots.transition_matrix(now, then, names),
            evaluation_plots.transition_matrix_data(now, then, names),
        ),
        "stage_flow": Drawn(
            evaluation_plots.stage_flow(now, then, names),
            evaluation_plots.stage_flow_data(now, then, names),
        ),
    }


def save_figures(drawn: Mapping[str, Drawn], folder: Path) -> None:
    """Write every plot as ``figures/NAME.png`` and its numbers beside it, and close it."""
    target = folder / "figures"
    target.mkdir(parents=True, exist_ok=True)
    for name, each in drawn.items():
        each.figure.savefig(target / f"{name}.png", dpi=120)
        write_csv(target / f"{name}.csv", each.data)
        pyplot.close(each.figure)


def figures_table(figures: Sequence[MetricFigure]) -> pd.DataFrame:
    """Figures as a table, one row each."""
    return pd.DataFrame([figure.as_dict() for figure in figures])


def inputs(part: Part) -> list[Any]:
    """Names of the features that a part reads."""
    return list(part.parameters.get("columns", part.parameters.get("features", [])))
