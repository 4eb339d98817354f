"""Optional tuning with Optuna, on inner validation only.

A trial changes the settings of a task's trees. It is judged by log loss where the recipe itself
stops early: churn on held-out customers, fold by fold; current stage and next transition on the
latest matured snapshot. The recipe is trial 0, so that a gain is one over it, and the gate is never
looked at. The best of many trials flatters itself: what is told of the gain beside is the gate's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from features.config.tasks import Tune
from features.errors import UserError
from models.baselines.transition_baselines import cells
from models.fitting.binary_ensemble import (
    TwoClassRecipe,
    predict_fold_by_fold,
    sample_customers,
    varying_columns,
)
from models.fitting.binary_ensemble import select_binary_columns as strong_of_two
from models.fitting.multiclass_trees import (
    MIN_CUSTOMERS,
    MULTICLASS_SETTINGS,
    TreeInputs,
    derived_inputs,
    frequent_classes,
    select_class_columns,
    split_rows,
    thin_customers,
    tree_inputs,
)
from models.fitting.training_set import TrainingSet
from models.metrics import metrics
from models.scorer.derived_features import derive_each
from models.scorer.linear_model import matrix, sigmoid
from models.tasks.stage import label_codes

_STEP = 20  # rounds between two looks at a trial
TUNED = ("churn", "stage", "transition")
Report = Callable[[float, int], None]
_Objective = Callable[[Mapping[str, Any], Report], float]


@dataclass(frozen=True)
class Trial:
    """One trial: its settings, and its loss (None where it was pruned)."""

    number: int
    settings: dict[str, Any]
    loss: float | None


@dataclass(frozen=True)
class Tuned:
    """What tuning found.

    Attributes
    ----------
    settings
        Of the best trial; empty where that is the recipe.
    recipe_loss, best_loss
        Log loss on inner validation.
    trials
        All of them, the recipe first.
    """

    settings: dict[str, Any]
    recipe_loss: float
    best_loss: float
    trials: tuple[Trial, ...]


def tune(
    data: TrainingSet, budget: Tune, *, stages: list[str], seed: int, threads: int
) -> Tuned | None:
    """The best settings of a task's trees within a budget; None where there are none to tune.

    Parameters
    ----------
    data
        Matured snapshots of churn, stage or transition.
    budget
        Trials and minutes; what runs out first ends the search.
    stages
        Stage names by code.
    seed, threads
        Seed of sampler and models, and threads. The same seed tries the same settings as long as
        the minutes suffice.

    Raises
    ------
    UserError
        Where Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            "tune",
            found="no Optuna in this environment",
            expected="the extra that tuning needs",
            hint="pip install 'stagecast[tune]', or leave `tune` out of the config",
        ) from error
    objective, recipe, space = _task(data, stages, seed, threads)
    if objective is None:
        return None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0),
    )
    study.enqueue_trial(recipe)

    def run(trial: Any) -> float:
        settings = {name: _suggested(trial, name, *bounds) for name, bounds in space.items()}

        def report(loss: float, step: int) -> None:
            trial.report(loss, step)
            if trial.number and trial.should_prune():
                raise optuna.TrialPruned

        return objective(settings, report)

    study.optimize(run, n_trials=budget.trials, timeout=60.0 * budget.minutes)
    complete = optuna.trial.TrialState.COMPLETE
    trials = tuple(
        Trial(t.number, dict(t.params), t.value if t.state == complete else None)
        for t in study.trials
    )
    losses = {trial.number: trial.loss for trial in trials if trial.loss is not None}
    best = min(losses, key=lambda number: (losses[number], number))
    settings = trials[best].settings if best else {}
    return Tuned(settings, losses[0], losses[best], trials)


def _suggested(trial: Any, name: str, low: float, high: float, kind: str) -> float | int:
    if kind == "int":
        return int(trial.suggest_int(name, int(low), int(high), log=True))
    return float(trial.suggest_float(name, low, high, log=kind == "log"))


# -------------------------------------------------------------------------------------- the tasks

