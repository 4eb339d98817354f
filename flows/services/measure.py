"""Measure flow: effects of the published campaigns, from the events after their start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campaigns.audience_files import MANIFEST_FILE
from campaigns.candidates import with_exclusion_lists
from campaigns.holdout import CONTROL, TREATMENT
from campaigns.measurement import (
    CampaignEntries,
    campaign_effects,
    entries_from_audience,
    unmeasured_campaigns,
    wave_sizes,
)
from campaigns.membership import AUDIENCE_COLUMNS
from campaigns.playbook import Playbook
from campaigns.playbook_loading import load_playbooks
from campaigns.policy.own_decisions import own_decisions
from campaigns.stage_set import StageSet
from features.config.config import Config
from features.errors import UserError
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.storage import scores_store
from features.storage.runs import PublishedRun, run_folder
from features.table.campaign_outcomes import data_through, messages_received, outcomes
from flows.services.console import step, write_table_file
from flows.services.measurement_files import write_measurement
from flows.services.programme import ALL_CHANNELS, global_entries, is_month, months_as_groups
from flows.services.workspace import Workspace

_SCORES_AT_ENTRY = ("clv", "p_any_order")
_PAST_DAYS = 365  # of spend before the entry
_DIMENSIONS = ("channel", "stage", "entry_month")


def measure(output: Path, decisions_file: Path | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Effects of every campaign, and campaigns that cannot be measured yet; written to files.

    The files lie in the folder ``measurement`` of the output folder, with the sizes of the waves;
    `features.storage.scores_store.publish_results` publishes them. A `decisions_file` gets the
    campaigns as a log of decisions (`campaigns.policy.own_decisions`).

    Raises
    ------
    UserError
        If nothing has been published.
    """
    space = Workspace(output)
    config = space.config()
    runs = [run for run in scores_store.published_runs(output) if run.status == "published"]
    if not runs:
        raise UserError(
            str(output),
            found="no published run",
            expected="campaigns that were planned and published",
            hint="run `stagecast run` or `stagecast score` first",
        )
    taxonomy = StageSet.of(load_taxonomy(config))
    playbooks = with_exclusion_lists(load_playbooks([Path(p) for p in config.campaigns]), taxonomy)
    measured = [book for book in playbooks if book.kind in ("promotional", "service")]
    through = pd.Timestamp(data_through(output, config))
    own_entries = campaign_entries(output, runs, measured)
    all_holdout_entries = global_entries(runs, config, through, partial(_scores, output))
    entry_rows = pd.concat([own_entries, all_holdout_entries], ignore_index=True)
    entry_rows = with_outcomes(output, config, entry_rows, through)
    contacted = _contacted(output, config, entry_rows, treatment_days(output, runs))
    entry_rows = entry_rows.assign(contacted=contacted)
    waves = CampaignEntries(entry_rows, through)
    if decisions_file is not None:
        decisions = own_decisions(waves)
        write_table_file(decisions, decisions_file, "--decisions")
        step(f"{len(decisions):,} decisions of campaigns with control customers: {decisions_file}")
    effects = months_as_groups(campaign_effects(waves, seed=config.seed, dimensions=_DIMENSIONS))
    unmeasurable = unmeasured_campaigns(waves, [book.campaign for book in measured])
    sizes = wave_sizes(waves)
    whole_sizes = sizes[~is_month(sizes["campaign_id"])]
    write_measurement(output, effects, whole_sizes, unmeasurable, through=through)
    return effects, unmeasurable


