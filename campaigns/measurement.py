"""Measurement: what the campaigns changed, treatment against control, intention to treat."""

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

Z = 1.959963984540054
# Below this chance the arms are not what the draw should have made of them.
MISMATCH = 0.001
FEWEST = 30  # figures of fewer people in an arm are hidden
OUTCOMES = ("response", "revenue", "margin")

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lift:
    """Difference of two arms' means, with a 95 % interval.

    Attributes
    ----------
    treated, control
        Mean a person of either arm.
    difference, low, high
        Treatment minus control, and its interval.
    p_value
        Two-sided, of no difference.
    """

    treated: float
    control: float
    difference: float
    low: float
    high: float
    p_value: float


def lift(treated: Numbers, control: Numbers) -> Lift:
    """Difference in means (Welch's interval: unequal spreads, unequal sizes).

    For shares it agrees with the interval of two proportions to the rounding of the degrees of
    freedom. NaN where an arm has fewer than two people.
    """
    n, m = len(treated), len(control)
    if min(n, m) < 2:
        nan = float("nan")
        return Lift(_mean(treated), _mean(control), nan, nan, nan, nan)
    a, b = float(np.mean(treated)), float(np.mean(control))
    va, vb = float(np.var(treated, ddof=1)) / n, float(np.var(control, ddof=1)) / m
    error = math.sqrt(va + vb)
    if error == 0:
        return Lift(a, b, a - b, a - b, a - b, 1.0 if a == b else 0.0)
    freedom = (va + vb) ** 2 / (va**2 / (n - 1) + vb**2 / (m - 1))
    reach = float(stats.t.ppf(0.975, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(a - b) / error, freedom))
    return Lift(a, b, a - b, a - b - reach, a - b + reach, p_value)


def _mean(values: Numbers) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def sample_ratio(treated: int, control: int, control_share: float) -> float:
    """Chance of arms at least as uneven as these under the planned share (exact binomial)."""
    if treated + control == 0 or not 0 < control_share < 1:
        return float("nan")
    return float(stats.binomtest(control, treated + control, control_share).pvalue)


@dataclass(frozen=True)
class Waves:
    """People who entered campaigns, and what they did within the campaign's time.

    Attributes
    ----------
    rows
        One row per (campaign_id, customer_id, entered_at): ``arm, channel, stage, within_days,
        control_share, matures_at``, and where matured ``response`` (0/1), ``revenue``, ``margin``.
    data_through
        Last day known in full.
    """

    rows: pd.DataFrame
    data_through: pd.Timestamp

    @property
    def matured(self) -> pd.DataFrame:
        """Those whose time has passed."""
        return self.rows[self.rows["matures_at"] <= self.data_through]


def entered(audience: pd.DataFrame, terms: Mapping[str, tuple[int, float]]) -> pd.DataFrame:
    """Everyone who ever entered a campaign, once an entry.

    Parameters
    ----------
    audience
        Audience rows of all published snapshots.
    terms
        Campaign -> days of success, control share; campaigns that are not in it are left out.

    Returns
    -------
    DataFrame
        campaign_id, customer_id, entered_at, arm, channel, within_days, control_share, matures_at
        (last day that must be known).
    """
    rows = audience[audience["change"] == "added"]
    rows = rows[rows["campaign_id"].isin(list(terms))]
    keys = ["campaign_id", "customer_id", "entered_at"]
    rows = rows.drop_duplicates(keys)[[*keys, "arm", "channel"]].reset_index(drop=True)
    rows["within_days"] = [terms[name][0] for name in rows["campaign_id"]]
    rows["control_share"] = [terms[name][1] for name in rows["campaign_id"]]
    days = pd.to_timedelta(rows["within_days"] - 1, unit="D")
    rows["matures_at"] = pd.to_datetime(rows["entered_at"]) + days
    return rows


REPORT_COLUMNS = (
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


def report(waves: Waves) -> pd.DataFrame:
    """Effects by campaign, and within it by channel and stage.

    Everyone drawn into an arm counts there, reached or not (intention to treat). ``difference`` is
    a person; ``incremental_total`` is what the treated brought in addition. Arms under 30 people
    show no figures. Where the arms' sizes contradict the draw, the note says so: then something
    removed people after it, and the difference proves nothing.

    Returns
    -------
    DataFrame
        Columns `REPORT_COLUMNS`; one row a campaign, group and outcome.
    """
    found: list[dict[str, Any]] = []
    for campaign, rows in waves.matured.groupby("campaign_id", sort=True):
        found += _measured(str(campaign), "all", "all", rows)
        for by in ("channel", "stage"):
            for group, part in rows.groupby(by, sort=True):
                found += _measured(str(campaign), by, str(group), part)
    return pd.DataFrame(found, columns=list(REPORT_COLUMNS))


def _measured(campaign: str, by: str, group: str, rows: pd.DataFrame) -> list[dict[str, Any]]:
    arms = {arm: rows[rows["arm"] == arm] for arm in (TREATMENT, CONTROL)}
    n, m = len(arms[TREATMENT]), len(arms[CONTROL])
    ratio = sample_ratio(n, m, float(rows["control_share"].mean()))
    head = {"campaign_id": campaign, "by": by, "group": group, "n_treatment": n, "n_control": m}
    note = ""
    if ratio < MISMATCH:
        note = "the arms' sizes contradict the draw: do not trust the difference"
    if min(n, m) < FEWEST:
        told = f"under {FEWEST} people in an arm"
        return [{**head, "outcome": "response", "sample_ratio_p": ratio, "note": told}]
    lines = []
    for outcome in OUTCOMES:
        values = {arm: part[outcome].to_numpy(dtype=float) for arm, part in arms.items()}
        if any(np.isnan(v).all() for v in values.values()):
            continue
        effect = lift(values[TREATMENT], values[CONTROL])
        lines.append(
            {
                **head,
                "outcome": outcome,
                "treatment": effect.treated,
                "control": effect.control,
                "difference": effect.difference,
                "low": effect.low,
                "high": effect.high,
                "p_value": effect.p_value,
                "incremental_total": effect.difference * n,
                "incremental_low": effect.low * n,
                "incremental_high": effect.high * n,
                "sample_ratio_p": ratio,
                "note": note,
            }
        )
    return lines


def not_yet(waves: Waves, campaigns: Sequence[str]) -> pd.DataFrame:
    """What cannot be measured yet, and why.

    Returns
    -------
    DataFrame
        campaign_id, people, measurable_from (date; null where nobody entered), reason.
    """
    lines = []
    for campaign in campaigns:
        mine = waves.rows[waves.rows["campaign_id"] == campaign]
        open_ = mine[mine["matures_at"] > waves.data_through]
        if len(mine) == 0:
            lines.append((campaign, 0, pd.NaT, "nobody has entered it"))
        elif len(open_):
            day = open_["matures_at"].min() + pd.Timedelta(days=1)
            lines.append((campaign, len(open_), day, "its time has not passed"))
        if len(mine) and not (mine["arm"] == CONTROL).any():
            lines.append((campaign, len(mine), pd.NaT, "it has no control arm"))
    return pd.DataFrame(lines, columns=["campaign_id", "people", "measurable_from", "reason"])
