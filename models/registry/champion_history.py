"""Which version was champion when: from the moments that are noted at each move of the alias."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence

from models.registry.version import Version

REIGNS = "champion_from"  # JSON list of the UTC moments at which the alias came to a version
_ALIAS, _LAST = "champion", "champion_since"


def begun(tags: dict[str, str]) -> list[str]:
    """Moments (ISO, UTC) at which a version became champion, oldest first."""
    if REIGNS in tags:
        return list(json.loads(tags[REIGNS]))
    return [tags[_LAST]] if _LAST in tags else []


def noted(tags: dict[str, str], moment: str) -> str:
    """Value of the tag `REIGNS` with one moment more."""
    return json.dumps([*begun(tags), moment])


def reigns(versions: Sequence[Version]) -> list[tuple[dt.datetime, int]]:
    """When each champion began, oldest first; each lasts until the next one begins.

    A move that was noted and then interrupted, so that the alias never moved, is left out.
    """
    found = sorted(
        (dt.datetime.fromisoformat(moment), row.version)
        for row in versions
        for moment in begun(row.tags)
    )
    now = next((row.version for row in versions if _ALIAS in row.aliases), None)
    while found and now is not None and found[-1][1] != now:
        found.pop()
    return found


def champion_at(versions: Sequence[Version], moment: dt.datetime) -> int | None:
    """The version that was champion at a moment; None where there was none yet."""
    before = [version for since, version in reigns(versions) if since < moment]
    return before[-1] if before else None
