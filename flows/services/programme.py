"""Entries of the global hold-out: the effect of all campaigns together, in total and by month."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import pandas as pd

from campaigns.answers import GLOBAL_HOLDOUT
from campaigns.holdout import CONTROL, TREATMENT, in_global_holdout
from features.config.config import Config
from features.storage.runs import PublishedRun

ALL_CHANNELS = "all"
_MONTH = f"{GLOBAL_HOLDOUT}/"


def global_entries(
    runs: Sequence[PublishedRun],
    config: Config,
    through: pd.Timestamp,
    scores_of: Callable[[PublishedRun], pd.DataFrame],
) -> pd.DataFrame:
    """Entries of the global hold-out and of all other customers, in total and by month.

    In total, a customer enters once: with the first run of the month in which they are first
    scored. By month, all customers scored by the first run of the month enter. The arms are drawn
    by a hash of the customer, so they are the same in every month.

    Parameters
    ----------
    runs
        Published runs.
    config
        Config with ``contact_policy.global_holdout``.
    through
        Last day with complete data.
    scores_of
        Stage and covariates of a run, by customer.

    Returns
    -------
    DataFrame
        As `campaigns.measurement.CampaignEntries.rows`; campaign_id is ``global_holdout``, for
        months ``global_holdout/2024-10``. Empty without a global hold-out.
    """
    holdout = config.contact_policy.global_holdout
    if holdout is None:
        return pd.DataFrame()
    end = min(through, pd.Timestamp(holdout.until))
    parts: list[pd.DataFrame] = []
    seen: pd.Index[str] = pd.Index([])
    for run in _first_of_months(runs, end):
        start, scores = pd.Timestamp(run.snapshot_at), scores_of(run)
        held_out = in_global_holdout(
            list(scores.index), holdout, salt=f"{config.name}:{config.seed}"
        )
        rows = pd.DataFrame(
            {
                "customer_id": scores.index,
                "entered_at": start,
                "arm": np.where(held_out, CONTROL, TREATMENT).astype(object),
                "control_share": holdout.share,
                "role": "purchase",
                **{name: scores[name].to_numpy() for name in scores},
            }
        )
        month_end = min(start + pd.offsets.MonthEnd(0), pd.Timestamp(holdout.until))
        # No channel and no stage: a month has one line.
        parts.append(_period(rows, f"{_MONTH}{start:%Y-%m}", month_end).assign(stage=None))
        is_new = ~rows["customer_id"].isin(seen)
        parts.append(_period(rows[is_new], GLOBAL_HOLDOUT, end).assign(channel=ALL_CHANNELS))
        seen = seen.union(scores.index)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _first_of_months(runs: Sequence[PublishedRun], end: pd.Timestamp) -> list[PublishedRun]:
    """First run of every month until a day, in order."""
    first: dict[tuple[int, int], PublishedRun] = {}
    for run in sorted(runs, key=lambda run: run.snapshot_at):
        day: date = run.snapshot_at
        if pd.Timestamp(day) <= end:
            first.setdefault((day.year, day.month), run)
    return list(first.values())


def _period(rows: pd.DataFrame, campaign: str, end: pd.Timestamp) -> pd.DataFrame:
    """Entries with outcomes that count until a day."""
    days = (end - rows["entered_at"]).dt.days + 1
    return rows.assign(campaign_id=campaign, within_days=days, matures_at=end, channel=None)


def is_month(campaigns: pd.Series[str]) -> pd.Series[bool]:
    """True where the campaign_id stands for a month of the global hold-out."""
    return campaigns.astype(str).str.startswith(_MONTH)


def months_as_groups(effects: pd.DataFrame) -> pd.DataFrame:
    """Effects with the months of the global hold-out as groups of it."""
    monthly = is_month(effects["campaign_id"])
    month = effects["campaign_id"].astype(str).str.removeprefix(_MONTH)
    return effects.assign(
        campaign_id=effects["campaign_id"].where(~monthly, GLOBAL_HOLDOUT),
        by=effects["by"].where(~monthly, "month"),
        group_name=effects["group_name"].where(~monthly, month),
    )