_CHURN = {
    "learning_rate": (0.01, 0.1, "log"),
    "leaves": (4, 63, "int"),
    "min_data": (20, 300, "int"),
    "feature_fraction": (0.1, 0.9, "float"),
    "bagging_fraction": (0.3, 1.0, "float"),
    "l2": (0.5, 50.0, "log"),
    "linear_weight": (0.0, 0.9, "float"),
}
_MULTICLASS = {
    "learning_rate": (0.03, 0.2, "log"),
    "num_leaves": (3, 31, "int"),
    "feature_fraction": (0.05, 0.6, "float"),
    "bagging_fraction": (0.2, 0.9, "float"),
    "lambda_l2": (1.0, 60.0, "log"),
}


def _task(
    data: TrainingSet, stages: list[str], seed: int, threads: int
) -> tuple[_Objective | None, dict[str, Any], dict[str, tuple[float, float, str]]]:
    """Objective (None: nothing to tune), the recipe's settings, and the space searched."""
    if data.task == "churn":
        plain = TwoClassRecipe()
        return _churn(data, seed, threads), {n: getattr(plain, n) for n in _CHURN}, _CHURN
    recipe = {name: MULTICLASS_SETTINGS[name] for name in _MULTICLASS}
    inputs = _multiclass(data, stages, seed, threads)
    return (None if inputs is None else _stopping(inputs)), recipe, _MULTICLASS


def _churn(data: TrainingSet, seed: int, threads: int) -> _Objective | None:
    frame = data.frame[data.frame["no_purchase"].notna()]
    frame = derive_each(sample_customers(frame, TwoClassRecipe(), seed=seed), data.contexts)
    frame = frame.reset_index(drop=True)
    y = frame["no_purchase"].to_numpy(dtype=np.float64)
    columns = strong_of_two(frame, varying_columns(frame), y, seed=seed, threads=threads)
    if not columns or min(y.sum(), len(y) - y.sum()) < 2 * MIN_CUSTOMERS:
        return None

    def objective(settings: Mapping[str, Any], report: Report) -> float:
        recipe = replace(TwoClassRecipe(), **settings)
        losses: list[float] = []
        folds = predict_fold_by_fold(frame, columns, y, recipe, seed=seed, threads=threads)
        for number, (rows, logit, _) in enumerate(folds):
            losses.append(metrics.log_loss(y[rows], sigmoid(logit)))
            report(float(np.mean(losses)), number)
        return float(np.mean(losses))

    return objective


def _multiclass(data: TrainingSet, stages: list[str], seed: int, threads: int) -> TreeInputs | None:
    """What the step under tuning is fitted on: the current stage, or where the next move goes."""
    frame = thin_customers(data.frame)
    rows = split_rows(frame, data.validation_at)
    if data.task == "stage":
        y, classes = label_codes(frame["truth_code"], len(stages)), len(stages)
    else:
        periods = int(max(frame["period"].max(), 1))
        cell = cells(frame, stages=len(stages), periods=periods)
        y, classes = np.minimum(cell // periods, len(stages)), len(stages) + 1
    inputs, columns = derived_inputs(frame, data.contexts)
    if not columns or frame["customer_id"].nunique() < MIN_CUSTOMERS:
        return None
    shared: dict[str, Any] = {"seed": seed, "threads": threads}
    columns = select_class_columns(inputs, columns, [(y, rows.fit)], **shared)
    x = matrix(inputs, columns)
    return tree_inputs(x, y, rows, classes=frequent_classes(y[rows.fit], classes), **shared)


def _stopping(inputs: TreeInputs) -> _Objective:
    """Log loss on the validation rows, where the fit stops; told every `_STEP` rounds."""

    def objective(settings: Mapping[str, Any], report: Report) -> float:
        def look(env: Any) -> None:
            if env.iteration % _STEP == _STEP - 1:
                report(float(env.evaluation_result_list[0][2]), env.iteration)

        tried = replace(inputs, settings={**inputs.settings, **settings})
        booster = tried.before(look)
        return float(next(iter(booster.best_score["valid_0"].values())))

    return objective
