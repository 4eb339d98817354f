"""Results of an experiment from elsewhere: `stagecast measure --experiment FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from flows.setup.experiment_file import ExperimentFile


def measure_experiment(
    file: Path, control: str, covariates: Sequence[str], per: str | None, json_file: Path | None
) -> None:
    """Measure an experiment, and say what a reader of its results should know.

    Raises
    ------
    UserError
        If the file cannot be measured (`flows.setup.experiment_file.read_experiment`), or no arm
        can be compared with the control arm.
    """
    from campaigns.experiment_effects import experiment_effects
    from features.errors import UserError
    from flows.services.console import deliver_result, json_rows, step, warn
    from flows.setup.experiment_file import read_experiment

    experiment = read_experiment(file, control=control, covariates=covariates, per=per)
    measured = experiment_effects(experiment.people, control=experiment.control, seed=0)
    if measured.effects.empty:
        raise UserError(
            file.name,
            found="; ".join(measured.not_compared.values()),
            expected="an arm that can be compared with the control arm",
        )
    warnings = [*experiment.warnings]
    warnings += [f"arm {arm} is left out: {why}" for arm, why in measured.not_compared.items()]
    warnings += [
        f"{count:,} people of {arm} and {experiment.control} are left out: on their days people "
        "entered only one of the two arms"
        for arm, count in measured.people_left_out.items()
    ]
    invalid = measured.effects[measured.effects["answer"] == "not valid"]
    warnings += [
        f"arm {row.arm}: {row.n_treatment:,} people and {row.n_control:,} in "
        f"{experiment.control} contradict control_share (p = {row.sample_ratio_p:.1g}): people are "
        "missing, or were not drawn at random; do not trust the effect"
        for row in invalid.itertuples()
    ]
    for warning in warnings:
        warn(warning)
    if experiment.covariates:
        step(f"covariates: {', '.join(experiment.covariates)}")
    if experiment.other_columns:
        names = ", ".join(experiment.other_columns)
        step(f"columns not used: {names} (if known before the draw: --covariate NAME)")
    deliver_result(
        {
            "effects": json_rows(measured.effects),
            "covariates": list(experiment.covariates),
            "warnings": warnings,
        },
        json_file,
        lambda: _print_effects(measured.effects, experiment, per),
    )


def _print_effects(effects: pd.DataFrame, experiment: ExperimentFile, per: str | None) -> None:
    """Print the arms, the effect of each but control, and the test of their sizes."""
    from flows.services.console import console, interval_text, print_table, short_number

    first = next(effects.itertuples())
    arm_rows: list[tuple[object, ...]] = [
        (experiment.control, int(first.n_control), short_number(first.mean_control), *["-"] * 3, "")
    ]
    arm_rows += [
        (
            row.arm, int(row.n_treatment),
            short_number(row.mean_treatment), short_number(row.difference),
            interval_text(row.low, row.high), interval_text(row.low_any_time, row.high_any_time),
            row.answer,
        )
        for row in effects.itertuples()
    ]  # fmt: skip
    header = ["arm", "people", "mean", "effect", "95 % interval", "if read daily", "answer"]
    unit = "per person" if per is None else f"per {per}"
    print_table(f"Outcome {unit}, each arm against {experiment.control}", header, arm_rows)
    p_values = {row.arm: row.sample_ratio_p for row in effects.itertuples()}
    listed = ", ".join(f"{arm} p = {p:.2g}" for arm, p in p_values.items() if p == p)
    if listed:
        console.print(f"sizes of the arms against the planned draw: {listed}", highlight=False)
    if experiment.covariates or experiment.people.wave.nunique() > 1:
        console.print(
            "The effect compares people of the same days, without what the covariates explain: it "
            "may differ from the difference of the means.",
            highlight=False,
        )
