"""Effects of an experiment from elsewhere: two or more arms, each against the control arm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from campaigns.answers import with_answers
from campaigns.effects.comparison import capped_covariates, compared
from campaigns.effects.sample_ratio import joint_sample_ratio_p_value, sample_ratios_by_wave
from campaigns.effects.two_arms import (
    Booleans,
    Integers,
    TwoArms,
    people_compared,
    strata_of_waves,
)

# Below this p-value a column differs between arms that were drawn, or arms between waves.
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


@dataclass(frozen=True)
class ExperimentEffects:
    """Effects of the arms of an experiment.

    Attributes
    ----------
    effects
        One row per arm: arm, n_treatment, n_control (people who are compared), mean_treatment,
        mean_control (their means, or ratios, as they are), the cells of
        `campaigns.effects.comparison.compared`, sample_ratio_p, and q_value and answer over all
        arms. ``treatment`` is the mean of control plus the effect, so it differs from the mean
        of the arm where waves or covariates count.
    not_compared
        Arm -> why it has no row.
    people_left_out
        Arm -> people who entered on a day on which one of the two arms had nobody.
    """

    effects: pd.DataFrame
    not_compared: dict[str, str]
    people_left_out: dict[str, int]


def experiment_effects(people: ExperimentPeople, *, control: str, seed: int) -> ExperimentEffects:
    """Effect of every arm against the control arm."""
    is_share = people.denominator is None and bool(people.outcome.isin([0, 1]).all())
    effect_rows, not_compared, left_out = [], {}, {}
    for arm in sorted(set(people.arm) - {control}):
        pair = people.in_arms(arm, control)
        treated = pair.arm == arm
        strata = _strata(pair, treated)
        is_compared = people_compared(treated.to_numpy(dtype=bool), strata)
        if not is_compared.any():
            not_compared[arm] = f"no day on which people entered both {arm} and {control}"
            continue
        known = None if is_share else capped_covariates(pair.covariates)
        arms = TwoArms.of(pair.outcome, treated, strata, known, pair.denominator)
        cells = compared(arms, is_share=is_share, seed=seed)
        if np.isnan(cells["difference"]):
            not_compared[arm] = f"the outcome of {arm} or {control} is divided by a sum of 0"
            continue
        if not is_compared.all():
            left_out[arm] = int((~is_compared).sum())
        effect_rows.append(
            {
                "arm": arm,
                "n_treatment": int(arms.treated.sum()),
                "n_control": int((~arms.treated).sum()),
                "mean_treatment": _mean(arms, arms.treated),
                "mean_control": _mean(arms, ~arms.treated),
                **cells,
                "people_needed": np.nan,
                "answer_expected_at": pd.NaT,
                "sample_ratio_p": joint_sample_ratio_p_value(
                    sample_ratios_by_wave(pair.wave, pair.control_share, treated)
                ),
            }
        )
    if not effect_rows:
        return ExperimentEffects(pd.DataFrame(), not_compared, left_out)
    effects = with_answers(pd.DataFrame(effect_rows))
    effects = effects.drop(columns=["people_needed", "answer_expected_at"])
    return ExperimentEffects(effects, not_compared, left_out)


def _strata(pair: ExperimentPeople, treated: pd.Series[bool]) -> Integers:
    """Stratum of each person; every wave by itself if the shares of the arms changed unplanned."""
    is_planned = bool((pair.control_share > 0).all())
    if not is_planned and _share_changes(pair.wave, treated):
        return pd.factorize(pair.wave)[0].astype(np.int64)
    return strata_of_waves(pair.wave, pair.control_share, treated)


def _share_changes(wave: pd.Series[str], treated: pd.Series[bool]) -> bool:
    """True if the shares of the arms differ between waves by more than chance."""
    sizes = pd.crosstab(wave, treated).to_numpy()
    return len(sizes) > 1 and float(stats.chi2_contingency(sizes).pvalue) < _UNBALANCED


def _mean(arms: TwoArms, in_arm: Booleans) -> float:
    """Mean of an arm; of a ratio the sum over the sum."""
    return float(arms.outcome[in_arm].sum() / arms.denominator[in_arm].sum())
