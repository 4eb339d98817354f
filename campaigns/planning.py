"""Assignment: from scores and playbooks to the members of every campaign, with their arms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from campaigns.allocation import Room, best_first, claim_addresses, fill, keep, say_who_is_held_out
from campaigns.candidates import Draft, counted_channels, drafted, needed_columns, with_exclusions
from campaigns.customer_context import Circumstances
from campaigns.expected_value import RESPONSE_LABEL as VALUE_LABEL
from campaigns.expected_value import uplift_name, uplifts
from campaigns.holdout import CONTROL, TREATMENT, arms, smallest_detectable_effect
from campaigns.membership import AUDIENCE_COLUMNS, removed_rows
from campaigns.membership_reasons import reasons
from campaigns.optimiser.problem import Solution
from campaigns.playbook import Playbook, StageSet
from campaigns.rules import Moment, numbers

__all__ = ["VALUE_LABEL", "CampaignPlan", "Consent", "plan_campaigns"]

Consent = Literal["not_recorded", "managed_elsewhere", "recorded"]


@dataclass(frozen=True)
class CampaignPlan:
    """Who is in which campaign, who is not and why, and what to expect.

    Attributes
    ----------
    audience
        One row per (campaign_id, customer_id), the columns of `AUDIENCE_COLUMNS`: members by rank,
        then those ``removed`` since the previous audience.
    exclusions
        One row per (campaign_id, reason): ``customers`` counted once a campaign, at the first
        reason. With the members they add up to all scored customers.
    table
        One row a campaign, columns `TABLE_COLUMNS`: ``eligible`` (meet stage and rule), ``barred``
        (of those: no consent, suppressed, held out of everything), ``overlap`` (eligible for
        another promotional campaign too), ``expected_value`` (treatment, net of discount and
        contact cost), ``cost`` (of contacting it), ``smallest_detectable_effect`` (difference of
        rates; null without control), ``held`` (why the export waits; empty: it does not).
    why
        Campaign -> first reason of every scored customer; empty for members.
    customers
        Ids of the scored customers, in the order of `why`.
    snapshot_at, consent
        Date of the scores; consent basis.
    playbooks
        The playbooks, in the order served.
    solution
        Total, bound and method of an assignment by value; None where priority decided.
    """

    audience: pd.DataFrame
    exclusions: pd.DataFrame
    table: pd.DataFrame
    snapshot_at: pd.Timestamp
    consent: Consent
    playbooks: tuple[Playbook, ...]
    why: Mapping[str, Any] = field(default_factory=dict)
    customers: pd.Index[Any] = field(default_factory=lambda: pd.Index([]))
    solution: Solution | None = None

    @property
    def plan_only(self) -> bool:
        """Whether the audiences may only be looked at: nobody recorded consent."""
        return self.consent == "not_recorded"


def plan_campaigns(
    scores: pd.DataFrame,
    playbooks: Sequence[Playbook],
    *,
    snapshot_at: dt.date,
    taxonomy: StageSet,
    previous: pd.DataFrame | None,
    consent: Consent,
    salt: str,
    around: Circumstances | None = None,
    seed: int = 0,
) -> CampaignPlan:
    """Members, arms and expectations of every campaign at one snapshot.

    Members stay until they leave the playbook's stages, meet ``exit_on``, lose consent or expire,
    and keep their arm. The places left go to newcomers, by priority and rank or by the highest
    expected value in all, within caps, capacities and budgets. Selection comes before
    randomisation, so that both arms are alike. The same inputs give the same plan.

    Parameters
    ----------
    scores
        Scored rows of one snapshot, one a customer; ``customer_id`` and ``stage`` at least.
    playbooks
        The campaigns.
    snapshot_at
        Date of the scores.
    taxonomy
        Name, stages and parameters of the taxonomy in use.
    previous
        Last word on each campaign and customer from snapshots before this one
        (`features.storage.scores_store.previous_audience`), or None.
    consent
        Consent basis of the config.
    salt
        Text that fixes the randomisation.
    around
        What is known of the customers beside their scores; default: nothing.
    seed
        Of the solver's sample.

    Raises
    ------
    UserError
        Where a playbook does not fit the taxonomy or the type of a scored column.
    ValueError
        Where a customer appears twice, or ``previous`` reaches the snapshot.
    """
    around = around or Circumstances()
    moment = Moment(pd.Timestamp(snapshot_at), taxonomy.parameters)
    books = with_exclusions(playbooks, taxonomy)
    rows = scores[needed_columns(scores, books)].sort_values("customer_id", ignore_index=True)
    _check(rows, previous, moment)
    customers = pd.Index(rows["customer_id"])
    around = around.aligned(customers)
    room = Room(customers, around, counted_channels(books))
    added = uplifts(rows, [uplift_name(book) for book in books])
    drafts = [
        drafted(
            playbook,
            rows,
            previous,
            taxonomy=taxonomy,
            moment=moment,
            around=around,
            salt=salt,
            room=(room.by_channel, room.channels),
            uplifts=added,
        )
        for playbook in books
    ]
    claim_addresses(drafts, customers, around.addresses)
    keep(drafts, room)
    solution = fill(drafts, room, around, seed=seed)
    audience = [_members(draft, rows, moment=moment, salt=salt) for draft in drafts]
    say_who_is_held_out(drafts, audience, customers)
    gone = [
        _gone(draft, previous, joined, customers, moment)
        for draft, joined in zip(drafts, audience, strict=True)
    ]
    overlap = np.sum([d.eligible for d in drafts if d.promotional], axis=0)
    table = [
        _summary(draft, rows, joined, left, consent=consent, around=around, overlap=overlap)
        for draft, joined, left in zip(drafts, audience, gone, strict=True)
    ]
    return CampaignPlan(
        audience=_stacked([part for pair in zip(audience, gone, strict=True) for part in pair]),
        exclusions=_counted(drafts),
        table=pd.DataFrame(table, columns=list(TABLE_COLUMNS)),
        snapshot_at=moment.snapshot_at,
        consent=consent,
        playbooks=tuple(draft.playbook for draft in drafts),
        why={draft.playbook.campaign: draft.failure for draft in drafts},
        customers=customers,
        solution=solution,
    )


TABLE_COLUMNS = (
    "campaign_id",
    "title",
    "kind",
    "priority",
    "channel",
    "eligible",
    "barred",
    "overlap",
    "members",
    "treatment",
    "control",
    "added",
    "kept",
    "removed",
    "expected_value",
    "cost",
    "base_rate",
    "smallest_detectable_effect",
    "value_label",
    "value_means",
    "consent_basis",
    "plan_only",
    "held",
)


def _check(rows: pd.DataFrame, previous: pd.DataFrame | None, moment: Moment) -> None:
    if rows["customer_id"].duplicated().any():
        raise ValueError("a customer appears twice in the scores")
    if previous is not None and len(previous):
        latest = pd.to_datetime(previous["snapshot_at"]).max()
        if latest >= moment.snapshot_at:
            raise ValueError(f"previous audience of {latest} for a snapshot {moment.snapshot_at}")


def _gone(
    draft: Draft,
    previous: pd.DataFrame | None,
    joined: pd.DataFrame,
    customers: pd.Index[Any],
    moment: Moment,
) -> pd.DataFrame:
    """Audience rows of earlier members who are in the campaign no longer."""
    if previous is None or not (previous["campaign_id"] == draft.playbook.campaign).any():
        return pd.DataFrame(columns=list(AUDIENCE_COLUMNS))
    return removed_rows(
        draft.playbook,
        previous,
        staying=joined["customer_id"],
        why=dict(zip(customers, draft.failure, strict=True)),
        moment=moment,
    )


def _members(draft: Draft, rows: pd.DataFrame, *, moment: Moment, salt: str) -> pd.DataFrame:
    """Audience rows of the members, best first."""
    playbook, earlier = draft.playbook, draft.standing
    chosen = np.flatnonzero(draft.member)
    chosen = chosen[best_first(draft.rank[chosen])]
    kept = ~draft.newcomer[chosen]
    customers = rows["customer_id"].to_numpy(dtype=object)[chosen]
    arm = earlier.arm[chosen].copy()
    # The wave is the day of entry: a later wave draws anew, a member never changes arm.
    arm[~kept] = arms(
        list(customers[~kept]),
        salt=salt,
        campaign=playbook.campaign,
        wave=moment.snapshot_at.date().isoformat(),
        control_share=playbook.control_share,
    )
    lifetime = np.timedelta64(playbook.expires_days, "D")
    entered = np.where(kept, earlier.entered_at[chosen], moment.snapshot_at.to_datetime64())
    expires = np.where(kept, earlier.expires_at[chosen], entered + lifetime)
    channels = np.array(playbook.channels, dtype=object)
    return pd.DataFrame(
        {
            "campaign_id": playbook.campaign,
            "customer_id": customers,
            "snapshot_at": moment.snapshot_at,
            "channel": channels[draft.channel[chosen]],
            "rank": np.arange(1, len(chosen) + 1, dtype=float),
            "expected_value": draft.worth.expected[chosen],
            "arm": arm,
            "change": np.where(kept, "kept", "added").astype(object),
            "entered_at": entered.astype("datetime64[s]"),
            "expires_at": expires.astype("datetime64[s]"),
            "reasons": reasons(playbook.audience, rows.iloc[chosen], moment),
        },
        columns=list(AUDIENCE_COLUMNS),
    )


def _summary(
    draft: Draft,
    rows: pd.DataFrame,
    joined: pd.DataFrame,
    left: pd.DataFrame,
    *,
    consent: Consent,
    around: Circumstances,
    overlap: Any,
) -> dict[str, Any]:
    """Row of the plan table."""
    playbook = draft.playbook
    treated = joined["arm"] == TREATMENT
    rate = float("nan")
    if playbook.success.base_rate is not None and len(joined):
        known = numbers(rows, playbook.success.base_rate)[draft.member]
        rate = float(np.mean(known[~np.isnan(known)])) if (~np.isnan(known)).any() else rate
    shared = int((draft.eligible & (overlap > 1)).sum()) if draft.promotional else 0
    return {
        "campaign_id": playbook.campaign,
        "title": playbook.title,
        "kind": playbook.kind,
        "priority": playbook.priority,
        "channel": ", ".join(playbook.channels),
        "eligible": int(draft.eligible.sum()),
        "barred": int(draft.barred.sum()),
        "overlap": shared,
        "members": len(joined),
        "treatment": int(treated.sum()),
        "control": int((joined["arm"] == CONTROL).sum()),
        "added": int((joined["change"] == "added").sum()),
        "kept": int((joined["change"] == "kept").sum()),
        "removed": len(left),
        "expected_value": float(joined.loc[treated, "expected_value"].sum()),
        "cost": int(treated.sum()) * playbook.contact_cost,
        "base_rate": rate,
        "smallest_detectable_effect": smallest_detectable_effect(
            len(joined), rate, playbook.control_share
        ),
        "value_label": draft.worth.label(draft.member)
        if playbook.value is not None
        else "no value set",
        "value_means": playbook.value.means if playbook.value is not None else "",
        "consent_basis": consent,
        "plan_only": consent == "not_recorded",
        "held": around.held.get(playbook.campaign, ""),
    }


def _counted(drafts: Sequence[Draft]) -> pd.DataFrame:
    """Exclusions per campaign and reason."""
    counted = []
    for draft in drafts:
        codes, found = pd.factorize(draft.failure)
        for reason, n in sorted(zip(found, np.bincount(codes), strict=True)):
            if reason:
                counted.append((draft.playbook.campaign, str(reason), int(n)))
    return pd.DataFrame(counted, columns=["campaign_id", "reason", "customers"])


def _stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame({c: pd.Series(dtype=t) for c, t in AUDIENCE_COLUMNS.items()})
    return pd.concat(filled, ignore_index=True).astype(dict(AUDIENCE_COLUMNS))
