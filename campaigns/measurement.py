"""Measurement: effects of campaigns, treatment minus control, by intention to treat."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from campaigns.answers import expected_answer_date, people_for_an_answer, with_answers
from campaigns.effects.comparison import capped_covariates, compared
from campaigns.effects.mean_effect import FEWEST_BUYERS
from campaigns.effects.sample_ratio import (
    SAMPLE_RATIO_ALARM,
    joint_sample_ratio_p_value,
    sample_ratios_by_wave,
)
from campaigns.effects.two_arms import Integers, TwoArms, strata_of_waves
from campaigns.holdout import CONTROL, FEWEST_PEOPLE, TREATMENT

# Known at the entry: they take noise out of the effects on money.
COVARIATES = ("clv", "p_any_order", "past_spend")
RATIO = "revenue_per_order"
_OUTCOMES = ("response", "orders", "revenue", "profit", RATIO)
# Share of the control arm that may get the message elsewhere before a note says so.
_CONTACTED_ALARM = 0.05


@dataclass(frozen=True)
class CampaignEntries:
    """Entries into campaigns, and the outcomes within the measurement period.

    Attributes
    ----------
    rows
        One row per (campaign_id, customer_id, entered_at): ``arm, channel, stage, within_days,
        control_share, matures_at``, if known ``contact_cost, discount, contacted`` (0/1: a message
        arrived) and the `COVARIATES`, and if matured ``response`` (0/1), ``orders``, ``revenue``,
        ``margin``.
    data_through
        Last day with complete data.
    """

    rows: pd.DataFrame
    data_through: pd.Timestamp

    @property
    def matured(self) -> pd.DataFrame:
        """Entries with a complete measurement period, with the columns ``cost`` and ``profit``.

        Cost is the discount on the treated customers' spend and the contact; profit is the margin
        less the cost.
        """
        rows = self.rows[self.rows["matures_at"] <= self.data_through]
        treated = (rows["arm"] == TREATMENT).astype(float)
        discount, contact_cost = (
            rows[name].fillna(0.0) if name in rows else 0.0 for name in ("discount", "contact_cost")
        )
        cost = treated * (discount * rows["revenue"] + contact_cost)
        return rows.assign(cost=cost, profit=rows["margin"] - cost)


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
        campaign_id, customer_id, entered_at, arm, channel, offer_name, propensity, propensities
        (these three null without ``offers``), within_days, control_share, matures_at (last day that
        must be known).
    """
    entries = audience[audience["change"] == "added"]
    entries = entries[entries["campaign_id"].isin(list(terms))]
    keys = ["campaign_id", "customer_id", "entered_at"]
    columns = [*keys, "arm", "channel", "offer_name", "propensity", "propensities"]
    # Audiences of earlier versions have no offers.
    entries = entries.drop_duplicates(keys).reindex(columns=columns).reset_index(drop=True)
    entries["within_days"] = [terms[name][0] for name in entries["campaign_id"]]
    entries["control_share"] = [terms[name][1] for name in entries["campaign_id"]]
    last_day = pd.to_timedelta(entries["within_days"] - 1, unit="D")
    entries["matures_at"] = pd.to_datetime(entries["entered_at"]) + last_day
    return entries


EFFECT_COLUMNS = (
    "campaign_id",
    "by",
    "group_name",
    "outcome",
    "n_treatment",
    "n_control",
    "treatment",
    "control",
    "difference",
    "low",
    "high",
    "p_value",
    "low_any_time",
    "high_any_time",
    "p_any_time",
    "q_value",
    "answer",
    "people_needed",
    "answer_expected_at",
    "variance_left",
    "incremental_total",
    "incremental_low",
    "incremental_high",
    "cost_total",
    "incremental_per_cost",
    "sample_ratio_p",
    "control_contacted",
    "note",
)


def campaign_effects(
    entries: CampaignEntries, *, seed: int, dimensions: Sequence[str] = ("channel", "stage")
) -> pd.DataFrame:
    """Effects by campaign, and within it by dimension.

    Every customer counts in the assigned arm, reached or not (intention to treat), and is compared
    with customers of the same waves only. Response: Newcombe's interval. Orders, revenue, profit: a
    permutation test with the covariates regressed out; revenue per order: the same, of ratios.
    ``low`` and ``high`` hold for one look, ``low_any_time`` and ``high_any_time`` for any number.
    ``answer`` is ``gain`` or ``loss`` if the latter exclude zero and if ``q_value`` (Benjamini-
    Hochberg over all lines) is at most .05; ``not yet``; ``not valid`` if the arms contradict the
    draw; or ``too small``, and ``people_needed`` says what it takes.

    ``difference`` is per person; ``incremental_*`` are sums over the treatment arm, with the
    interval for any number of looks. ``cost_total`` is what contacts and discounts of the treatment
    arm cost, and ``incremental_per_cost`` the total per unit of it; a ratio has no total.
    ``control_contacted`` counts held-out customers who got a message all the same (null: the data
    record no messages). The note says so above 5 % of them, and if the sizes of the arms contradict
    the randomisation: customers were then removed afterwards, and the difference is not valid.

    Returns
    -------
    DataFrame
        Columns `EFFECT_COLUMNS`; one row per campaign, group and outcome; none by channel for
        campaigns with several offers.
    """
    effect_rows: list[dict[str, Any]] = []
    for campaign, campaign_rows in entries.matured.groupby("campaign_id", sort=True):
        groups = [("all", "all", campaign_rows)]
        offers = campaign_rows.get("offer_name")
        # With several offers the channel follows from the draw: its groups are not comparable.
        drawn = {"channel"} if offers is not None and offers.notna().any() else set()
        for dimension in (name for name in dimensions if name not in drawn):
            groups += [
                (dimension, str(group), group_rows)
                for group, group_rows in campaign_rows.groupby(dimension, sort=True)
            ]
        for dimension, group, group_rows in groups:
            named = {"campaign_id": str(campaign), "by": dimension, "group_name": group}
            effect_rows += [
                named | cells
                for cells in _group_effects(group_rows, entries.data_through, seed=seed)
            ]
    return with_answers(pd.DataFrame(effect_rows, columns=list(EFFECT_COLUMNS)))


