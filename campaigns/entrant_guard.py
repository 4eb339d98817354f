"""Entrant guard: hold exports for confirmation if a change of the system moves many customers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

_TRAILING_SNAPSHOTS = 8  # snapshots in the trailing median
_FEWEST_SNAPSHOTS = 3  # below this number there is no median
_LARGEST_RATIO = 3.0
_ALWAYS_ALLOWED = 10  # so many entrants never hold an export


@dataclass(frozen=True)
class EntrantGuard:
    """State when a run planned its campaigns; stored in the audience manifest.

    Attributes
    ----------
    taxonomy
        Fingerprint of the stages' rules and parameters.
    scorer_version
        Version of the champion.
    held
        Campaign -> reason why its export waits.
    campaigns
        All campaigns planned.
    """

    taxonomy: str
    scorer_version: str
    held: Mapping[str, str] = field(default_factory=dict)
    campaigns: tuple[str, ...] = ()

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> EntrantGuard | None:
        """State stored in a manifest; None if the manifest has no guard."""
        recorded = manifest.get("guard")
        if not isinstance(recorded, dict):
            return None
        return cls(
            str(recorded["taxonomy"]),
            str(recorded["scorer_version"]),
            dict(recorded["held"]),
            tuple(recorded["campaigns"]),
        )

    def to_manifest(self) -> dict[str, Any]:
        """JSON form for the manifest."""
        return {
            "taxonomy": self.taxonomy,
            "scorer_version": self.scorer_version,
            "held": dict(self.held),
            "campaigns": list(self.campaigns),
        }


def held_before_planning(
    campaigns: Sequence[str],
    before: EntrantGuard | None,
    *,
    taxonomy: str,
    scorer_version: str,
    confirmed: Collection[str] | None,
) -> dict[str, str]:
    """Campaigns whose export must wait, as known before planning.

    Parameters
    ----------
    campaigns
        Campaigns to be planned.
    before
        State of the last published run; None: no published run.
    taxonomy, scorer_version
        Current values.
    confirmed
        Campaigns with entrants confirmed by a person for this run; None: no confirmation.

    Returns
    -------
    dict
        Campaign -> reason.
    """
    held_campaigns: dict[str, str] = {}
    for campaign in campaigns:
        if confirmed is not None and campaign in confirmed:
            continue
        if before is None:
            held_campaigns[campaign] = "first run"
        elif before.taxonomy != taxonomy:
            held_campaigns[campaign] = "the stage rules have changed"
        elif before.scorer_version != scorer_version:
            held_campaigns[campaign] = "a new model version"
        elif campaign in before.held:
            held_campaigns[campaign] = before.held[campaign]
        elif campaign not in before.campaigns:
            held_campaigns[campaign] = "new campaign"
    return held_campaigns


def held_for_many_entrants(
    entrants: Mapping[str, int], history: pd.DataFrame, *, confirmed: Collection[str] | None
) -> dict[str, str]:
    """Campaigns with more entrants than three times the trailing median.

    Parameters
    ----------
    entrants
        Campaign -> customers who enter in this run.
    history
        Entrants of earlier snapshots, oldest first: one row per snapshot, one column per campaign.
    confirmed
        Campaigns with entrants confirmed by a person for this run; None: no confirmation.
    """
    held_campaigns: dict[str, str] = {}
    for campaign, entered in entrants.items():
        if campaign not in history or (confirmed is not None and campaign in confirmed):
            continue
        past_entrants = history[campaign].dropna().tail(_TRAILING_SNAPSHOTS)
        usual_entrants = (
            float(np.median(past_entrants))
            if len(past_entrants) >= _FEWEST_SNAPSHOTS
            else float("inf")
        )
        if entered > max(_LARGEST_RATIO * usual_entrants, _ALWAYS_ALLOWED):
            held_campaigns[campaign] = f"{entered:,} entrants, {usual_entrants:g} is usual"
    return held_campaigns
