"""How often a champion has been compared with scorers of another recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.registry.version import PREVIOUS_CHAMPION, Version


def same_recipe(champion: Mapping[str, str], challenger: Mapping[str, str]) -> bool:
    """Whether two scorers learned alike, by the tags ``config`` and ``columns`` of their versions.

    Champions of before have no tag ``columns``; they count as having the same.
    """
    same_columns = champion.get("columns") in (None, challenger.get("columns"))
    return same_columns and champion.get("config") == challenger.get("config")


def look_number(versions: Sequence[Version], champion: Version, challenger: Version) -> int:
    """Number of the look at a champion's recipe that a challenger is.

    Every scorer of another recipe that was trained since the champion's recipe reigns counts,
    whether or not somebody asked for its promotion: a dry run is a look, too. Refreshes of the
    champion do not begin the count anew, and the same challenger always has the same number.

    Parameters
    ----------
    versions
        All versions of the scorer.
    champion, challenger
        Two of them.
    """
    start = _reigns_since(versions, champion)
    others = [
        row
        for row in versions
        if start < row.version < challenger.version and not same_recipe(champion.tags, row.tags)
    ]
    return len(others) + 1


def _reigns_since(versions: Sequence[Version], champion: Version) -> int:
    """Version that brought the champion's recipe, by the champions before it."""
    by_number = {str(row.version): row for row in versions}
    first, visited = champion, {champion.version}
    while True:
        before = by_number.get(first.tags.get(PREVIOUS_CHAMPION, ""))
        if before is None or before.version in visited:
            return min(visited)
        if not same_recipe(champion.tags, before.tags):
            return min(visited)
        visited.add(before.version)
        first = before
