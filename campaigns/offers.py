"""Offers of a campaign for every customer: who may get them, through which channel, their value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from campaigns.customer_context import Counts, CustomerContext
from campaigns.eligibility import first_open_channel, may_be_sent
from campaigns.expected_value import (
    ContactValue,
    CustomerValues,
    contact_value,
    uplift_error_name,
    uplift_name,
)
from campaigns.playbook import Playbook
from campaigns.playbook_parts import NamedOffer
from campaigns.rules import UPLIFT, UPLIFT_ERROR, BoolArray


@dataclass(frozen=True)
class OfferCandidates:
    """One offer of a campaign; all arrays have shape (customers,).

    Attributes
    ----------
    name
        Name of the offer; empty if the playbook has a single one.
    capacity
        Most customers who have the offer at once; inf: no limit.
    open
        Consent and the rules on discounts allow it.
    channel
        Position in the playbook's channels of the channel that reaches each customer.
    value
        Expected money and cost of a contact with this offer.
    """

    name: str
    capacity: float
    open: BoolArray
    channel: Counts
    value: ContactValue


def offer_candidates(
    playbook: Playbook,
    rows: pd.DataFrame,
    context: CustomerContext,
    *,
    channel_room: tuple[Counts, Sequence[str]],
    uplifts: Mapping[str, CustomerValues],
) -> tuple[OfferCandidates, ...]:
    """Every offer of a campaign for the scored customers.

    Parameters
    ----------
    playbook
        The campaign.
    rows
        Scored rows, one per customer, with the answers of the playbook's rules.
    context
        Customer facts beside the scores.
    channel_room
        Contacts left by channel, shape (customers, channels), and the names of these channels.
    uplifts
        Name of an uplift (`campaigns.expected_value.uplift_name`) -> uplift of each customer.
    """
    customers = pd.Index(rows["customer_id"])
    margin = context.margin(customers)
    candidates = []
    for variant in playbook.variants:
        named = variant.offer if isinstance(variant.offer, NamedOffer) else None
        capacity = None if named is None else named.capacity
        own_channel = first_open_channel(variant, customers, context, *channel_room)
        positions = np.array([playbook.channels.index(channel) for channel in variant.channels])
        effect = uplift_name(variant)
        errors = uplifts.get(uplift_error_name(effect), np.nan)
        with_uplift = rows.assign(**{UPLIFT: uplifts[effect], UPLIFT_ERROR: errors})
        candidates.append(
            OfferCandidates(
                name="" if named is None else named.name,
                capacity=float("inf") if capacity is None else float(capacity),
                # The gates of the campaign are those of a single offer.
                open=np.ones(len(rows), dtype=bool)
                if named is None
                else may_be_sent(variant, customers, context),
                channel=positions[own_channel],
                value=_with_contact_price(
                    contact_value(variant, with_uplift, margin=margin), variant, context
                ),
            )
        )
    return tuple(candidates)


def _with_contact_price(
    value: ContactValue, playbook: Playbook, context: CustomerContext
) -> ContactValue:
    """Value of a promotional contact less the price of one more contact, which is no budget."""
    if context.contact_prices is None or playbook.kind != "promotional":
        return value
    return replace(value, expected=value.expected - context.contact_prices.to_numpy(dtype=float))


def values_of(offers: Sequence[OfferCandidates], choice: Counts) -> ContactValue:
    """Value of the contact with each customer's chosen offer (position in `offers`)."""
    if len(offers) == 1:
        return offers[0].value
    customers = np.arange(len(choice))
    expected, cost, incremental = (
        np.stack([getattr(offer.value, name) for offer in offers])[choice, customers]
        for name in ("expected", "cost", "incremental")
    )
    return ContactValue(expected, cost, incremental, any(offer.value.assumed for offer in offers))


def channels_of(offers: Sequence[OfferCandidates], choice: Counts) -> Counts:
    """Position in the playbook's channels of the channel of each customer's chosen offer."""
    channel: Counts = np.stack([offer.channel for offer in offers])[choice, np.arange(len(choice))]
    return channel


def best_open_offer(offers: Sequence[OfferCandidates]) -> Counts:
    """Position of the open offer with the highest expected money; 0 if none is open or known."""
    expected = [np.where(o.open, np.nan_to_num(o.value.expected, nan=-np.inf), -np.inf)
                for o in offers]  # fmt: skip
    best: Counts = np.argmax(np.stack(expected), axis=0)
    return best
