"""What one more message does: a lower response to the next ones, and customers who opt out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from features.arrays import Array
from simulator.customers import SimulatedPeople
from simulator.scenario import CONSENTS
from simulator.shared_settings import DAY_SECONDS, SimulationPlan

FATIGUE_DAYS = 30


@dataclass(frozen=True)
class Sends:
    """Messages of one channel; each array has one entry a message.

    Attributes
    ----------
    channel
        Channel of all of them.
    customer, week, at, message
        Position in the block, week, moment (seconds since 1970), code of the message.
    response
        Factor of the chance of an answer; 1 where nothing wears off.
    """

    channel: str
    customer: Array
    week: Array
    at: Array
    message: Array
    response: Array = field(default_factory=lambda: np.ones(1))

    def where(self, keep: Array) -> Sends:
        """Some of the messages."""
        return replace(
            self,
            customer=self.customer[keep],
            week=self.week[keep],
            at=self.at[keep],
            message=self.message[keep],
            response=self.response[keep],
        )


def with_fatigue(
    plan: SimulationPlan, people: SimulatedPeople, rng: np.random.Generator, batches: list[Sends]
) -> list[Sends]:
    """Draw who opts out after which message, and lower the response by earlier messages.

    The chance to opt out is ``opt_out * exp(opt_out_growth * n)`` after a message that follows n
    others in 30 days, over all channels; the chance of an answer falls by ``response_drop`` with
    each of them. Who opts out of a channel has withdrawn from the next week on, and gets no
    further message through it. Lists of campaigns are drawn before.
    """
    settings = plan.scenario.messages
    customer = np.concatenate([batch.customer for batch in batches])
    at = np.concatenate([batch.at for batch in batches])
    earlier = np.split(
        _earlier_messages(customer, at), np.cumsum([len(batch.at) for batch in batches])[:-1]
    )
    weary = []
    for batch, count in zip(batches, earlier, strict=True):
        column = CONSENTS.index(batch.channel)
        risk = np.minimum(settings.opt_out * np.exp(settings.opt_out_growth * count), 1.0)
        leaves = (rng.random(len(count)) < risk) & (
            batch.week < people.withdrawn[batch.customer, column]
        )
        np.minimum.at(people.withdrawn[:, column], batch.customer[leaves], batch.week[leaves] + 1)
        weary.append(replace(batch, response=(1 - settings.response_drop) ** count))
    return [
        batch.where(people.consents(batch.channel, batch.week, batch.customer)) for batch in weary
    ]


def _earlier_messages(customer: Array, at: Array) -> Array:
    """Messages to the same customer in the 30 days before each one."""
    order = np.lexsort((at, customer))
    # One rising key of customer and moment, so that one search finds the start of each window.
    span = int(at.max(initial=0)) + 1
    key = customer.astype(np.int64)[order] * span + at[order]
    lower_key = key - np.minimum(FATIGUE_DAYS * DAY_SECONDS, at[order])
    count = np.empty(len(at), dtype=np.int64)
    count[order] = np.searchsorted(key, key, "left") - np.searchsorted(key, lower_key, "left")
    return count
