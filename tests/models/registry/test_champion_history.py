"""Who was champion when, from the moments noted at each move of the alias."""

from __future__ import annotations

import datetime as dt

import pytest

from models.registry.champion_history import REIGNS, begun, champion_at, noted, reigns
from models.registry.registry import CHAMPION, SCORER
from models.registry.version import Version


def version(number: int, *moments: str, champion: bool = False) -> Version:
    tags: dict[str, str] = {}
    for moment in moments:
        tags[REIGNS] = noted(tags, moment)
    aliases = (CHAMPION,) if champion else ()
    return Version(SCORER, number, f"run-{number}", aliases, tags, "", 0)


def at(day: int) -> dt.datetime:
    return dt.datetime(2026, 1, day, tzinfo=dt.UTC)


MOVES = [
    version(1, "2026-01-02T00:00:00+00:00", "2026-01-20T00:00:00+00:00", champion=True),
    version(2, "2026-01-10T00:00:00+00:00"),
    version(3),
]


@pytest.mark.parametrize(
    ("day", "expected"), [(2, None), (3, 1), (10, 1), (11, 2), (20, 2), (21, 1), (31, 1)]
)
def test_each_champion_lasts_until_the_next_begins(day: int, expected: int | None) -> None:
    assert champion_at(MOVES, at(day)) == expected


def test_a_move_that_was_noted_and_never_made_is_left_out() -> None:
    interrupted = [*MOVES, version(4, "2026-01-25T00:00:00+00:00")]
    assert reigns(interrupted) == reigns(MOVES)
    assert champion_at(interrupted, at(31)) == 1


def test_versions_from_before_the_history_was_kept_have_their_last_moment() -> None:
    tags = {"champion_since": "2026-01-02T00:00:00+00:00"}
    assert begun(tags) == ["2026-01-02T00:00:00+00:00"]
    assert begun({}) == []
