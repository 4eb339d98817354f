"""Which version was champion when, from the moments recorded at each move of the alias."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence

from models.registry.version import Version

CHAMPION_FROM_TAG = (
    "champion_from"  # tag: JSON list of the UTC moments at which a version got the alias
)
_ALIAS, _LAST = "champion", "champion_since"


def champion_moments(tags: dict[str, str]) -> list[str]:
    """Moments (ISO, UTC) at which a version became champion, oldest first."""
    if CHAMPION_FROM_TAG in tags:
        return list(json.loads(tags[CHAMPION_FROM_TAG]))
    return [tags[_LAST]] if _LAST in tags else []


def add_champion_moment(tags: dict[str, str], moment: str) -> str:
    """Value of the tag `CHAMPION_FROM_TAG` with one more moment."""
    return json.dumps([*champion_moments(tags), moment])


def champion_terms(versions: Sequence[Version]) -> list[tuple[dt.datetime, int]]:
    """Start of each champion's term with its version, oldest first; a term ends with the next one.

    A move that was recorded but interrupted before the alias moved is left out.
    """
    terms = sorted(
        (dt.datetime.fromisoformat(moment), version.version)
        for version in versions
        for moment in champion_moments(version.tags)
    )
    current = next((version.version for version in versions if _ALIAS in version.aliases), None)
    while terms and current is not None and terms[-1][1] != current:
        terms.pop()
    return terms


def champion_at(versions: Sequence[Version], moment: dt.datetime) -> int | None:
    """Version that was champion at a moment; None if there was none yet."""
    earlier = [version for started_at, version in champion_terms(versions) if started_at < moment]
    return earlier[-1] if earlier else None