def campaign_entries(
    output: Path, runs: list[PublishedRun], playbooks: list[Playbook]
) -> pd.DataFrame:
    """One row per campaign and customer: the first entry, with the stage of that day.

    While a campaign was held, its messages were not sent: its members enter on the day of release.
    Who enters again keeps the arm. Later entries depend on what the first one changed, and are not
    compared.
    """
    terms_by_campaign = {b.campaign: (b.success.within_days, b.control_share) for b in playbooks}
    by_campaign = {book.campaign: book for book in playbooks}
    role_by_campaign = {b.campaign: b.success.role for b in playbooks}
    held_members: set[tuple[str, str]] = set()
    parts = []
    for run in sorted(runs, key=lambda run: run.snapshot_at):
        campaign_manifests = _manifest(output, run)
        audience = pd.read_parquet(output / run.audience_file)
        audience["entered_at"] = pd.to_datetime(audience["entered_at"])
        held_rows = audience["campaign_id"].isin(
            [c for c, manifest in campaign_manifests.items() if manifest.get("held")]
        )
        member_keys = pd.MultiIndex.from_frame(audience[["campaign_id", "customer_id"]])
        released = ~held_rows & (audience["change"] == "kept") & member_keys.isin(held_members)
        audience.loc[released, "entered_at"] = pd.Timestamp(run.snapshot_at)
        audience.loc[released, "change"] = "added"
        held_members |= set(member_keys[held_rows & (audience["change"] == "added")])
        held_members -= set(member_keys[~held_rows])
        run_entries = entries_from_audience(
            audience[~held_rows],
            {**terms_by_campaign, **_planned(campaign_manifests, terms_by_campaign)},
        )
        if len(run_entries):
            run_entries = _with_terms(run_entries, campaign_manifests, by_campaign)
            parts.append(_with_scores(run_entries, output, run))
    entered = pd.concat(parts, ignore_index=True) if parts else _no_entries()
    rows = entered.drop_duplicates(["campaign_id", "customer_id"], ignore_index=True)
    rows["role"] = [role_by_campaign[name] for name in rows["campaign_id"]]
    return rows.assign(entry_month=_entry_months(rows))


def _entry_months(rows: pd.DataFrame) -> pd.Series[Any]:
    """Month in which the waves entered, such as 2024-10; null if a campaign has only one month."""
    month = pd.to_datetime(rows["entered_at"]).dt.strftime("%Y-%m").astype(object)
    months = month.groupby(rows["campaign_id"]).transform("nunique")
    return month.where(months > 1, None)


def _no_entries() -> pd.DataFrame:
    """Return an empty table of entries."""
    nobody = pd.DataFrame(columns=list(AUDIENCE_COLUMNS)).astype(dict(AUDIENCE_COLUMNS))
    entries = entries_from_audience(nobody, {})
    return entries.assign(stage=None, contact_cost=np.nan, discount=np.nan)


def _manifest(output: Path, run: PublishedRun) -> dict[str, Any]:
    """Manifest entries of a run's audiences, by campaign."""
    path = run_folder(output, run.run_id) / "audiences" / MANIFEST_FILE
    if not path.is_file():
        return {}
    campaign_rows = json.loads(path.read_text(encoding="utf-8"))["campaigns"]
    return {campaign["campaign_id"]: campaign for campaign in campaign_rows}


def _planned(
    manifests: Mapping[str, Any], terms: Mapping[str, tuple[int, float]]
) -> dict[str, tuple[int, float]]:
    """Planned days of success and control share: the playbook may have changed since."""
    return {
        campaign: (int(manifest["success_within_days"]), float(manifest["control_share"]))
        for campaign, manifest in manifests.items()
        if campaign in terms
    }


def _with_terms(
    entries: pd.DataFrame, manifests: Mapping[str, Any], by_campaign: Mapping[str, Playbook]
) -> pd.DataFrame:
    """Entries with ``contact_cost`` and ``discount``: of the offer of the wave, or the playbook's.

    The control arm has the terms of none of several offers, and costs nothing.
    """
    terms = []
    for campaign, offer in zip(entries["campaign_id"], entries["offer_name"], strict=True):
        book = by_campaign[campaign]
        offers = manifests.get(campaign, {}).get("offers", {})
        wave = offers.get(offer, {"contact_cost": book.contact_cost, "discount": book.discount})
        terms.append((wave["contact_cost"], wave["discount"]))
    costs = pd.DataFrame(terms, columns=["contact_cost", "discount"], index=entries.index)
    return entries.join(costs)


