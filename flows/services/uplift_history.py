"""Randomised history for the scorer: own campaigns with control arms, and configured sends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from campaigns.candidates import with_exclusions
from campaigns.holdout import TREATMENT
from campaigns.measurement import MISMATCH, sample_ratio
from campaigns.playbook import StageSet, load_playbooks
from features.calendar import day_date, day_number
from features.config.config import Config
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.storage import scores_store
from features.table.campaign_outcomes import data_through, outcomes
from features.table.feature_store import Archive
from flows.services.console import step, warn
from flows.services.measure import entries
from flows.services.sends import Sent, listed_experiments
from flows.services.workspace import Workspace
from models.fitting.uplift_learner import Experiment
from models.scorer.part import Part
from models.tasks.uplift import SendHistory, effect_columns, fit_uplift, shortage

MOST_WAVES = 26  # the latest days of entry that a campaign is learned from


def uplift_part(space: Workspace, *, threads: int = 1) -> Part | None:
    """What the randomised history teaches; None where there is not enough of it.

    What cannot be used is told, with the reason.
    """
    config, archive = space.config(), space.archive()
    usable = []
    for sent in [*listed_experiments(config), *_own_campaigns(space, config)]:
        if reason := _unusable(sent):
            warn(f"uplift of {sent.name}: not learned ({reason})")
            continue
        history = _with_features(sent, archive)
        if reason := shortage(history):
            step(f"uplift of {sent.name}: not yet ({reason})")
        else:
            usable.append(history)
    return fit_uplift(usable, seed=config.seed, threads=threads) if usable else None


def _own_campaigns(space: Workspace, config: Config) -> list[Sent]:
    """Campaigns of published runs whose time has passed; an order is the response to all."""
    runs = [run for run in scores_store.published_runs(space.output) if run.status == "published"]
    if not runs or not config.campaigns:
        return []
    taxonomy = StageSet.of(load_taxonomy(config))
    playbooks = with_exclusions(load_playbooks([Path(p) for p in config.campaigns]), taxonomy)
    drawn = [b for b in playbooks if b.kind == "promotional" and b.control_share > 0]
    rows = entries(space.output, runs, drawn)
    rows = rows[rows["matures_at"] <= pd.Timestamp(data_through(space.output, config))]
    rows = rows.assign(role="purchase")
    rows = rows.join(outcomes(space.output, config, rows, margin=1.0))
    found = []
    for campaign, mine in rows.groupby("campaign_id", sort=True):
        days = mine["entered_at"].map(lambda at: day_number(pd.Timestamp(at).date()))
        latest = sorted(days.unique())[-MOST_WAVES:]
        sent = pd.DataFrame(
            {
                "customer_id": mine["customer_id"].astype(str),
                "day": days.astype(np.int64),
                "treatment": (mine["arm"] == TREATMENT).astype(float),
                "propensity": 1 - mine["control_share"],
                "response": mine["response"],
            }
        )
        kept = sent[sent["day"].isin(latest)].reset_index(drop=True)
        name = str(campaign)
        found.append(Sent(name, (name,), kept, int(mine["within_days"].iloc[-1])))
    return found


def _unusable(sent: Sent) -> str:
    """Why the arms are not what a draw makes; empty where they are."""
    rows = sent.rows
    treated = int(rows["treatment"].sum())
    if not 0 < treated < len(rows):
        return "one arm only"
    held_out = 1 - float(rows["propensity"].mean())
    p = sample_ratio(treated, len(rows) - treated, held_out)
    return "the arms' sizes contradict the draw" if p < MISMATCH else ""


def _with_features(sent: Sent, archive: Archive) -> SendHistory:
    """The rows with the features of their day; who did not exist then is left out."""
    parts, frames = [], []
    for day, mine in sent.rows.groupby("day", sort=True):
        features = archive.features(int(day)).set_index("customer_id")
        mine = mine[mine["customer_id"].isin(features.index)]
        parts.append(mine)
        frames.append(features.loc[mine["customer_id"]])
    rows, frame = pd.concat(parts, ignore_index=True), pd.concat(frames, ignore_index=True)
    if lost := len(sent.rows) - len(rows):
        first = day_date(int(sent.rows["day"].min()))
        step(f"uplift of {sent.name}: {lost:,} rows of people without events (from {first})")
    treatment, response, propensity = (
        rows[name].to_numpy(dtype=float) for name in ("treatment", "response", "propensity")
    )
    people = np.unique(rows["customer_id"], return_inverse=True)[1]
    inputs = frame[effect_columns(frame)].astype(float)
    data = Experiment(inputs, treatment, response, propensity, people)
    return SendHistory(
        sent.name, sent.campaigns, data, frame["stage__code"].to_numpy(dtype=float), sent.days
    )
