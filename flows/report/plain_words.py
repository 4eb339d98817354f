"""Reasons of exclusions, and descriptions of stages, in words that can be read alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

_CAMPAIGN = "in campaign "
# Beginning of a reason -> the same in words; what follows it is kept.
_BEGINNINGS = {
    "not in stage ": "In another stage; the campaign is for: ",
    "rule not met: ": "Lacks what the campaign asks for: ",
    "trigger has not fired: ": "Not due yet: ",
    "stage not entered by the customer: ": "Came into the stage by other ways than behaviour: ",
}


def exclusion_text(reason: str, titles: Mapping[str, str]) -> str:
    """Say a reason in words.

    Parameters
    ----------
    reason
        As in ``exclusions.csv``.
    titles
        Title of each campaign by its id.
    """
    if reason.startswith(_CAMPAIGN):
        name = reason.removeprefix(_CAMPAIGN)
        return f"Already in another campaign: {titles.get(name, name)}"
    for beginning, words in _BEGINNINGS.items():
        if reason.startswith(beginning):
            return words + reason.removeprefix(beginning)
    return reason[:1].upper() + reason[1:]


def stage_text(description: str, parameters: Mapping[str, float]) -> str:
    """Describe a stage with the values of its parameters: 28 days, and not L days."""
    return re.sub(
        r"\b[A-Za-z_]\w*\b",
        lambda word: f"{parameters[word[0]]:g}" if word[0] in parameters else word[0],
        description,
    )
