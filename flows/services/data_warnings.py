"""Warnings about the data of a run."""

from __future__ import annotations

from flows.services.console import warn


def warn_of_twins(count: int) -> None:
    """Warn of customer ids that differ from another one only by case or by dashes of a UUID."""
    if count:
        warn(
            f"{count} customer ids differ from another one only by capital letters or dashes; they "
            "stay different customers"
        )
