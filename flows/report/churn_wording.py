"""Words for churn in the report: no purchase in a shop, a cancellation under contracts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ChurnWords:
    """Phrases about churn that fit into the report's sentences.

    Attributes
    ----------
    event
        What a churn risk is the chance of.
    population
        The customers who have a churn risk.
    at_risk
        Description of the expected leavers.
    happened
        What leavers did, in the past tense.
    """

    event: str
    population: str
    at_risk: str
    happened: str


CHURN_WORDS: dict[Literal["purchase", "cancel"], ChurnWords] = {
    "purchase": ChurnWords(
        event="no purchase",
        population="active customers",
        at_risk="active customers expected to make no purchase in that time",
        happened="made no purchase",
    ),
    "cancel": ChurnWords(
        event="a cancellation",
        population="customers under contract",
        at_risk="customers under contract expected to cancel in that time",
        happened="cancelled",
    ),
}
