"""Effects of an experiment from elsewhere: two or more arms, each against the control arm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from campaigns.answers import with_answers
from campaigns.effects.comparison import capped_covariates, compared
from campaigns.effects.sample_ratio import joint_sample_ratio_p_value, sample_ratios_by_wave
from campaigns.effects.two_arms import TwoArms, strata_of_waves
from features.errors import UserError

ARM, OUTCOME, WAVE, CONTROL_SHARE = "arm", "outcome", "entered_at", "control_share"
_NO_COVARIATES = (ARM, OUTCOME, WAVE, CONTROL_SHARE, "customer_id")


def read_experiment(file: Path, *, control: str) -> pd.DataFrame:
    """People of an experiment from a CSV file, one row each.

    Columns: ``arm``, ``outcome`` (0 or 1, or money), if there are waves ``entered_at``, if known
    the planned ``control_share`` against each other arm; every other column of numbers is a
    covariate that was known before the draw, except ``customer_id``.

    Raises
    ------
    UserError
        If the file cannot be read, lacks arm or outcome, or has no control arm.
    """
    try:
        people = pd.read_csv(file, dtype={ARM: str})
    except (OSError, UnicodeError, ValueError) as error:
        raise UserError(
            str(file), found=str(error).splitlines()[0], expected="a CSV file with a header"
        ) from error
    missing = [name for name in (ARM, OUTCOME) if name not in people]
    if missing:
        raise UserError(
            str(file),
            found=f"no column {missing[0]}",
            expected="the columns arm and outcome",
            hint="rename the columns of the file",
        )
    if not pd.api.types.is_numeric_dtype(people[OUTCOME]):
        raise UserError(f"{file}: outcome", found="text", expected="0 or 1, or an amount of money")
    arms = sorted(people[ARM].dropna().unique())
    if control not in arms or len(arms) < 2:
        raise UserError(
            f"{file}: arm",
            found=", ".join(arms[:10]) or "no arm",
            expected=f"the control arm {control!r} and at least one other arm",
            hint="name the control arm with --control",
        )
    return people[people[ARM].notna() & people[OUTCOME].notna()].reset_index(drop=True)


def experiment_effects(people: pd.DataFrame, *, control: str, seed: int) -> pd.DataFrame:
    """Effect of every arm against the control arm.

    Returns
    -------
    DataFrame
        arm, n_treatment, n_control, the cells of `campaigns.effects.comparison.compared`,
        sample_ratio_p, and q_value and answer over all arms.
    """
    covariates = [name for name in people.select_dtypes("number") if name not in _NO_COVARIATES]
    is_share = bool(people[OUTCOME].isin([0, 1]).all())
    effect_rows = []
    for arm in sorted(set(people[ARM]) - {control}):
        rows = people[people[ARM].isin([arm, control])]
        treated = rows[ARM] == arm
        wave = rows[WAVE] if WAVE in rows else pd.Series("", index=rows.index)
        share = rows[CONTROL_SHARE] if CONTROL_SHARE in rows else pd.Series(0.0, index=rows.index)
        strata = strata_of_waves(wave, share, treated)
        known = None if is_share else capped_covariates(rows[covariates])
        cells = compared(
            TwoArms.of(rows[OUTCOME], treated, strata, known), is_share=is_share, seed=seed
        )
        effect_rows.append(
            {
                "arm": arm,
                "n_treatment": int(treated.sum()),
                "n_control": int((~treated).sum()),
                **cells,
                "people_needed": np.nan,
                "answer_expected_at": pd.NaT,
                "sample_ratio_p": joint_sample_ratio_p_value(
                    sample_ratios_by_wave(wave, share, treated)
                ),
            }
        )
    effects = with_answers(pd.DataFrame(effect_rows))
    return effects.drop(columns=["people_needed", "answer_expected_at"])
