"""What the report calls churn: silence in a shop, a cancellation where there are contracts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ChurnWords:
    """Parts of sentences: what is likely, who may do it, and what those who did it have done."""

    chance: str
    of: str
    likely: str
    did: str


WORDS: dict[Literal["purchase", "cancel"], ChurnWords] = {
    "purchase": ChurnWords(
        chance="no purchase",
        of="active customers",
        likely="active customers likely not to buy in that time",
        did="made no purchase",
    ),
    "cancel": ChurnWords(
        chance="a cancellation",
        of="customers under contract",
        likely="customers under contract likely to cancel in that time",
        did="cancelled",
    ),
}
