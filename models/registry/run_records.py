"""What MLflow shows of a training: names of metrics, headlines, and parameters of the recipes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from features.config.config import Config
from models.evaluation.evaluate import CHAMPION_METHOD, MetricFigure
from models.evaluation.means_over_origins import OriginMean
from models.metrics.shown_metrics import DECIDING_METRIC, SHOWN_METRICS
from models.scorer.part import Part
from models.tasks.all_tasks import TASKS

SERVED = "served"  # the served recipe in metrics that are compared between trainings
BEST_BASELINE = "best_baseline"
# Settings of boosted trees that a reader compares between trainings.
_TREE_SETTINGS = (
    *("objective", "learning_rate", "num_leaves", "max_depth", "min_data_in_leaf"),
    *("lambda_l1", "lambda_l2", "feature_fraction", "bagging_fraction", "linear_tree", "seed"),
)
_SHORT = 8  # entries of a list that is shown as a parameter


def recipe_name(part: Part) -> str:
    """Name of the recipe that a part serves, such as ``blend``, ``btyd`` or ``trees``.

    A recipe that chooses between methods names its choice in its report; of others it is the
    method with the largest weight, or ``blend`` if several have the same.
    """
    report = part.parameters.get("report", {})
    if "served" in report:
        return str(report["served"])
    weights: Mapping[str, float] = part.parameters.get("weights", {})
    heaviest = [name for name, weight in weights.items() if weight == max(weights.values())]
    return heaviest[0] if len(heaviest) == 1 else "blend"


def metric_key(figure: MetricFigure | OriginMean, served: str = SERVED) -> str:
    """``task/method/metric``, or ``task/method/group/metric`` for a group of customers.

    Parameters
    ----------
    figure
        The figure.
    served
        Name of the served recipe, which the record itself calls ``champion`` even before any
        promotion.
    """
    method = served if figure.method == CHAMPION_METHOD else figure.method
    groups = () if figure.subset == "all" else (figure.subset,)
    return "/".join(_allowed(name) for name in (figure.model, method, *groups, figure.metric))


def metrics_by_key(figures: Sequence[MetricFigure], served: str = SERVED) -> dict[str, float]:
    """Known values of figures by `metric_key`.

    A served recipe with the name of a baseline has ``_served`` behind its name: both were
    measured, and their values may differ.
    """
    name = f"{served}_{SERVED}" if served in {figure.method for figure in figures} else served
    return {
        metric_key(figure, name): figure.value for figure in figures if figure.value is not None
    }


def best_baselines(figures: Iterable[MetricFigure]) -> dict[str, str]:
    """Baseline with the smallest deciding loss on all customers, by model.

    Models without a measured baseline are left out.
    """
    losses: dict[str, dict[str, float]] = {}
    for figure in figures:
        if (
            figure.metric == DECIDING_METRIC.get(figure.model)
            and (figure.subset, figure.value is None) == ("all", False)
            and figure.method != CHAMPION_METHOD
        ):
            losses.setdefault(figure.model, {})[figure.method] = float(figure.value or 0.0)
    return {
        model: min(of_methods, key=of_methods.__getitem__) for model, of_methods in losses.items()
    }


def headline_metrics(figures: Sequence[MetricFigure]) -> dict[str, float]:
    """The few metrics of the training as a whole, under keys that are the same in every training.

    ``task/served/metric`` and ``task/best_baseline/metric`` of the headline metrics on all
    customers; the best baseline is chosen by the deciding loss, one for all metrics.
    """
    names = {CHAMPION_METHOD: SERVED}
    chosen = best_baselines(figures)
    headlines = {}
    for figure in figures:
        shown = SHOWN_METRICS.get(figure.model)
        if shown is None or figure.subset != "all" or figure.value is None:
            continue
        if figure.metric in shown.headline:
            method = names.get(figure.method)
            if figure.method == chosen.get(figure.model):
                method = BEST_BASELINE
            if method is not None:
                headlines[f"{figure.model}/{method}/{figure.metric}"] = figure.value
    return headlines


def recipe_parameters(part: Part, config: Config) -> dict[str, Any]:
    """Parameters of a task's recipe: its config, the served method, its weights and its trees.

    Keys are plain (``horizon_days``, ``recipe``, ``weight.btyd``, ``trees.num_leaves``). A setting
    that differs between the boosters of a part has the booster's name in its key.
    """
    section = getattr(config, part.name, None) if part.name in TASKS else None
    declared = {} if section is None else flat_parameters(section.model_dump(by_alias=True))
    weights: Mapping[str, float] = part.parameters.get("weights", {})
    columns = part.parameters.get("columns", part.parameters.get("features", ()))
    return {
        **declared,
        "recipe": recipe_name(part),
        "why": part.parameters.get("report", {}).get("why", ""),
        "features": len(columns),
        **{f"weight.{name}": round(weight, 6) for name, weight in weights.items()},
        **_tree_parameters(part),
    }


def _tree_parameters(part: Part) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for setting in _TREE_SETTINGS:
        values = {
            name: booster.params[setting]
            for name, booster in part.boosters.items()
            if setting in booster.params
        }
        if len({str(value) for value in values.values()}) == 1:
            parameters[f"trees.{setting}"] = next(iter(values.values()))
        else:
            parameters |= {f"trees.{name}.{setting}": value for name, value in values.items()}
    rounds = {name: booster.num_trees() for name, booster in part.boosters.items()}
    return parameters | {f"trees.{name}.number": count for name, count in rounds.items()}


def flat_parameters(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level, joined by points; long lists and missing values left out."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flat_parameters(value, f"{name}.")
        elif isinstance(value, list | tuple):
            if 0 < len(value) <= _SHORT:
                flat[name] = ", ".join(str(entry) for entry in value)
        elif value is not None:
            flat[name] = value
    return flat


def _allowed(name: str) -> str:
    """A name with only the characters that MLflow allows between the slashes of a metric."""
    return "".join(sign if sign.isalnum() or sign in "_-. " else "_" for sign in name)
