"""Fit the served recipe of a task to its training set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from features.config.config import Config
from features.errors import UserError
from models.fitting.binary_ensemble import TwoClassRecipe
from models.fitting.training_set import TrainingSet
from models.scorer.part import Part
from models.tasks.churn import fit_churn
from models.tasks.clv import fit_clv
from models.tasks.stage import fit_stage
from models.tasks.stage_from_crm import fit_recorded_stage
from models.tasks.transition import fit_transition


def fit_task(
    data: TrainingSet,
    config: Config,
    stages: list[str],
    *,
    threads: int,
    settings: Mapping[str, Any] | None = None,
) -> Part:
    """Fit the served recipe of a task.

    Parameters
    ----------
    data
        From `training_set`.
    config
        Horizons and seed.
    stages
        Stage names by code.
    threads
        Processors to use; the result does not depend on it.
    settings
        Tuned settings of the trees that replace the recipe's own (see `models.tasks.tuning`).

    Raises
    ------
    UserError
        If the data cannot train the task, for example with one class or without buyers.
    """
    if data.task == "churn":
        _require_two_classes(data)
    try:
        return _fit(data, config, stages, threads, settings or {})
    except ValueError as error:
        raise UserError(
            f"{data.task}: training",
            found=str(error),
            expected="matured snapshots from which this model can learn",
            hint="bring more history or customers, or change the task's horizon or grid",
        ) from error


def _fit(
    data: TrainingSet, config: Config, stages: list[str], threads: int, settings: Mapping[str, Any]
) -> Part:
    shared_settings: dict[str, Any] = {
        "validation_at": data.validation_at,
        "seed": config.seed,
        "threads": threads,
    }
    if data.task == "churn":
        return fit_churn(
            data.frame,
            data.contexts,
            horizon_days=config.churn.horizon_days,
            activity_days=config.activity_days,
            by=config.churn.by,
            recipe=replace(TwoClassRecipe(), calibration=config.churn.calibration, **settings),
            at_validation=data.at_validation,
            at_origin=data.at_origin,
            **shared_settings,
        )
    if data.task == "clv":
        return fit_clv(
            data.frame,
            data.contexts,
            at_origin=data.at_origin,
            horizon_days=config.clv.horizon_days,
            margin=config.clv.margin,
            **shared_settings,
        )
    if data.task == "stage":
        return _fit_stage(data, config, stages, shared_settings | {"settings": settings})
    return fit_transition(
        data.frame,
        data.contexts,
        stages=stages,
        periods=config.transition.periods,
        period_days=config.transition.period_days,
        fits=config.transition.fits,
        settings=settings,
        **shared_settings,
    )


def _fit_stage(
    data: TrainingSet, config: Config, stages: list[str], shared_settings: Mapping[str, Any]
) -> Part:
    fit_recipe = fit_recorded_stage if config.stage.truth == "history" else fit_stage
    part = fit_recipe(data.frame, data.contexts, stages=stages, **shared_settings)
    if config.stage.late_days:
        # At prediction the part needs the features known so many days before.
        part.parameters["late_days"] = config.stage.late_days
    return part


def _require_two_classes(data: TrainingSet) -> None:
    outcomes = data.frame["no_purchase"].unique()
    if len(outcomes) < 2:
        behaviour = "bought again" if 0.0 in outcomes else "stayed away"
        raise UserError(
            "churn: labels",
            found=f"one class only: all {len(data.frame)} eligible customers {behaviour} within "
            "the horizon",
            expected="some customers who bought within churn.horizon_days and some who did not",
            hint="change churn.horizon_days or activity_days, or bring more history",
        )
