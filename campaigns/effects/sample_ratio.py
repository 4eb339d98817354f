"""Sample-ratio test: do the sizes of the arms agree with the planned draw, wave by wave."""

from __future__ import annotations

import pandas as pd
from scipy import stats

# Below this p-value the sizes of the arms contradict the randomisation.
SAMPLE_RATIO_ALARM = 0.001


def sample_ratio_p_value(treated: int, control: int, control_share: float) -> float:
    """P-value of the sizes of the arms under the planned share (exact binomial test)."""
    if treated + control == 0 or not 0 < control_share < 1:
        return float("nan")
    return float(stats.binomtest(control, treated + control, control_share).pvalue)


def sample_ratios_by_wave(
    waves: pd.Series, control_share: pd.Series, treated: pd.Series
) -> pd.DataFrame:
    """Sizes of the arms of every wave and planned share.

    Returns
    -------
    DataFrame
        wave, control_share, n_treatment, n_control, sample_ratio_p (null without a control arm).
    """
    people = pd.DataFrame({"wave": waves, "control_share": control_share, "treated": treated})
    sizes = (
        people.groupby(["wave", "control_share"], sort=True)["treated"]
        .agg(n_treatment="sum", people="size")
        .reset_index()
    )
    sizes["n_control"] = sizes["people"] - sizes["n_treatment"]
    sizes["sample_ratio_p"] = [
        sample_ratio_p_value(int(row.n_treatment), int(row.n_control), float(row.control_share))
        for row in sizes.itertuples()
    ]
    return sizes.drop(columns="people")


def joint_sample_ratio_p_value(ratios: pd.DataFrame) -> float:
    """One p-value for all waves: of the worst wave and of the sum, corrected for the looks.

    Parameters
    ----------
    ratios
        Rows of `sample_ratios_by_wave`.
    """
    tested = ratios[ratios["sample_ratio_p"].notna()]
    if tested.empty:
        return float("nan")
    people = tested["n_treatment"] + tested["n_control"]
    share = float((people * tested["control_share"]).sum() / people.sum())
    total_p = sample_ratio_p_value(
        int(tested["n_treatment"].sum()), int(tested["n_control"].sum()), share
    )
    worst_p = min(1.0, float(tested["sample_ratio_p"].min()) * len(tested))
    return worst_p if len(tested) == 1 else min(1.0, 2 * min(total_p, worst_p))
