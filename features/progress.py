"""How far a long step has come, told to whoever shows it."""

from __future__ import annotations

from typing import Protocol


class Told(Protocol):
    """Takes what is counted, how many are done, and of how many."""

    def __call__(self, what: str, done: int, of: int, /) -> None:
        """Show it."""


def unheard(what: str, done: int, of: int, /) -> None:
    """Show nothing."""
