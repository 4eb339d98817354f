"""Looks at a champion are counted by its recipe, over refreshes and dry runs."""

from __future__ import annotations

import pytest

from models.registry.looks import look_number
from models.registry.version import SCORER, Version


def history(recipes: str, promoted: str) -> list[Version]:
    """Versions 1, 2, ... with a recipe each; of those promoted, each took over from the last."""
    rows, before = [], None
    for number, recipe in enumerate(recipes, 1):
        tags = {"config": recipe, "columns": "c"}
        if str(number) in promoted:
            if before is not None:
                tags["previous_champion"] = str(before)
            before = number
        rows.append(Version(SCORER, number, "run", (), tags, "", number))
    return rows[::-1]


@pytest.mark.parametrize(
    ("recipes", "promoted", "look"),
    [
        ("ab", "1", 1),
        ("abb", "1", 2),
        ("abcde", "1", 4),
        ("aab", "12", 1),
        ("abab", "13", 2),
        ("abaacab", "134", 3),
        ("abbc", "12", 1),
        ("abcabd", "12", 3),
    ],
    ids=[
        "the first", "the second", "several recipes", "a refresh is no look",
        "a refreshed champion is looked at again", "several refreshes",
        "a new champion is looked at anew", "scorers of the recipe before count for the new one",
    ],
)  # fmt: skip
def test_looks_are_counted_since_the_recipe_reigns(recipes, promoted, look):
    rows = history(recipes, promoted)
    champion = next(row for row in rows if str(row.version) == promoted[-1])
    assert look_number(rows, champion, rows[0]) == look
    assert look_number(rows, champion, rows[0]) == look  # asking is no look of its own


def test_versions_that_took_over_from_each_other_end_the_search():
    rows = history("aab", "12")
    rows[2].tags["previous_champion"] = "2"  # version 1 was promoted again later
    assert look_number(rows, rows[1], rows[0]) == 1
