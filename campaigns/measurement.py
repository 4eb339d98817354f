"""Measurement: effects of campaigns, treatment minus control, by intention to treat."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from campaigns.holdout import CONTROL, TREATMENT

_Z = 1.959963984540054
# Below this p-value the sizes of the arms contradict the randomisation.
SAMPLE_RATIO_ALARM = 0.001
_FEWEST_PEOPLE = 30  # results with fewer people in an arm are hidden
_OUTCOMES = ("response", "revenue", "margin")

_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lift:
    """Difference of two arms' means, with a 95 % interval.

    Attributes
    ----------
    treated, control
        Mean per person of each arm.
    difference, low, high
        Treatment minus control, and its 95 % interval.
    p_value
        Two-sided, for no difference.
    """

    treated: float
    control: float
    difference: float
    low: float
    high: float
    p_value: float


def mean_difference(treated: _Numbers, control: _Numbers) -> Lift:
    """Difference in means with Welch's interval (unequal variances and sizes).

    For shares it equals the interval of two proportions up to the degrees of freedom. NaN if an
    arm has fewer than two people.
    """
    treated_mean, control_mean = _mean(treated), _mean(control)
    if min(len(treated), len(control)) < 2:
        return Lift(treated_mean, control_mean, *[float("nan")] * 4)
    difference = treated_mean - control_mean
    # Squared standard errors of the two means, and Welch's degrees of freedom.
    treated_square = float(np.var(treated, ddof=1)) / len(treated)
    control_square = float(np.var(control, ddof=1)) / len(control)
    error = math.sqrt(treated_square + control_square)
    if error == 0:
        p_value = 1.0 if treated_mean == control_mean else 0.0
        return Lift(treated_mean, control_mean, difference, difference, difference, p_value)
    freedom = (treated_square + control_square) ** 2 / (
        treated_square**2 / (len(treated) - 1) + control_square**2 / (len(control) - 1)
    )
    half_width = float(stats.t.ppf(0.975, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(difference) / error, freedom))
    low, high = difference - half_width, difference + half_width
    return Lift(treated_mean, control_mean, difference, low, high, p_value)


def _mean(values: _Numbers) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def sample_ratio_p_value(treated: int, control: int, control_share: float) -> float:
    """P-value of the sizes of the arms under the planned share (exact binomial test)."""
    if treated + control == 0 or not 0 < control_share < 1:
        return float("nan")
    return float(stats.binomtest(control, treated + control, control_share).pvalue)


@dataclass(frozen=True)
class CampaignEntries:
    """Entries into campaigns, and the outcomes within the measurement period.

    Attributes
    ----------
    rows
        One row per (campaign_id, customer_id, entered_at): ``arm, channel, stage, within_days,
        control_share, matures_at``, and if matured ``response`` (0/1), ``revenue``, ``margin``.
    data_through
        Last day with complete data.
    """

    rows: pd.DataFrame
    data_through: pd.Timestamp

    @property
    def matured(self) -> pd.DataFrame:
        """Entries with a complete measurement period."""
        return self.rows[self.rows["matures_at"] <= self.data_through]


def entries_from_audience(
    audience: pd.DataFrame, terms: Mapping[str, tuple[int, float]]
) -> pd.DataFrame:
    """Entries into campaigns, one row per customer and entry.

    Parameters
    ----------
    audience
        Audience rows of all published snapshots.
    terms
        Campaign -> days of success, control share; other campaigns are left out.

    Returns
    -------
    DataFrame
        campaign_id, customer_id, entered_at, arm, channel, within_days, control_share, matures_at
        (last day that must be known).
    """
    entries = audience[audience["change"] == "added"]
    entries = entries[entries["campaign_id"].isin(list(terms))]
    keys = ["campaign_id", "customer_id", "entered_at"]
    entries = entries.drop_duplicates(keys)[[*keys, "arm", "channel"]].reset_index(drop=True)
    entries["within_days"] = [terms[name][0] for name in entries["campaign_id"]]
    entries["control_share"] = [terms[name][1] for name in entries["campaign_id"]]
    last_day = pd.to_timedelta(entries["within_days"] - 1, unit="D")
    entries["matures_at"] = pd.to_datetime(entries["entered_at"]) + last_day
    return entries


_EFFECT_COLUMNS = (
    "campaign_id",
    "by",
    "group",
    "outcome",
    "n_treatment",
    "n_control",
    "treatment",
    "control",
    "difference",
    "low",
    "high",
    "p_value",
    "incremental_total",
    "incremental_low",
    "incremental_high",
    "sample_ratio_p",
    "note",
)


def campaign_effects(entries: CampaignEntries) -> pd.DataFrame:
    """Effects by campaign, and within it by channel and stage.

    Every customer counts in the assigned arm, reached or not (intention to treat). ``difference``
    is per person; ``incremental_total`` is the sum over the treatment arm. Arms under 30 people
    show no results. The note says if the sizes of the arms contradict the randomisation: customers
    were then removed afterwards, and the difference is not valid.

    Returns
    -------
    DataFrame
        Columns `_EFFECT_COLUMNS`; one row per campaign, group and outcome.
    """
    effect_rows: list[dict[str, Any]] = []
    for campaign, campaign_rows in entries.matured.groupby("campaign_id", sort=True):
        effect_rows += _group_effects(str(campaign), "all", "all", campaign_rows)
        for dimension in ("channel", "stage"):
            for group, group_rows in campaign_rows.groupby(dimension, sort=True):
                effect_rows += _group_effects(str(campaign), dimension, str(group), group_rows)
    return pd.DataFrame(effect_rows, columns=list(_EFFECT_COLUMNS))


def _group_effects(
    campaign: str, dimension: str, group: str, rows: pd.DataFrame
) -> list[dict[str, Any]]:
    arms = {arm: rows[rows["arm"] == arm] for arm in (TREATMENT, CONTROL)}
    treated_count, control_count = len(arms[TREATMENT]), len(arms[CONTROL])
    control_share = float(rows["control_share"].mean())
    ratio_p_value = sample_ratio_p_value(treated_count, control_count, control_share)
    shared_cells = {
        "campaign_id": campaign,
        "by": dimension,
        "group": group,
        "n_treatment": treated_count,
        "n_control": control_count,
        "sample_ratio_p": ratio_p_value,
    }
    if min(treated_count, control_count) < _FEWEST_PEOPLE:
        note = f"under {_FEWEST_PEOPLE} people in an arm"
        return [{**shared_cells, "outcome": "response", "note": note}]
    note = ""
    if ratio_p_value < SAMPLE_RATIO_ALARM:
        note = "the arms' sizes contradict the draw: do not trust the difference"
    effect_rows = []
    for outcome in _OUTCOMES:
        values = {arm: part[outcome].to_numpy(dtype=float) for arm, part in arms.items()}
        if any(np.isnan(figures).all() for figures in values.values()):
            continue
        effect = mean_difference(values[TREATMENT], values[CONTROL])
        effect_rows.append(
            {
                **shared_cells,
                "outcome": outcome,
                "treatment": effect.treated,
                "control": effect.control,
                "difference": effect.difference,
                "low": effect.low,
                "high": effect.high,
                "p_value": effect.p_value,
                "incremental_total": effect.difference * treated_count,
                "incremental_low": effect.low * treated_count,
                "incremental_high": effect.high * treated_count,
                "note": note,
            }
        )
    return effect_rows


def unmeasured_campaigns(entries: CampaignEntries, campaigns: Sequence[str]) -> pd.DataFrame:
    """Campaigns that cannot be measured yet, and the reason.

    Returns
    -------
    DataFrame
        campaign_id, people, measurable_from (date; null without entries), reason.
    """
    open_rows = []
    for campaign in campaigns:
        entered = entries.rows[entries.rows["campaign_id"] == campaign]
        waiting = entered[entered["matures_at"] > entries.data_through]
        if len(entered) == 0:
            open_rows.append((campaign, 0, pd.NaT, "nobody has entered it"))
        elif len(waiting):
            measurable_from = waiting["matures_at"].min() + pd.Timedelta(days=1)
            open_rows.append((campaign, len(waiting), measurable_from, "its time has not passed"))
        if len(entered) and not (entered["arm"] == CONTROL).any():
            open_rows.append((campaign, len(entered), pd.NaT, "it has no control arm"))
    return pd.DataFrame(open_rows, columns=["campaign_id", "people", "measurable_from", "reason"])
