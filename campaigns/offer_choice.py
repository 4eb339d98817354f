"""Why a customer gets one of several offers and not another, in a marketer's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from campaigns.candidates import CampaignCandidates
from campaigns.holdout import CONTROL
from campaigns.offers import OfferCandidates
from campaigns.optimiser.problem import Codes, Flags
from campaigns.playbook_parts import NOTHING
from campaigns.rules import TextArray


@dataclass(frozen=True)
class OfferChoice:
    """Offers of one campaign for all scored customers; arrays have shape (customers,).

    Attributes
    ----------
    offers
        The offers with their values.
    chosen, assigned
        Positions of the offer that each customer gets, and of the one before the random draw.
    explored
        A random draw chose the offer.
    newcomer
        In the campaign since this plan.
    arm
        Arm of the members; None for others.
    places
        Free places of each offer after the plan, shape (offers,); inf: no limit.
    """

    offers: tuple[OfferCandidates, ...]
    chosen: Codes
    assigned: Codes
    explored: Flags
    newcomer: Flags
    arm: TextArray
    places: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, campaign: CampaignCandidates) -> OfferChoice:
        """Return the choice in a planned campaign."""
        return cls(
            campaign.offers,
            campaign.offer,
            campaign.assigned,
            campaign.explored,
            campaign.newcomer,
            campaign.arm,
            dict(zip([o.name for o in campaign.offers], campaign.offer_places, strict=True)),
        )

    def sentences(self, customer: int) -> list[str]:
        """Explain the offer of a customer (position): the values, and why this one."""
        values = [
            f"{offer.name} {self._value(offer, customer)}"
            for offer in sorted(self.offers, key=lambda offer: -self._rank(offer, customer))
        ]
        label = self.offers[int(self.chosen[customer])].value.label(
            np.arange(len(self.chosen)) == customer
        )
        spoken = [f"Expected value of a contact (by {label}): {', '.join(values)}, {NOTHING} 0.00"]
        if self.arm[customer] is None:
            return spoken
        return [*spoken, self._why(customer)]

    def _rank(self, offer: OfferCandidates, customer: int) -> float:
        expected = float(offer.value.expected[customer])
        return -np.inf if np.isnan(expected) else expected

    def _value(self, offer: OfferCandidates, customer: int) -> str:
        expected = float(offer.value.expected[customer])
        if not offer.open[customer]:
            return "not allowed (consent, contact cap or the rules on discounts)"
        return "unknown" if np.isnan(expected) else f"{expected:,.2f}"

    def _why(self, customer: int) -> str:
        """Say why the customer gets this offer."""
        mine = self.offers[int(self.chosen[customer])]
        if self.arm[customer] == CONTROL:
            return f"Held out at random: gets {NOTHING}, to show what the offers change"
        if self.explored[customer]:
            assigned = self.offers[int(self.assigned[customer])].name
            return f"{mine.name} was drawn at random, to learn what it changes; else {assigned}"
        if not self.newcomer[customer]:
            return f"{mine.name}: a member keeps the offer until the membership ends"
        better = [
            offer.name
            for offer in self.offers
            if offer.open[customer] and self._rank(offer, customer) > self._rank(mine, customer)
        ]
        if not better:
            return f"{mine.name} is expected to earn most"
        full = [name for name in better if self.places.get(name, np.inf) < 1]
        reason = "no place is left" if full == better else "others use its places or money better"
        return (
            f"{mine.name} is what caps, places and budgets leave: of {', '.join(better)} {reason}"
        )