def _with_scores(entries: pd.DataFrame, output: Path, run: PublishedRun) -> pd.DataFrame:
    """Entries with the stage and the scores of their day."""
    scores = _scores(output, run).reindex(entries["customer_id"])
    return entries.assign(**{name: scores[name].to_numpy() for name in scores})


def _scores(output: Path, run: PublishedRun) -> pd.DataFrame:
    """Stage and scores of a run that may serve as covariates, by customer."""
    scores = pd.read_parquet(
        run_folder(output, run.run_id) / "scores",
        columns=["customer_id", "stage", *_SCORES_AT_ENTRY],
    )
    return scores.set_index("customer_id")


def with_outcomes(
    output: Path, config: Config, rows: pd.DataFrame, through: pd.Timestamp
) -> pd.DataFrame:
    """Entries with outcomes after the entry, and with the spend of the year before it."""
    matured = rows[pd.to_datetime(rows["matures_at"]) <= through]
    if matured.empty:
        return rows.assign(response=np.nan, orders=np.nan, revenue=np.nan, margin=np.nan)
    outcome_columns = outcomes(output, config, matured, margin=config.contact_policy.margin)
    year_before = matured.assign(
        entered_at=pd.to_datetime(matured["entered_at"]) - pd.Timedelta(days=_PAST_DAYS),
        within_days=_PAST_DAYS,
    )
    past = outcomes(output, config, year_before, margin=config.contact_policy.margin)
    return rows.join(outcome_columns).assign(past_spend=past["revenue"])


def treatment_days(output: Path, runs: list[PublishedRun]) -> pd.DataFrame:
    """Days on which customers were in the treatment arm of a campaign that was not held.

    Returns
    -------
    DataFrame
        campaign_id, customer_id, channel, day (of the run).
    """
    parts = []
    for run in runs:
        held_campaigns = [
            name for name, manifest in _manifest(output, run).items() if manifest.get("held")
        ]
        audience = pd.read_parquet(
            output / run.audience_file,
            columns=["campaign_id", "customer_id", "channel", "arm", "change"],
        )
        is_member = (audience["change"] != "removed") & ~audience["campaign_id"].isin(
            held_campaigns
        )
        treated = audience[is_member & (audience["arm"] == TREATMENT)]
        parts.append(treated.drop(columns=["arm", "change"]).assign(day=run.snapshot_at))
    days = pd.concat(parts, ignore_index=True)
    return days.assign(day=pd.to_datetime(days["day"]))


def _contacted(
    output: Path, config: Config, rows: pd.DataFrame, treated: pd.DataFrame
) -> pd.Series[Any]:
    """By entry: 1 if a message arrived in the campaign's channel and days, else 0.

    A message to a held-out customer who was in another campaign's treatment arm belongs to that
    campaign and does not count. Null where the data record no messages.
    """
    matured = rows["revenue"].notna()
    contacted = pd.Series(np.nan, index=rows.index)
    # The global hold-out is of every channel.
    rows = rows.assign(channel=rows["channel"].where(rows["channel"] != ALL_CHANNELS))
    if matured.any():
        received = messages_received(output, config, rows[matured])
        contacted[matured] = (received > 0).astype(float).where(received.notna())
    suspects = rows[(contacted > 0) & (rows["arm"] == CONTROL)]
    pairs = suspects.reset_index(names="entry").merge(
        treated, on="customer_id", suffixes=("", "_other")
    )
    last_day = pairs["entered_at"] + pd.to_timedelta(pairs["within_days"], unit="D")
    elsewhere = (
        (pairs["campaign_id"] != pairs["campaign_id_other"])
        & (pairs["channel"].isna() | (pairs["channel"] == pairs["channel_other"]))
        & (pairs["day"] >= pairs["entered_at"])
        & (pairs["day"] < last_day)
    )
    contacted[pairs.loc[elsewhere, "entry"]] = 0.0
    return contacted
