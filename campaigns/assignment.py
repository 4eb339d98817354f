"""Assignment: from scores and playbooks to the members of every campaign, with their arms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from campaigns.eligibility import first_failure, playbook_gates
from campaigns.holdout import CONTROL, TREATMENT, arms, smallest_detectable_effect
from campaigns.membership import AUDIENCE_COLUMNS, Standing, removed_rows, standing
from campaigns.playbook import Playbook, StageSet, by_priority
from campaigns.rules import BoolArray, Moment, Text, holds, numbers, reasons

Consent = Literal["not_recorded", "managed_elsewhere"]
# No randomised history yet: the value says who responds, not whom the message changes.
VALUE_LABEL = "response, not uplift"

Numbers = npt.NDArray[np.float64]


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
        One row a campaign: ``campaign_id, title, kind, priority, channel, eligible`` (customers who
        meet stage and rule), ``members, treatment, control, added, kept, removed,
        expected_value`` (treatment, net of contact cost), ``cost`` (of contacting it),
        ``base_rate, smallest_detectable_effect`` (difference of rates; null without control),
        ``value_label, value_means, consent_basis, plan_only``.
    snapshot_at, consent
        Date of the scores; consent basis.
    playbooks
        The playbooks, in the order served.
    """

    audience: pd.DataFrame
    exclusions: pd.DataFrame
    table: pd.DataFrame
    snapshot_at: pd.Timestamp
    consent: Consent
    playbooks: tuple[Playbook, ...]

    @property
    def plan_only(self) -> bool:
        """Whether the audiences may only be looked at: nobody recorded consent."""
        return self.consent == "not_recorded"


@dataclass
class _Draft:
    """A campaign while it is being filled; all arrays are of shape (customers,)."""

    playbook: Playbook
    failure: Text
    standing: Standing
    worth: Numbers
    member: BoolArray
    newcomer: BoolArray


def plan_campaigns(
    scores: pd.DataFrame,
    playbooks: Sequence[Playbook],
    *,
    snapshot_at: dt.date,
    taxonomy: StageSet,
    previous: pd.DataFrame | None,
    consent: Consent,
    salt: str,
) -> CampaignPlan:
    """Members, arms and expectations of every campaign at one snapshot.

    Members stay until they leave the playbook's stages, meet ``exit_on`` or expire, and keep their
    arm. The places left go to newcomers by rank, campaigns in order of priority; a customer is in
    at most one promotional campaign. Selection comes before randomisation, so that both arms are
    alike. The same inputs give the same plan.

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
        (`features.store.previous_audience`), or None.
    consent
        Consent basis of the config.
    salt
        Text that fixes the randomisation.

    Raises
    ------
    UserError
        Where a playbook does not fit the taxonomy or the type of a scored column.
    ValueError
        Where a customer appears twice, or ``previous`` reaches the snapshot.
    """
    moment = Moment(pd.Timestamp(snapshot_at), taxonomy.parameters)
    rows = scores.sort_values("customer_id", ignore_index=True)
    _check(rows, previous, moment)
    drafts = [
        _draft(playbook, rows, previous, taxonomy=taxonomy, moment=moment)
        for playbook in by_priority(playbooks)
    ]
    _keep(drafts)
    for draft in drafts:
        _fill(draft, drafts)
    audience = [_members(draft, rows, moment=moment, salt=salt) for draft in drafts]
    gone = [
        removed_rows(
            draft.playbook,
            previous,
            staying=joined["customer_id"],
            why=dict(zip(rows["customer_id"], draft.failure, strict=True)),
            moment=moment,
        )
        for draft, joined in zip(drafts, audience, strict=True)
    ]
    table = [
        _summary(draft, rows, joined, left, consent)
        for draft, joined, left in zip(drafts, audience, gone, strict=True)
    ]
    return CampaignPlan(
        audience=_stacked([part for pair in zip(audience, gone, strict=True) for part in pair]),
        exclusions=_counted(drafts),
        table=pd.DataFrame(table, columns=list(TABLE_COLUMNS)),
        snapshot_at=moment.snapshot_at,
        consent=consent,
        playbooks=tuple(draft.playbook for draft in drafts),
    )


TABLE_COLUMNS = (
    "campaign_id",
    "title",
    "kind",
    "priority",
    "channel",
    "eligible",
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
)


def _check(rows: pd.DataFrame, previous: pd.DataFrame | None, moment: Moment) -> None:
    if rows["customer_id"].duplicated().any():
        raise ValueError("a customer appears twice in the scores")
    if previous is not None and len(previous):
        latest = pd.to_datetime(previous["snapshot_at"]).max()
        if latest >= moment.snapshot_at:
            raise ValueError(f"previous audience of {latest} for a snapshot {moment.snapshot_at}")


def _draft(
    playbook: Playbook,
    rows: pd.DataFrame,
    previous: pd.DataFrame | None,
    *,
    taxonomy: StageSet,
    moment: Moment,
) -> _Draft:
    """A campaign with its earlier members and everybody's first failure, nobody chosen yet."""
    gates = playbook_gates(playbook, rows, taxonomy=taxonomy, moment=moment)
    failure = first_failure(gates, len(rows))
    leaving = (
        failure != ""
        if playbook.exit_on is None
        else ~gates[0].passes | holds(playbook.exit_on, rows, moment)
    )
    return _Draft(
        playbook=playbook,
        failure=failure,
        standing=standing(
            playbook,
            rows["customer_id"],
            previous,
            failure=failure,
            leaving=leaving,
            moment=moment,
        ),
        worth=_product(rows, playbook.rank_by),
        member=np.zeros(len(rows), dtype=bool),
        newcomer=np.zeros(len(rows), dtype=bool),
    )


