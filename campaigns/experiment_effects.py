"""Effects of an experiment from elsewhere: two or more arms, each against the control arm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from campaigns.answers import with_answers
from campaigns.effects.comparison import capped_covariates, compared, compared_ratios
from campaigns.effects.sample_ratio import joint_sample_ratio_p_value, sample_ratios_by_wave
from campaigns.effects.two_arms import TwoArms, people_compared, strata_of_waves

# Below this p-value (over all columns together) a column differs between arms that were drawn.
_UNBALANCED = 0.001


@dataclass(frozen=True)
class ExperimentPeople:
    """People of an experiment; all columns have one row per person.

    Attributes
    ----------
    arm, outcome
        Arm, and what is compared (0 or 1, or money).
    wave
        Day of entry as text; empty if unknown.
    control_share
        Planned share of control, against each other arm; 0 if unknown.
    covariates
        Numbers that were known before the draw; null: unknown.
    denominator
        What the outcome is divided by, such as orders; None: the outcome is compared itself.
    """

    arm: pd.Series[str]
    outcome: pd.Series[float]
    wave: pd.Series[str]
    control_share: pd.Series[float]
    covariates: pd.DataFrame
    denominator: pd.Series[float] | None = None

    def in_arms(self, first: str, second: str) -> ExperimentPeople:
        """Only the people of two arms."""
        inside = self.arm.isin([first, second])
        return ExperimentPeople(
            self.arm[inside],
            self.outcome[inside],
            self.wave[inside],
            self.control_share[inside],
            self.covariates[inside],
            None if self.denominator is None else self.denominator[inside],
        )


def unbalanced_columns(covariates: pd.DataFrame, arm: pd.Series[str]) -> list[str]:
    """Columns that differ between the arms by more than a draw explains.

    They were probably measured afterwards: adjusting for them would take the effect away.
    Kruskal-Wallis on values, and on whether they are known; p below .001 over all columns
    together (Bonferroni).
    """
    unbalanced = []
    for name in covariates:
        values = covariates[name].astype(float)
        p_values = [
            _same_distribution([part.dropna() for _, part in values.groupby(arm)]),
            _same_distribution([part.isna().astype(float) for _, part in values.groupby(arm)]),
        ]
        if min(p_values) * len(p_values) * covariates.shape[1] < _UNBALANCED:
            unbalanced.append(str(name))
    return unbalanced


def _same_distribution(parts: list[pd.Series[float]]) -> float:
    """P-value that the parts have one distribution; 1 if nothing can differ."""
    filled = [part for part in parts if len(part)]
    if len(filled) < 2 or pd.concat(filled).nunique() < 2:
        return 1.0
    return float(stats.kruskal(*filled).pvalue)


def experiment_effects(people: ExperimentPeople, *, control: str, seed: int) -> pd.DataFrame:
    """Effect of every arm against the control arm.

    Returns
    -------
    DataFrame
        arm, n_treatment, n_control, the cells of `campaigns.effects.comparison.compared` (of
        ratios: by the delta method), sample_ratio_p, and q_value and answer over all arms. A pair
        of arms without a ratio is left out.
    """
    is_share = people.denominator is None and bool(people.outcome.isin([0, 1]).all())
    effect_rows = []
    for arm in sorted(set(people.arm) - {control}):
        pair = people.in_arms(arm, control)
        treated = pair.arm == arm
        strata = strata_of_waves(pair.wave, pair.control_share, treated)
        known = None if is_share else capped_covariates(pair.covariates)
        arms = TwoArms.of(pair.outcome, treated, strata, known)
        if pair.denominator is None:
            cells = compared(arms, is_share=is_share, seed=seed)
        else:
            inside = people_compared(treated.to_numpy(dtype=bool), strata)
            ratio_cells = compared_ratios(arms, pair.denominator.to_numpy()[inside], seed=seed)
            if ratio_cells is None:
                continue
            cells = ratio_cells
        effect_rows.append(
            {
                "arm": arm,
                "n_treatment": int(treated.sum()),
                "n_control": int((~treated).sum()),
                **cells,
                "people_needed": np.nan,
                "answer_expected_at": pd.NaT,
                "sample_ratio_p": joint_sample_ratio_p_value(
                    sample_ratios_by_wave(pair.wave, pair.control_share, treated)
                ),
            }
        )
    if not effect_rows:
        return pd.DataFrame()
    effects = with_answers(pd.DataFrame(effect_rows))
    return effects.drop(columns=["people_needed", "answer_expected_at"])
