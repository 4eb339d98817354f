"""Randomised history for the uplift part: campaigns with control arms, and experiments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from campaigns.candidates import with_exclusion_lists
from campaigns.effects.sample_ratio import SAMPLE_RATIO_ALARM, sample_ratio_p_value
from campaigns.expected_value import offer_uplift_name
from campaigns.holdout import TREATMENT
from campaigns.playbook_loading import load_playbooks
from campaigns.playbook_parts import NOTHING
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
from models.fitting.offer_effects import OfferExperiment
from models.fitting.uplift_learner import Experiment
from models.scorer.part import Part
from models.tasks.uplift import (
    OfferHistory,
    SendHistory,
    effect_columns,
    fit_uplift,
    shortage,
    with_enough_data,
)

_MOST_ENTRY_DAYS = 26  # number of latest entry days per campaign used for training


def fit_uplift_part(space: Workspace, *, threads: int = 1) -> Part | None:
    """Fit the uplift part on the randomised history; None if there is too little of it.

    Unusable sends are reported with the reason.
    """
    config, archive = space.config(), space.archive()
    usable = []
    entries = _own_entries(space, config)
    for sent in [*configured_sends(config), *_own_campaigns(entries)]:
        if reason := _unusable(sent):
            warn(f"uplift of {sent.name}: not learned ({reason})")
            continue
        history = _with_features(sent, archive)
        if reason := shortage(history):
            step(f"uplift of {sent.name}: not yet ({reason})")
        else:
            usable.append(history)
    usable_offers = []
    for campaign, rows in entries[entries["propensities"].notna()].groupby("campaign_id"):
        offer_history, reason = with_enough_data(_offer_history(str(campaign), rows, archive))
        if reason:
            step(f"offers of {campaign}: not all learned ({reason})")
        if offer_history is not None:
            usable_offers.append(offer_history)
    if not usable and not usable_offers:
        return None
    return fit_uplift(usable, usable_offers, seed=config.seed, threads=threads)


def _own_entries(space: Workspace, config: Config) -> pd.DataFrame:
    """Entries into the campaigns of published runs, with a complete response window.

    Returns
    -------
    DataFrame
        The columns of `flows.services.measure.campaign_entries`; ``response`` is an order, and
        ``day`` the day number of the entry. Of each campaign only the latest days.
    """
    runs = [run for run in scores_store.published_runs(space.output) if run.status == "published"]
    if not runs or not config.campaigns:
        return pd.DataFrame(columns=["campaign_id", "propensities"])
    taxonomy = StageSet.of(load_taxonomy(config))
    playbooks = with_exclusion_lists(load_playbooks([Path(p) for p in config.campaigns]), taxonomy)
    with_control_arms = [b for b in playbooks if b.kind == "promotional" and b.control_share > 0]
    entry_rows = campaign_entries(space.output, runs, with_control_arms)
    entry_rows = entry_rows[
        entry_rows["matures_at"] <= pd.Timestamp(data_through(space.output, config))
    ]
    entry_rows = entry_rows.assign(role="purchase")
    entry_rows = entry_rows.join(outcomes(space.output, config, entry_rows, margin=1.0))
    days = entry_rows["entered_at"].map(lambda at: day_number(pd.Timestamp(at).date()))
    entry_rows = entry_rows.assign(day=days.astype(np.int64))
    age = entry_rows.groupby("campaign_id")["day"].rank(method="dense", ascending=False)
    return entry_rows[age <= _MOST_ENTRY_DAYS].reset_index(drop=True)


def _own_campaigns(entry_rows: pd.DataFrame) -> list[RandomisedSends]:
    """Campaigns as treatment against control, whatever the offers."""
    campaign_sends = []
    for campaign, campaign_rows in entry_rows.groupby("campaign_id", sort=True):
        send_rows = pd.DataFrame(
            {
                "customer_id": campaign_rows["customer_id"].astype(str),
                "day": campaign_rows["day"],
                "treatment": (campaign_rows["arm"] == TREATMENT).astype(float),
                "propensity": 1 - campaign_rows["control_share"],
                "response": campaign_rows["response"],
            }
        ).reset_index(drop=True)
        name = str(campaign)
        campaign_sends.append(
            RandomisedSends(name, (name,), send_rows, int(campaign_rows["within_days"].iloc[-1]))
        )
    return campaign_sends


def _offer_history(campaign: str, entry_rows: pd.DataFrame, archive: Archive) -> OfferHistory:
    """Waves of a campaign with several offers, with the features of their days."""
    entry_rows = entry_rows.assign(customer_id=entry_rows["customer_id"].astype(str))
    rows, frame = _joined_features(campaign, entry_rows.reset_index(drop=True), archive)
    chances = pd.DataFrame([json.loads(text) for text in rows["propensities"]]).fillna(0.0)
    offers = tuple(sorted(name for name in chances if name != NOTHING))
    names = pd.Index([NOTHING, *offers])
    experiment = OfferExperiment(
        frame[effect_columns(frame)].astype(float),
        offers,
        names.get_indexer(rows["offer_name"]).astype(float),
        rows["response"].to_numpy(dtype=float),
        chances.reindex(columns=names, fill_value=0.0).to_numpy(dtype=float),
        np.unique(rows["customer_id"], return_inverse=True)[1],
    )
    return OfferHistory(
        campaign,
        {offer: offer_uplift_name(campaign, offer) for offer in offers},
        experiment,
        frame["stage__code"].to_numpy(dtype=float),
        int(rows["within_days"].iloc[-1]),
    )


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


def _joined_features(
    name: str, send_rows: pd.DataFrame, archive: Archive
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of people with events before the send, and the features of the send's day."""
    parts, frames = [], []
    for day, day_rows in send_rows.groupby("day", sort=True):
        features = archive.features(int(day)).set_index("customer_id")
        day_rows = day_rows[day_rows["customer_id"].isin(features.index)]
        parts.append(day_rows)
        frames.append(features.loc[day_rows["customer_id"]])
    rows, frame = pd.concat(parts, ignore_index=True), pd.concat(frames, ignore_index=True)
    if dropped_rows := len(send_rows) - len(rows):
        first_day = day_date(int(send_rows["day"].min()))
        step(
            f"uplift of {name}: {dropped_rows:,} rows of people without events "
            f"(from {first_day}) are left out"
        )
    return rows, frame


def _with_features(sent: RandomisedSends, archive: Archive) -> SendHistory:
    """Join the features of the send's day; drop people without events before it."""
    rows, frame = _joined_features(sent.name, sent.rows, archive)
    treatment, response, propensity = (
        rows[name].to_numpy(dtype=float) for name in ("treatment", "response", "propensity")
    )
    person_codes = np.unique(rows["customer_id"], return_inverse=True)[1]
    model_inputs = frame[effect_columns(frame)].astype(float)
    data = Experiment(model_inputs, treatment, response, propensity, person_codes)
    return SendHistory(
        sent.name, sent.campaigns, data, frame["stage__code"].to_numpy(dtype=float), sent.days
    )