def _product(rows: pd.DataFrame, columns: Sequence[str]) -> Numbers:
    product: Numbers = np.prod([numbers(rows, column) for column in columns], axis=0)
    return product


def _claimed(draft: _Draft, drafts: Sequence[_Draft]) -> Text:
    """Campaign that already has each customer, where that shuts them out of this one."""
    claimed = np.full(len(draft.member), "", dtype=object)
    if draft.playbook.kind == "promotional":
        for other in drafts:
            if other is not draft and other.playbook.kind == "promotional":
                claimed[other.member & (claimed == "")] = other.playbook.campaign
    return claimed


def _keep(drafts: Sequence[_Draft]) -> None:
    """Let members stay, before anybody enters: a move between campaigns would spoil both."""
    for draft in drafts:
        draft.member = draft.standing.staying & (_claimed(draft, drafts) == "")


def _fill(draft: _Draft, drafts: Sequence[_Draft]) -> None:
    """Give the places left to newcomers by rank, and say why the others stay outside."""
    outside = ~draft.member
    left = outside & (draft.standing.bar != "")
    draft.failure[left] = draft.standing.bar[left]
    claimed = _claimed(draft, drafts)
    elsewhere = outside & (draft.failure == "") & (claimed != "")
    draft.failure[elsewhere] = np.array(
        [f"in campaign {other}" for other in claimed[elsewhere]], dtype=object
    )
    candidates = np.flatnonzero(outside & (draft.failure == ""))
    places = len(candidates)
    if draft.playbook.capacity is not None:
        places = max(0, draft.playbook.capacity - int(draft.member.sum()))
    ordered = candidates[_best_first(draft.worth[candidates])]
    draft.newcomer[ordered[:places]] = True
    draft.failure[ordered[places:]] = "capacity reached"
    draft.member |= draft.newcomer
    draft.failure[draft.member] = ""


def _best_first(worth: Numbers) -> npt.NDArray[np.intp]:
    """Order by falling worth, unknown worth last, ties in the order of customer ids."""
    return np.argsort(-np.nan_to_num(worth, nan=-np.inf), kind="stable")


def _members(draft: _Draft, rows: pd.DataFrame, *, moment: Moment, salt: str) -> pd.DataFrame:
    """Audience rows of the members, best first."""
    playbook, earlier = draft.playbook, draft.standing
    chosen = np.flatnonzero(draft.member)
    chosen = chosen[_best_first(draft.worth[chosen])]
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
    members = rows.iloc[chosen]
    return pd.DataFrame(
        {
            "campaign_id": playbook.campaign,
            "customer_id": customers,
            "snapshot_at": moment.snapshot_at,
            "channel": playbook.channel,
            "rank": np.arange(1, len(chosen) + 1, dtype=float),
            "expected_value": expected_value(playbook, members),
            "arm": arm,
            "change": np.where(kept, "kept", "added").astype(object),
            "entered_at": entered.astype("datetime64[s]"),
            "expires_at": expires.astype("datetime64[s]"),
            "reasons": reasons(playbook.audience, members, moment),
        },
        columns=list(AUDIENCE_COLUMNS),
    )


def expected_value(playbook: Playbook, members: pd.DataFrame) -> Numbers:
    """What contacting each customer may bring, in money; NaN where a column is missing.

    Product of the declared columns x (1 - discount) - contact cost. It is response, not uplift:
    it counts those who would have ordered without a message.
    """
    gross = _product(members, playbook.value.product) * (1 - playbook.offer.discount)
    value: Numbers = gross - playbook.contact_cost
    return value


def _summary(
    draft: _Draft,
    rows: pd.DataFrame,
    joined: pd.DataFrame,
    left: pd.DataFrame,
    consent: Consent,
) -> dict[str, Any]:
    """Row of the plan table."""
    playbook = draft.playbook
    treated = joined["arm"] == TREATMENT
    rate = float("nan")
    if playbook.success.base_rate is not None and len(joined):
        known = numbers(rows, playbook.success.base_rate)[draft.member]
        rate = float(np.mean(known[~np.isnan(known)])) if (~np.isnan(known)).any() else rate
    return {
        "campaign_id": playbook.campaign,
        "title": playbook.title,
        "kind": playbook.kind,
        "priority": playbook.priority,
        "channel": playbook.channel,
        "eligible": int(draft.standing.eligible.sum()),
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
        "value_label": VALUE_LABEL,
        "value_means": playbook.value.means,
        "consent_basis": consent,
        "plan_only": consent == "not_recorded",
    }


def _counted(drafts: Sequence[_Draft]) -> pd.DataFrame:
    """Exclusions per campaign and reason."""
    counted = [
        (draft.playbook.campaign, reason, int(n))
        for draft in drafts
        for reason, n in zip(*np.unique(draft.failure.astype(str), return_counts=True), strict=True)
        if reason
    ]
    return pd.DataFrame(counted, columns=["campaign_id", "reason", "customers"])


def _stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame({c: pd.Series(dtype=t) for c, t in AUDIENCE_COLUMNS.items()})
    return pd.concat(filled, ignore_index=True).astype(dict(AUDIENCE_COLUMNS))
