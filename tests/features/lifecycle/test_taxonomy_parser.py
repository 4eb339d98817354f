"""What a taxonomy becomes once it is read, and what each mistake in it is told."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from features.config.tasks import StageTask
from features.config.yaml_with_lines import Spot
from features.errors import UserError
from features.history.day_rows import Subject
from features.lifecycle.taxonomy import Advice, Taxonomy
from features.lifecycle.taxonomy_parser import parse
from features.table.labels import stage_reach

GONE = {
    "name": "gone",
    "rank": 1,
    "silent": True,
    "description": "silent for long",
    "when": {"days_since_last": "purchase", ">": "L"},
}
BUYER = {
    "name": "buyer",
    "rank": 3,
    "when": {"count": "purchase", "window": "w", ">=": 1},
    "sub_stages": [
        {"name": "new", "when": {"count": "open", "==": 1}},
        {"name": "old", "default": True, "description": "the others"},
    ],
    "strategies": ["thank them"],
    "channels": ["e-mail"],
    "metrics": ["orders"],
    "our_metrics": ["returns"],
}
REST = {"name": "rest", "default": True}
CONTENT: dict[str, Any] = {
    "name": "small",
    "description": "three stages",
    "params": {"L": 30, "w": "2 * L"},
    "presets": {"slow": {"L": 90}},
    "life_roles": ["purchase", "touch"],
    "buying_stage": "buyer",
    "stages": [GONE, BUYER, REST],
    "flags": [
        {"name": "seen", "when": {"count": "touch", "where": {"brand": "x"}, ">=": 1}},
        {"name": "was_gone", "when": {"was": "gone", "window": 9}},
    ],
}


def changed(*path: Any, to: Any) -> dict[str, Any]:
    """The content with another value in one place; None takes it out."""
    content = copy.deepcopy(CONTENT)
    place = content
    for step in path[:-1]:
        place = place[step]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return content


def taxonomy(content: dict[str, Any] = CONTENT, **given: Any) -> Taxonomy:
    return parse(
        Spot(content, "t"), given.pop("params", {}),
        event_types=("open",), attributes=("brand",), **given,
    )  # fmt: skip


def test_what_is_read() -> None:
    found = taxonomy()
    assert (found.name, found.description, found.pick) == ("small", "three stages", "first")
    assert (found.life_roles, found.buying_stage) == (("purchase", "touch"), "buyer")
    assert found.parameters == {"L": 30.0, "w": 60.0}
    gone, buyer, rest = found.stages
    assert (gone.name, gone.rank, gone.silent) == ("gone", 1, "purchase")
    assert gone.description == "silent for long"
    assert (buyer.rank, buyer.silent, rest.rank, rest.rule) == (3, None, 0, None)
    assert buyer.advice == Advice(("thank them",), ("e-mail",), ("orders",), ("returns",))
    assert rest.advice == Advice()
    assert [(s.name, s.rule is None, s.description) for s in buyer.sub_stages] == [
        ("new", False, ""),
        ("old", True, "the others"),
    ]
    assert [flag.name for flag in found.flags] == ["seen", "was_gone"]


def test_what_is_not_said_has_a_default() -> None:
    content = {
        "buying_stage": "rest",
        "stages": [{"name": "gone", "when": {"count": "purchase", ">": 1}}, REST],
    }
    found = taxonomy(content)
    assert (found.name, found.description) == ("inline", "")
    assert (found.life_roles, found.pick, found.flags) == (("purchase",), "first", ())
    assert [(s.rank, s.silent, s.description) for s in found.stages] == [(0, None, "")] * 2


def test_parameters_are_the_declared_the_preset_s_and_those_given() -> None:
    assert taxonomy(preset="slow").parameters == {"L": 90.0, "w": 180.0}
    assert taxonomy(preset="slow", params={"w": 7}).parameters == {"L": 90.0, "w": 7.0}
    assert taxonomy(changed("stages", 0, "when", ">", to=9)).parameters["L"] == 30


def test_amounts_are_compared_in_the_minor_units_of_the_currency() -> None:
    content = changed("stages", 1, "when", to={"sum": "purchase", ">=": 3})
    assert taxonomy(content).stages[1].rule.constant == 300  # type: ignore[union-attr]
    assert taxonomy(content, minor_units=0).stages[1].rule.constant == 3  # type: ignore[union-attr]


def test_silence_may_be_of_another_role_or_of_none() -> None:
    assert taxonomy(changed("stages", 0, "silent", to="touch")).stages[0].silent == "touch"
    assert taxonomy(changed("stages", 0, "silent", to=False)).stages[0].silent is None


def test_what_a_taxonomy_asks_for() -> None:
    found = taxonomy()
    opened, seen = Subject("open"), Subject("touch", "brand", ("x",))
    assert found.names == ["gone", "buyer", "rest"]
    assert [found.code(name) for name in found.names] == [0, 1, 2]
    assert found.order == [0, 1, 2]
    furthest = taxonomy(CONTENT | {"pick": "furthest"})
    assert furthest.order == [1, 0, 2]
    assert found.silent_codes == [0]
    assert found.windows() == [60]  # the rule of a silent stage does not count
    assert found.stage_subjects() == [Subject("purchase")]
    assert found.subjects() == [Subject("purchase"), seen, opened]
    assert found.roles() == {"purchase", "touch"}


def test_a_condition_on_a_role_without_events_has_no_window() -> None:
    found = taxonomy(
        changed("stages", 1, "when", to={"any": [
            {"count": "purchase", "window": 60, ">=": 1},
            {"mean": "survey_nps", "window": 180, ">=": 9}]})
    )  # fmt: skip
    task = StageTask(truth="centred", confirm_days=20)
    assert found.windows() == [60, 180]
    assert stage_reach(found, task) == 90
    assert found.windows({"purchase", "touch"}) == [60]
    assert stage_reach(found, task, {"purchase", "touch"}) == 30


def test_what_the_data_lack_is_told_by_stage_sub_stage_and_flag() -> None:
    found = taxonomy(
        changed("stages", 1, "when", to={"any": [
            {"count": "purchase", ">=": 1}, {"count": "lead", ">=": 1}]})
    )  # fmt: skip
    assert found.not_observable({"purchase"}) == [
        "no events of lead, open, touch (not observable: sub-stage new, flag seen; "
        "decided without the parts that need them: stage buyer)"
    ]
    assert found.not_observable({"purchase", "lead", "open", "touch"}) == []


ROLES = "touch, intent, lead, purchase, "


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (changed("what", to=1), ("t: what", "unknown key 'what'", "only: buying_stage, descr", "")),
        (changed("stages", to=[REST]),
         ("t: stages", repr([REST]), "two or more stages", "")),
        (changed("stages", to="x"), ("t: stages", "'x'", "two or more stages", "")),
        (changed("params", to=[1]), ("t: params", "[1]", "a mapping of numbers", "")),
        (changed("presets", to=[1]), ("t: presets", "[1]", "a mapping of numbers", "")),
        (changed("presets", "slow", to={"K": 1}),
         ("t: presets.slow.K", "unknown key 'K'", "only: L, w", "")),
        (changed("life_roles", to="x"), ("t: life_roles", "'x'", "a list of roles", "")),
        (changed("life_roles", to=[]), ("t: life_roles", "[]", "a list of roles", "")),
        (changed("life_roles", to=["buy"]), ("t: life_roles[0]", "unknown role 'buy'", ROLES, "")),
        (changed("life_roles", to=["purchase", "sent"]),
         ("t: life_roles[1]", "sent", "roles of the customer's own doing", "")),
        (changed("buying_stage", to=None),
         ("t: buying_stage", "''", "one of: gone, buyer, rest",
          "name the stage that a first purchase leads to")),
        (changed("buying_stage", to="x"),
         ("t: buying_stage", "'x'", "one of: gone, buyer, rest",
          "name the stage that a first purchase leads to")),
        (CONTENT | {"pick": "best"},
         ("t: pick", "'best'", "first or furthest", "")),
        (changed("flags", to={"a": 1}),
         ("t: flags", "{'a': 1}", "a list of names with rules", "")),
        (changed("flags", 0, "default", to=True),
         ("t: flags[0]", "seen: both or neither of `when` and `default`",
          "`when`: a flag has no default", "")),
        (changed("flags", 0, to={"name": "a", "default": True}),
         ("t: flags[0]", "a: both or neither of `when` and `default`",
          "`when`: a flag has no default", "")),
        (changed("flags", 1, "name", to="seen"),
         ("t: flags[1]", "'seen' twice", "unique names", "")),
        (changed("flags", 0, "rank", to=1),
         ("t: flags[0].rank", "unknown key 'rank'", "only: default, description, name, when", "")),
        (changed("flags", 0, "when", to={"count": "touch", "<": 0}),
         ("t: flags[0].when", "seen, whose rule can never hold: ",
          "comparisons that can hold together", "")),
        (changed("stages", 0, "when", to=None),
         ("t: stages[0]", "gone: both or neither of `when` and `default`", "one of them", "")),
        (changed("stages", 0, "default", to=True),
         ("t: stages[0]", "gone: both or neither of `when` and `default`", "one of them", "")),
        (changed("stages", 0, "name", to=""), ("t: stages[0].name", "''", "a name", "")),
        (changed("stages", 0, "name", to=3), ("t: stages[0].name", "3", "a name", "")),
        (changed("stages", 0, "rank", to=True),
         ("t: stages[0].rank", "True", "a whole number", "")),
        (changed("stages", 0, "rank", to=1.5),
         ("t: stages[0].rank", "1.5", "a whole number", "")),
        (changed("stages", 0, "silent", to="x"),
         ("t: stages[0].silent", "unknown role 'x'", ROLES, "")),
        (changed("stages", 1, "channels", to="x"),
         ("t: stages[1].channels", "'x'", "a list of texts", "")),
        (changed("stages", 1, "sub_stages", 0, "default", to=True),
         ("t: stages[1].sub_stages[0]", "new: both or neither of `when` and `default`",
          "one of them", "")),
        (changed("stages", 1, "sub_stages", to=[REST, {"name": "x", "when": GONE["when"]}]),
         ("t: stages[1].sub_stages[1]",
          "x, which can never be reached: it stands after the default",
          "the default as the last one", "")),
        (changed("stages", 1, "name", to="gone"),
         ("t: stages[1]", "the stage 'gone' twice", "unique names", "")),
        (changed("stages", to=[GONE, BUYER]),
         ("t: stages", "0 default stages", "exactly one stage with `default: true`",
          "every customer needs a stage when no rule matches: end with {name: rest, "
          "default: true}")),
        (changed("stages", to=[REST, BUYER, REST | {"name": "more"}]),
         ("t: stages[2]", "2 default stages", "exactly one stage with `default: true`",
          "every customer needs a stage when no rule matches: end with {name: rest, "
          "default: true}")),
        (changed("stages", to=[GONE, REST, BUYER]),
         ("t: stages[2]",
          "buyer, a stage that can never be reached: it stands after the default",
          "the default as the last stage", "move rest to the end")),
        (changed("stages", 1, "when", "<", to=1),
         ("t: stages[1].when", "buyer, whose rule can never hold: ",
          "comparisons that can hold together",
          "correct the comparison or the window, or put the parts under `any`")),
        (changed("stages", 1, "when", to=GONE["when"]),
         ("t: stages[1].when",
          "buyer, a stage that can never be reached: wherever its rule holds, "
          "that of gone holds before it", "the narrower rule first",
          "move buyer above gone, or narrow the rule of gone")),
    ],
)  # fmt: skip
def test_each_mistake_is_told_where_it_stands(
    content: dict[str, Any], said: tuple[str, str, str, str]
) -> None:
    with pytest.raises(UserError) as refused:
        taxonomy(content)
    error = refused.value
    where, found, expected, hint = said
    assert (error.where, error.hint) == (where, hint)
    # What is found or expected is given whole, or as its beginning where it lists more.
    assert str(error.found).startswith(found)
    assert found.endswith(": ") or str(error.found) == found
    assert error.expected.startswith(expected)
    assert expected.endswith((", ", "descr")) or error.expected == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"preset": "fast"}, ("stages.preset", "'fast'", "one of: slow")),
        ({"params": {"K": 1}},
         ("stages.params.K", "a parameter that the taxonomy does not use", "one of: L, w")),
    ],
)  # fmt: skip
def test_parameters_that_nobody_knows(given: dict[str, Any], said: tuple[str, str, str]) -> None:
    with pytest.raises(UserError) as refused:
        taxonomy(**given)
    assert (refused.value.where, refused.value.found, refused.value.expected) == said
    bare = {"buying_stage": "rest", "stages": [GONE | {"when": {"count": "lead", ">": 1}}, REST]}
    with pytest.raises(UserError) as refused:
        taxonomy(bare, **given)
    assert refused.value.expected == "one of: none"
