"""Warnings about the data of a run."""

from __future__ import annotations

from flows.services.console import warn


def warn_of_twins(count: int) -> None:
    """Warn of customer ids that equal another one but for case, or for the dashes of a UUID."""
    if count:
        warn(
            f"{count} customer ids equal another one but for capital letters or dashes; they "
            "stay different customers"
        )
