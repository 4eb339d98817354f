"""Optional tuning with Optuna, on inner validation only.

A trial changes the settings of a task's trees. Its log loss is measured on the rows that stop the
recipe early: for churn held-out customers, fold by fold; for current stage and next transition the
latest matured snapshot. Trial 0 is the recipe itself, so the gain is over the recipe. The gate is
not used; the best of many trials overstates its gain, so report the gain measured at the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from features.config.tasks import Tune
from features.errors import UserError
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

_STEP = 20  # rounds between two reports of a trial
ReportLoss = Callable[[float, int], None]
_Objective = Callable[[Mapping[str, Any], ReportLoss], float]


@dataclass(frozen=True)
class TuningTrial:
    """One trial: its settings, and its loss (None if it was pruned)."""

    number: int
    settings: dict[str, Any]
    loss: float | None


@dataclass(frozen=True)
class TuningResult:
    """Result of tuning.

    Attributes
    ----------
    settings
        Settings of the best trial; empty if that is the recipe.
    recipe_loss, best_loss
        Log loss on inner validation.
    trials
        All trials, the recipe first.
    """

    settings: dict[str, Any]
    recipe_loss: float
    best_loss: float
    trials: tuple[TuningTrial, ...]


@dataclass(frozen=True)
class TuningProblem:
    """What tuning searches: the loss of some settings, those of the recipe, and their bounds."""

    objective: _Objective
    recipe_settings: dict[str, Any]
    search_space: dict[str, tuple[float, float, str]]


def tune(problem: TuningProblem, budget: Tune, *, seed: int) -> TuningResult:
    """Search the best settings of a task's trees within a budget.

    Parameters
    ----------
    problem
        From `models.tasks.task.Task.tuning_problem`.
    budget
        Limits on trials and minutes; the first one reached ends the search.
    seed
        Seed of the sampler. The same seed tries the same settings unless the minutes run out.

    Raises
    ------
    UserError
        If Optuna is not installed.
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
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0),
    )
    study.enqueue_trial(problem.recipe_settings)

    def run(optuna_trial: Any) -> float:
        settings = {
            name: _suggest(optuna_trial, name, *bounds)
            for name, bounds in problem.search_space.items()
        }

        def report(loss: float, round_number: int) -> None:
            optuna_trial.report(loss, round_number)
            if optuna_trial.number and optuna_trial.should_prune():
                raise optuna.TrialPruned

        return problem.objective(settings, report)

    study.optimize(run, n_trials=budget.trials, timeout=60.0 * budget.minutes)
    completed = optuna.trial.TrialState.COMPLETE
    trials = tuple(
        TuningTrial(t.number, dict(t.params), t.value if t.state == completed else None)
        for t in study.trials
    )
    losses = {trial.number: trial.loss for trial in trials if trial.loss is not None}
    best_number = min(losses, key=lambda number: (losses[number], number))
    settings = trials[best_number].settings if best_number else {}
    return TuningResult(settings, losses[0], losses[best_number], trials)


def _suggest(trial: Any, name: str, low: float, high: float, kind: str) -> float | int:
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
}
_MULTICLASS = {
    "learning_rate": (0.03, 0.2, "log"),
    "num_leaves": (3, 31, "int"),
    "feature_fraction": (0.05, 0.6, "float"),
    "bagging_fraction": (0.2, 0.9, "float"),
    "lambda_l2": (1.0, 60.0, "log"),
}


def churn_problem(data: TrainingSet, *, seed: int, threads: int) -> TuningProblem | None:
    """Settings of the churn trees by log loss on held-out customers; None with too few."""
    frame = data.frame[data.frame["no_purchase"].notna()]
    frame = derive_each(sample_customers(frame, TwoClassRecipe(), seed=seed), data.contexts)
    frame = frame.reset_index(drop=True)
    target = frame["no_purchase"].to_numpy(dtype=np.float64)
    columns = strong_of_two(frame, varying_columns(frame), target, seed=seed, threads=threads)
    if not columns or min(target.sum(), len(target) - target.sum()) < 2 * MIN_CUSTOMERS:
        return None

    def objective(settings: Mapping[str, Any], report: ReportLoss) -> float:
        recipe = replace(TwoClassRecipe(), **settings)
        losses: list[float] = []
        folds = predict_fold_by_fold(frame, columns, target, recipe, seed=seed, threads=threads)
        for number, fold in enumerate(folds):
            logits = fold.mixed(recipe.linear_weight)
            losses.append(metrics.log_loss(target[fold.rows], sigmoid(logits)))
            report(float(np.mean(losses)), number)
        return float(np.mean(losses))

    default_recipe = TwoClassRecipe()
    return TuningProblem(objective, {n: getattr(default_recipe, n) for n in _CHURN}, _CHURN)


def class_problem(
    data: TrainingSet,
    targets: Callable[[pd.DataFrame], Array],
    class_count: int,
    *,
    seed: int,
    threads: int,
) -> TuningProblem | None:
    """Settings of trees of several classes by log loss at the latest matured snapshot.

    Parameters
    ----------
    data
        Matured snapshots.
    targets
        Class of every row of a training frame.
    class_count
        Number of classes.
    seed, threads
        Of the trees.
    """
    frame = thin_customers(data.frame)
    rows, target = split_rows(frame, data.validation_at), targets(frame)
    derived, columns = derived_inputs(frame, data.contexts)
    if not columns or frame["customer_id"].nunique() < MIN_CUSTOMERS:
        return None
    shared_settings: dict[str, Any] = {"seed": seed, "threads": threads}
    columns = select_class_columns(derived, columns, [(target, rows.fit)], **shared_settings)
    features = matrix(derived, columns)
    inputs = tree_inputs(
        features,
        target,
        rows,
        classes=frequent_classes(target[rows.fit], class_count),
        **shared_settings,
    )
    if inputs is None:
        return None
    recipe_settings = {name: MULTICLASS_SETTINGS[name] for name in _MULTICLASS}
    return TuningProblem(_stopping_objective(inputs), recipe_settings, _MULTICLASS)


def _stopping_objective(inputs: TreeInputs) -> _Objective:
    """Log loss on the validation rows, which stop the fit; reported every `_STEP` rounds."""

    def objective(settings: Mapping[str, Any], report: ReportLoss) -> float:
        def look(env: Any) -> None:
            if env.iteration % _STEP == _STEP - 1:
                report(float(env.evaluation_result_list[0][2]), env.iteration)

        trial_inputs = replace(inputs, settings={**inputs.settings, **settings})
        booster = trial_inputs.before(look)
        return float(next(iter(booster.best_score["valid_0"].values())))

    return objective