def _group_effects(
    rows: pd.DataFrame, data_through: pd.Timestamp, *, seed: int
) -> list[dict[str, Any]]:
    """Cells of one group's lines, without its name: response, revenue and profit."""
    treated = rows["arm"] == TREATMENT
    treated_count, control_count = int(treated.sum()), int((rows["arm"] == CONTROL).sum())
    ratios = sample_ratios_by_wave(rows["entered_at"], rows["control_share"], treated)
    shared_cells: dict[str, Any] = {
        "n_treatment": treated_count,
        "n_control": control_count,
        "sample_ratio_p": joint_sample_ratio_p_value(ratios),
        "control_contacted": _contacted(rows.loc[~treated]),
    }
    if min(treated_count, control_count) < FEWEST_PEOPLE:
        needed = _people_needed(rows, FEWEST_PEOPLE)
        return [
            {
                **shared_cells,
                "outcome": "response",
                "people_needed": needed,
                "answer_expected_at": expected_answer_date(
                    rows["entered_at"], data_through, needed
                ),
                "note": f"under {FEWEST_PEOPLE} people in an arm",
            }
        ]
    if shared_cells["sample_ratio_p"] < SAMPLE_RATIO_ALARM:
        shared_cells["note"] = "the arms' sizes contradict the draw: do not trust the difference"
    elif shared_cells["control_contacted"] > _CONTACTED_ALARM * control_count:
        shared_cells["note"] = (
            f"{shared_cells['control_contacted']:,.0f} of {control_count:,} held-out customers got "
            "a message all the same: the effect may be understated"
        )
    strata = strata_of_waves(rows["entered_at"], rows["control_share"], treated)
    effect_rows = []
    for outcome in _OUTCOMES:
        needed_columns = ["revenue", "orders"] if outcome == RATIO else [outcome]
        known = rows.reindex(columns=needed_columns).notna()
        if not (known[treated].any() & known[~treated].any()).all():
            continue
        cells = _effect(outcome, rows, treated, strata, seed=seed)
        if not cells:
            continue
        cells["answer_expected_at"] = expected_answer_date(
            rows["entered_at"], data_through, cells["people_needed"]
        )
        effect_rows.append({"note": "", **shared_cells, **cells})
    return effect_rows


def _effect(
    outcome: str, rows: pd.DataFrame, treated: pd.Series, strata: Integers, *, seed: int
) -> dict[str, Any]:
    """Cells of an outcome: the effect, for one look and for any number; empty without a ratio."""
    is_share, is_ratio = outcome == "response", outcome == RATIO
    present = [] if is_share else [name for name in COVARIATES if name in rows]
    amounts = rows["revenue" if is_ratio else outcome]
    arms = TwoArms.of(
        amounts,
        treated,
        strata,
        capped_covariates(rows[present]),
        rows["orders"] if is_ratio else None,
    )
    cells = compared(arms, is_share=is_share, seed=seed)
    if is_ratio and math.isnan(cells["difference"]):
        return {}
    low, high = cells["low_any_time"], cells["high_any_time"]
    needed = (
        _people_needed(rows, FEWEST_BUYERS, counted=rows["revenue"] != 0)
        if math.isnan(low)
        else people_for_an_answer(len(rows), cells["difference"], low, high)
    )
    people = float("nan") if is_ratio else float(treated.sum())
    cost, total = float(rows["cost"].sum()), cells["difference"] * people
    return {
        "outcome": outcome,
        **cells,
        "people_needed": needed,
        "incremental_total": total,
        "cost_total": cost,
        "incremental_per_cost": total / cost if cost > 0 else float("nan"),
        "incremental_low": low * people,
        "incremental_high": high * people,
    }


def _contacted(control_rows: pd.DataFrame) -> float:
    """People of the control arm who got a message; NaN if unknown."""
    if "contacted" not in control_rows or control_rows["contacted"].isna().all():
        return float("nan")
    return float(control_rows["contacted"].sum())


def _people_needed(rows: pd.DataFrame, fewest: int, *, counted: pd.Series | None = None) -> float:
    """People in both arms until the smaller arm has the fewest that allow an answer."""
    share = 1.0 if counted is None else float(counted.mean())
    control_share = float(rows["control_share"].mean())
    smaller_arm = min(control_share, 1 - control_share)
    return math.ceil(fewest / (share * smaller_arm)) if share * smaller_arm > 0 else float("nan")


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


def wave_sizes(entries: CampaignEntries) -> pd.DataFrame:
    """Sizes of the arms of every wave, with the p-value of the sample-ratio test.

    Returns
    -------
    DataFrame
        campaign_id, wave (day of entry), control_share, n_treatment, n_control, sample_ratio_p.
    """
    parts = [
        sample_ratios_by_wave(
            rows["entered_at"], rows["control_share"], rows["arm"] == TREATMENT
        ).assign(campaign_id=campaign)
        for campaign, rows in entries.rows.groupby("campaign_id", sort=True)
    ]
    columns = ["campaign_id", "wave", "control_share", "n_treatment", "n_control", "sample_ratio_p"]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)
