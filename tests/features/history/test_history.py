"""What customers chose, told by hand: two attributes, choices known late, customers without any."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from features.aggregates.tallies import Tallies
from features.history.day_rows import DayRows
from features.history.history import Choices, History, history

CHOSEN = [
    # customer, attribute, choice, day, known_day, lines
    ("a", "brand", "acme", 10, 10, 2),
    ("a", "brand", "apex", 11, 11, 1),
    ("a", "size", "m", 10, 10, 3),
    ("b", "size", "l", 10, 14, 5),
    ("b", "size", "l", 12, 12, 1),
]


@pytest.fixture
def known() -> History:
    who = ("a", "b", "c")
    columns: Any = list(zip(*CHOSEN, strict=True))
    names = ("customer_id", "attribute", "choice", "day", "known_day", "count")
    attributes = pa.table(
        {name: list(values) for name, values in zip(names, columns, strict=True)}
        | {"event_type": ["purchase"] * len(CHOSEN)}
    )
    tallies = Tallies(_daily(who), attributes)
    return history(tallies, {"purchase": ["purchase"]})


def _daily(who: tuple[str, ...]) -> pa.Table:
    numbers = ("count", "value", "largest", "latest", "first_at", "last_at")
    return pa.table(
        {"customer_id": list(who), "event_type": ["purchase"] * len(who)}
        | {"day": [10] * len(who), "known_day": [10] * len(who)}
        | {name: [1] * len(who) for name in numbers}
    )


def told(choices: Choices, at: int) -> dict[tuple[int, str, str], float]:
    counts = choices.counts_at(at)
    assert len(counts) == len(choices.position)
    return {
        (int(who), str(choices.attributes[attribute]), str(choices.choices[choice])): float(lines)
        for who, attribute, choice, lines in zip(
            choices.position, choices.attribute, choices.choice, counts, strict=True
        )
    }


def test_lines_of_every_choice_count_from_the_day_after_they_are_known(known: History) -> None:
    (choices,) = known.choices.values()
    acme, apex = (0, "brand", "acme"), (0, "brand", "apex")
    medium, large = (0, "size", "m"), (1, "size", "l")
    nothing = {acme: 0.0, apex: 0.0, medium: 0.0, large: 0.0}
    assert told(choices, 10) == nothing
    assert told(choices, 11) == {**nothing, acme: 2.0, medium: 3.0}
    assert told(choices, 12) == {**nothing, acme: 2.0, medium: 3.0, apex: 1.0}
    # What b chose on day 10 was learned on day 14.
    assert told(choices, 13)[large] == 1.0
    assert told(choices, 15)[large] == 6.0


def test_who_chose_nothing_has_no_choices_and_missing_roles_may_be_asked_for(
    known: History,
) -> None:
    without = known.with_roles(("purchase", "refund"))
    assert isinstance(without.roles["refund"], DayRows)
    assert len(without.roles["refund"].day) == 0
    assert without.roles["purchase"] is known.roles["purchase"]
    other = pa.table({"event_type": pa.array(["visit"]), "attribute": ["brand"]})
    tallies = Tallies(_daily(("a",)), other)
    assert history(tallies, {"purchase": ["purchase"]}).choices == {}
