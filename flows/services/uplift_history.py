"""Randomised history for the uplift part: campaigns with control arms, and experiments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from campaigns.candidates import with_exclusion_lists
from campaigns.effects.sample_ratio import SAMPLE_RATIO_ALARM, sample_ratio_p_value
from campaigns.holdout import TREATMENT
from campaigns.playbook import load_playbooks
from campaigns.stage_set import StageSet
from features.calendar import day_date, day_number
from features.config.config import Config
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.storage import scores_store
from features.table.campaign_outcomes import data_through, outcomes
from features.table.feature_store import Archive
from flows.services.console import step, warn
from flows.services.measure import campaign_entries
from flows.services.sends import RandomisedSends, configured_sends
from flows.services.workspace import Workspace
from models.fitting.uplift_learner import Experiment
from models.scorer.part import Part
from models.tasks.uplift import SendHistory, effect_columns, fit_uplift, shortage

_MOST_ENTRY_DAYS = 26  # number of latest entry days per campaign used for training


def fit_uplift_part(space: Workspace, *, threads: int = 1) -> Part | None:
    """Fit the uplift part on the randomised history; None if there is too little of it.

    Unusable sends are reported with the reason.
    """
    config, archive = space.config(), space.archive()
    usable = []
    for sent in [*configured_sends(config), *_own_campaigns(space, config)]:
        if reason := _unusable(sent):
            warn(f"uplift of {sent.name}: not learned ({reason})")
            continue
        history = _with_features(sent, archive)
        if reason := shortage(history):
            step(f"uplift of {sent.name}: not yet ({reason})")
        else:
            usable.append(history)
    return fit_uplift(usable, seed=config.seed, threads=threads) if usable else None


def _own_campaigns(space: Workspace, config: Config) -> list[RandomisedSends]:
    """Campaigns of published runs with a complete response window; the response is an order."""
    runs = [run for run in scores_store.published_runs(space.output) if run.status == "published"]
    if not runs or not config.campaigns:
        return []
    taxonomy = StageSet.of(load_taxonomy(config))
    playbooks = with_exclusion_lists(load_playbooks([Path(p) for p in config.campaigns]), taxonomy)
    with_control_arms = [b for b in playbooks if b.kind == "promotional" and b.control_share > 0]
    entry_rows = campaign_entries(space.output, runs, with_control_arms)
    entry_rows = entry_rows[
        entry_rows["matures_at"] <= pd.Timestamp(data_through(space.output, config))
    ]
    entry_rows = entry_rows.assign(role="purchase")
    entry_rows = entry_rows.join(outcomes(space.output, config, entry_rows, margin=1.0))
    campaign_sends = []
    for campaign, campaign_rows in entry_rows.groupby("campaign_id", sort=True):
        days = campaign_rows["entered_at"].map(lambda at: day_number(pd.Timestamp(at).date()))
        latest_days = sorted(days.unique())[-_MOST_ENTRY_DAYS:]
        send_rows = pd.DataFrame(
            {
                "customer_id": campaign_rows["customer_id"].astype(str),
                "day": days.astype(np.int64),
                "treatment": (campaign_rows["arm"] == TREATMENT).astype(float),
                "propensity": 1 - campaign_rows["control_share"],
                "response": campaign_rows["response"],
            }
        )
        recent_rows = send_rows[send_rows["day"].isin(latest_days)].reset_index(drop=True)
        name = str(campaign)
        campaign_sends.append(
            RandomisedSends(name, (name,), recent_rows, int(campaign_rows["within_days"].iloc[-1]))
        )
    return campaign_sends


def _unusable(sent: RandomisedSends) -> str:
    """Why the arms do not match a random draw; empty if they do."""
    send_rows = sent.rows
    treated = int(send_rows["treatment"].sum())
    if not 0 < treated < len(send_rows):
        return "one arm only"
    held_out = 1 - float(send_rows["propensity"].mean())
    sample_ratio_p = sample_ratio_p_value(treated, len(send_rows) - treated, held_out)
    return (
        "the sizes of the arms contradict the declared shares"
        if sample_ratio_p < SAMPLE_RATIO_ALARM
        else ""
    )


def _with_features(sent: RandomisedSends, archive: Archive) -> SendHistory:
    """Join the features of the send's day; drop people without events before it."""
    parts, frames = [], []
    for day, day_rows in sent.rows.groupby("day", sort=True):
        features = archive.features(int(day)).set_index("customer_id")
        day_rows = day_rows[day_rows["customer_id"].isin(features.index)]
        parts.append(day_rows)
        frames.append(features.loc[day_rows["customer_id"]])
    rows, frame = pd.concat(parts, ignore_index=True), pd.concat(frames, ignore_index=True)
    if dropped_rows := len(sent.rows) - len(rows):
        first_day = day_date(int(sent.rows["day"].min()))
        step(
            f"uplift of {sent.name}: {dropped_rows:,} rows of people without events "
            f"(from {first_day}) are left out"
        )
    treatment, response, propensity = (
        rows[name].to_numpy(dtype=float) for name in ("treatment", "response", "propensity")
    )
    person_codes = np.unique(rows["customer_id"], return_inverse=True)[1]
    model_inputs = frame[effect_columns(frame)].astype(float)
    data = Experiment(model_inputs, treatment, response, propensity, person_codes)
    return SendHistory(
        sent.name, sent.campaigns, data, frame["stage__code"].to_numpy(dtype=float), sent.days
    )
