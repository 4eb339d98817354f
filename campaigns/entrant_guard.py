"""The re-staging guard: exports wait for a confirmation where a change of ours moved customers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

SNAPSHOTS = 8  # the trailing median looks back so many snapshots
ENOUGH = 3  # and says nothing of fewer
MANY_TIMES = 3.0
FEW = 10  # entrants that are never too many


@dataclass(frozen=True)
class GuardState:
    """What stood when a run planned its campaigns; kept in the audience manifest.

    Attributes
    ----------
    taxonomy
        Fingerprint of the stages' rules and parameters.
    scorer_version
        Version of the champion.
    held
        Campaign -> why its export waits.
    campaigns
        All campaigns planned.
    """

    taxonomy: str
    scorer_version: str
    held: Mapping[str, str] = field(default_factory=dict)
    campaigns: tuple[str, ...] = ()

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> GuardState | None:
        """The state that a manifest tells; None where it is from before there was a guard."""
        found = manifest.get("guard")
        if not isinstance(found, dict):
            return None
        return cls(
            str(found["taxonomy"]),
            str(found["scorer_version"]),
            dict(found["held"]),
            tuple(found["campaigns"]),
        )

    def told(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "taxonomy": self.taxonomy,
            "scorer_version": self.scorer_version,
            "held": dict(self.held),
            "campaigns": list(self.campaigns),
        }


def held_before_planning(
    campaigns: Sequence[str],
    before: GuardState | None,
    *,
    taxonomy: str,
    scorer_version: str,
    confirmed: Collection[str] | None,
) -> dict[str, str]:
    """Campaigns whose export must wait, as far as it is known before planning.

    Parameters
    ----------
    campaigns
        Campaigns to be planned.
    before
        State of the last published run; None: nothing has been published.
    taxonomy, scorer_version
        As they are now.
    confirmed
        Campaigns whose entrants a person has just confirmed; None: nobody did.

    Returns
    -------
    dict
        Campaign -> reason.
    """
    held: dict[str, str] = {}
    for campaign in campaigns:
        if confirmed is not None and campaign in confirmed:
            continue
        if before is None:
            held[campaign] = "first load"
        elif before.taxonomy != taxonomy:
            held[campaign] = "the taxonomy has changed"
        elif before.scorer_version != scorer_version:
            held[campaign] = "a new champion scores"
        elif campaign in before.held:
            held[campaign] = before.held[campaign]
        elif campaign not in before.campaigns:
            held[campaign] = "planned for the first time"
    return held


def held_for_entrants(
    entrants: Mapping[str, int], history: pd.DataFrame, *, confirmed: Collection[str] | None
) -> dict[str, str]:
    """Campaigns with more than three times the trailing median of entrants.

    Parameters
    ----------
    entrants
        Campaign -> customers who entered now.
    history
        Entrants of earlier snapshots, oldest first: one row a snapshot, one column a campaign.
    confirmed
        Campaigns whose entrants a person has just confirmed; None: nobody did.
    """
    held: dict[str, str] = {}
    for campaign, n in entrants.items():
        if campaign not in history or (confirmed is not None and campaign in confirmed):
            continue
        past = history[campaign].dropna().tail(SNAPSHOTS)
        usual = float(np.median(past)) if len(past) >= ENOUGH else float("inf")
        if n > max(MANY_TIMES * usual, FEW):
            held[campaign] = f"{n:,} entrants, {usual:g} is usual"
    return held
