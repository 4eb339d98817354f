"""Plots and tables of a task's test, from the outputs of its models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from models.tasks.task import Outputs


@dataclass(frozen=True)
class DrawnFigure:
    """A plot and the table it draws."""

    figure: Plot
    data: pd.DataFrame


def task_figures(result: Evaluation, stages: Sequence[str]) -> dict[str, DrawnFigure]:
    """Plots of one task by name."""
    draw = _FIGURES[result.test.task]
    return draw(result.test.rows, result.outputs[CHAMPION_METHOD], list(stages))


def _churn_figures(rows: pd.DataFrame, outputs: Outputs, _: list[str]) -> dict[str, DrawnFigure]:
    target, probability = rows["no_purchase"].to_numpy(), outputs["p_churn"]
    return {
        "churn_reliability": DrawnFigure(
            evaluation_plots.plot_reliability(target, probability),
            evaluation_plots.reliability_data(target, probability),
        ),
        "churn_gains": DrawnFigure(
            evaluation_plots.plot_gains(target, probability),
            evaluation_plots.gains_data(target, probability),
        ),
    }


def _clv_figures(rows: pd.DataFrame, outputs: Outputs, _: list[str]) -> dict[str, DrawnFigure]:
    spend = (rows["spend"].to_numpy(), outputs["clv"], outputs["clv_low"], outputs["clv_high"])
    return {
        "clv_deciles": DrawnFigure(
            evaluation_plots.plot_clv_deciles(*spend), evaluation_plots.clv_deciles_data(*spend)
        )
    }


def _stage_figures(
    rows: pd.DataFrame, outputs: Outputs, names: list[str]
) -> dict[str, DrawnFigure]:
    truth = rows["truth_code"].to_numpy().astype(int)
    predicted = outputs["probabilities"].argmax(axis=1)
    return {
        "stage_confusion": DrawnFigure(
            evaluation_plots.plot_confusion(truth, predicted, names),
            evaluation_plots.confusion_data(truth, predicted, names),
        )
    }


def _transition_figures(rows: pd.DataFrame, _: Outputs, names: list[str]) -> dict[str, DrawnFigure]:
    current_stage = rows["stage__code"].to_numpy().astype(int)
    has_moved = rows["period"].to_numpy() > 0
    next_stage = rows["next_code"].to_numpy().astype(int)
    next_stage[~has_moved] = current_stage[~has_moved]
    return {
        "transition_matrix": DrawnFigure(
            evaluation_plots.plot_transition_matrix(current_stage, next_stage, names),
            evaluation_plots.transition_matrix_data(current_stage, next_stage, names),
        ),
        "stage_flow": DrawnFigure(
            evaluation_plots.plot_stage_flow(current_stage, next_stage, names),
            evaluation_plots.stage_flow_data(current_stage, next_stage, names),
        ),
    }


_FIGURES: dict[str, Callable[[pd.DataFrame, Outputs, list[str]], dict[str, DrawnFigure]]] = {
    "stage": _stage_figures,
    "transition": _transition_figures,
    "churn": _churn_figures,
    "clv": _clv_figures,
}


def save_figures(drawn: Mapping[str, DrawnFigure], folder: Path) -> None:
    """Write each plot as ``figures/NAME.png`` and its table as ``figures/NAME.csv``; close it."""
    figure_folder = folder / "figures"
    figure_folder.mkdir(parents=True, exist_ok=True)
    for name, plot in drawn.items():
        plot.figure.savefig(figure_folder / f"{name}.png", dpi=120)
        write_csv(figure_folder / f"{name}.csv", plot.data)
        pyplot.close(plot.figure)


def figures_table(figures: Sequence[MetricFigure]) -> pd.DataFrame:
    """Figures as a table, one row a figure."""
    return pd.DataFrame([figure.as_dict() for figure in figures])


def part_features(part: Part) -> list[Any]:
    """Names of the features that a part uses."""
    return list(part.parameters.get("columns", part.parameters.get("features", [])))
