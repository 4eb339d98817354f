"""The language of rules: how it reads, what it asks for, and what each mistake is told."""

from __future__ import annotations

from typing import Any

import pytest

from features.config.yaml_with_lines import Spot
from features.errors import UserError
from features.history.day_rows import Subject
from features.lifecycle.rule_language import (
    All,
    AnyOf,
    Compare,
    InStage,
    LatestOf,
    Leaf,
    Measure,
    Not,
    leaves,
    subjects_of,
    window_of,
)
from features.lifecycle.rule_parser import Vocabulary, evaluate, read_rule

BOUGHT, VISITED = Subject("purchase"), Subject("touch")
BRAND = Subject("purchase", "brand", ("acme", "apex"))
MANY = Compare(Measure("count", BOUGHT, 30), ">=", 2)
RECENT = Compare(Measure("days_since_last", VISITED), "<=", 7)
RATIO = Compare(Measure("ratio", BOUGHT, other=VISITED), ">", 0.5)
LATEST = LatestOf((BOUGHT, VISITED), VISITED)
WORDS = Vocabulary(
    {"L": 30, "m": 1.5},
    event_types=("open", "click"),
    attributes=("colour", "brand"),
    stages=("lapsed", "loyal"),
)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (MANY.measure, "count of purchase in 30 days"),
        (RECENT.measure, "days_since_last of touch"),
        (Measure("max", BRAND, per="day"), "max of purchase where brand is acme or apex per day"),
        (Measure("ratio", BOUGHT, 7, other=VISITED), "ratio of purchase to touch in 7 days"),
        (LATEST, "the latest of purchase, touch is touch"),
        (InStage("lapsed"), "the stage is lapsed"),
        (InStage("lapsed", 90), "the stage was lapsed within 90 days"),
    ],
)  # fmt: skip
def test_a_part_of_a_rule_reads_as_a_sentence(part: object, text: str) -> None:
    assert str(part) == text


def test_a_rule_asks_for_the_subjects_of_all_its_leaves_in_order() -> None:
    rule = All((AnyOf((MANY, Not(RATIO))), LATEST, InStage("lapsed")))
    assert list(leaves(rule)) == [MANY, RATIO, LATEST, InStage("lapsed")]
    assert list(subjects_of(rule)) == [BOUGHT, BOUGHT, VISITED, BOUGHT, VISITED]
    assert list(subjects_of(MANY)) == [BOUGHT]


@pytest.mark.parametrize(
    ("leaf", "days"),
    [(MANY, 30), (RECENT, 7), (RATIO, None), (LATEST, None), (InStage("lapsed", 9), None)],
)
def test_the_window_of_a_leaf(leaf: Leaf, days: int | None) -> None:
    assert window_of(leaf) == days


def told(value: Any, words: Vocabulary = WORDS) -> tuple[str, str, str, str]:
    """Where, found, expected and hint of what a rule is refused with."""
    with pytest.raises(UserError) as refused:
        read_rule(Spot(value, "rules"), words)
    error = refused.value
    return error.where, str(error.found), error.expected, error.hint


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (3, 3.0), ("L", 30.0), ("2.5", 2.5), ("1.5 * L", 45.0), ("L / 4", 7.5), ("L+m", 31.5),
        (" L - 5", 25.0), ("m*m", 2.25), ("2 - 2", 0.0), ("0 / 3", 0.0),
    ],
)  # fmt: skip
def test_a_number_may_be_one_sum_or_product(text: Any, number: float) -> None:
    found = evaluate(Spot(text, "rules"), WORDS.values)
    assert (found, type(found)) == (number, float)


@pytest.mark.parametrize(
    "text", [True, None, [3], "L * 2 * 2", "K", "3 * K", "K * 3", "L / 0", "", "-L", float("inf")]
)
def test_what_is_no_number_is_told_the_parameters(text: Any) -> None:
    for values, names in (({"L": 30, "m": 1.5}, "L, m"), ({}, "none declared")):
        if text == "K" or not isinstance(text, str) or "L" not in text or values:
            with pytest.raises(UserError) as refused:
                evaluate(Spot(text, "rules"), values)
            assert refused.value.found == repr(text)
            assert refused.value.expected == f"a number or a parameter: {names}"
            assert refused.value.hint == (
                "parameters may stand in one sum or product, as in 1.5 * period"
            )
    with pytest.raises(UserError):
        evaluate(Spot("flag", "rules"), {"flag": True})


def test_what_each_form_of_rule_becomes() -> None:
    def of(**content: Any) -> Any:
        return read_rule(Spot(content, "rules"), WORDS)

    count = Measure("count", BOUGHT)
    assert of(count="purchase", **{">=": "L"}) == Compare(count, ">=", 30.0)
    assert of(count="purchase", **{">": 1, "<": 4}) == All(
        (Compare(count, ">", 1.0), Compare(count, "<", 4.0))
    )
    assert of(count="open", window="L", **{"==": 1}).measure == Measure(
        "count", Subject("open"), 30
    )
    # Amounts are compared in minor units, whole where they are whole; other measures as they are.
    assert of(sum="purchase", **{">": 0.29}).constant == 29
    assert of(mean="purchase", per="day", **{">": 1}) == Compare(
        Measure("mean", BOUGHT, per="day"), ">", 100.0
    )
    for kind in ("max", "last"):
        assert of(**{kind: "purchase", ">": 2}).constant == 200
    assert of(ratio=["purchase", "touch"], **{">": 0.5}) == RATIO
    assert of(ratio=["purchase", "touch"], per="day", **{">": 2}).measure.per == "day"
    # A count of days, whichever way it is asked for; a sum is the same either way.
    days = Measure("count_distinct_days", BOUGHT)
    assert of(count="purchase", per="day", **{">": 1}).measure == days
    assert of(count_distinct_days="purchase", **{">": 1}).measure == days
    assert of(sum="purchase", per="day", **{">": 1}).measure == Measure("sum", BOUGHT)
    assert of(count="purchase", per="order", **{">": 1}).measure == count
    branded = Subject("purchase", "brand", ("3", "acme"))
    assert of(count="purchase", where={"brand": ["acme", 3]}, **{">": 1}).measure.subject == branded
    assert of(count="purchase", where={"brand": "x"}, **{">": 1}).measure.subject.choices == ("x",)
    assert of(latest_of=["purchase", "touch"], **{"is": "touch"}) == LATEST
    assert of(stage="lapsed") == InStage("lapsed")
    assert of(was="lapsed", window=90) == InStage("lapsed", 90)
    one = {"count": "purchase", ">=": 1}
    assert of(all=[one, one]) == All((Compare(count, ">=", 1.0),) * 2)
    assert of(any=[one]) == AnyOf((Compare(count, ">=", 1.0),))
    assert of(**{"not": one}) == Not(Compare(count, ">=", 1.0))


KINDS = "days_since_last, days_since_first, count, count_distinct_days, sum, mean, max, last, ratio"
ONE = {">=": 1}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({}, ("rules", "{}", "a rule such as {count: purchase, '>=': 1}", "")),
        ([1], ("rules", "[1]", "a rule such as {count: purchase, '>=': 1}", "")),
        ({"all": []}, ("rules: all", "[]", "a list of rules", "")),
        ({"any": {"a": 1}}, ("rules: any", "{'a': 1}", "a list of rules", "")),
        ({"all": [{"count": "purchase"} | ONE, 3]},
         ("rules: all[1]", "3", "a rule such as {count: purchase, '>=': 1}", "")),
        ({"all": [1], "any": [1]}, ("rules: any", "unknown key 'any'", "only: all", "")),
        ({"not": {}, "any": [1]}, ("rules: not", "unknown key 'not'", "only: any", "")),
        ({"not": 3, "count": 1}, ("rules: count", "unknown key 'count'", "only: not", "")),
        ({"latest_of": ["purchase", "touch"], "was": 1},
         ("rules: was", "unknown key 'was'", "only: is, latest_of", "")),
        ({"latest_of": "purchase", "is": "purchase"},
         ("rules: latest_of", "'purchase'", "a list of two or more roles", "")),
        ({"latest_of": ["purchase"], "is": "purchase"},
         ("rules: latest_of", "['purchase']", "a list of two or more roles", "")),
        ({"latest_of": ["purchase", "touch"], "is": "lead"},
         ("rules: is", "lead", "one of: purchase, touch", "")),
        ({"stage": "gone"}, ("rules: stage", "unknown stage 'gone'", "one of: lapsed, loyal", "")),
        ({"stage": "lapsed", "window": 3},
         ("rules: window", "unknown key 'window'", "only: stage", "")),
        ({"was": "lapsed", "per": 3}, ("rules: per", "unknown key 'per'", "only: was, window", "")),
        ({"was": "lapsed", "window": 0},
         ("rules: window", "0", "whole days, one or more",
          "windows end at the reference date and look back; leave out `window` for lifetime")),
        ({"count": "purchase", "window": 1.5} | ONE,
         ("rules: window", "1.5", "whole days, one or more",
          "windows end at the reference date and look back; leave out `window` for lifetime")),
        ({"count": "purchase"},
         ("rules", "{'count': 'purchase'}",
          f"one of {KINDS} and a comparison (<, <=, >, >=, ==)", "")),
        ({"count": "purchase", "sum": "purchase"} | ONE,
         ("rules", "{'count': 'purchase', 'sum': 'purchase', '>=': 1}",
          f"one of {KINDS} and a comparison (<, <=, >, >=, ==)", "")),
        ({"count": "purchase", "where": {}} | ONE,
         ("rules: where", "{}", "one attribute and its values, as in {brand: [acme, apex]}",
          "ask for a second attribute in a comparison of its own, under `all`")),
        ({"count": "purchase", "where": {"brand": 1, "colour": 2}} | ONE,
         ("rules: where", "{'brand': 1, 'colour': 2}",
          "one attribute and its values, as in {brand: [acme, apex]}",
          "ask for a second attribute in a comparison of its own, under `all`")),
        ({"count": "purchase", "where": {"size": 1}} | ONE,
         ("rules: where.size", "attribute 'size', which the config does not declare",
          "a declared attribute: brand, colour",
          "add `size: COLUMN` to the columns of the source, unless it is sensitive")),
        ({"count": "purchase", "where": {"brand": []}} | ONE,
         ("rules: where.brand", "[]", "a value or a list of values", "")),
        ({"count": "purchase", "where": {"brand": ["a", True]}} | ONE,
         ("rules: where.brand", "['a', True]", "a value or a list of values", "")),
        ({"count": "purchase", "where": {"brand": None}} | ONE,
         ("rules: where.brand", "[None]", "a value or a list of values", "")),
        ({"days_since_last": "purchase", "window": 3} | ONE,
         ("rules: window", "a window for days_since_last", "no window there",
          "compare the days instead, as in {days_since_last: purchase, '<=': 30}")),
        ({"ratio": ["purchase"]} | ONE,
         ("rules: ratio", "['purchase']", "two roles, as in {ratio: [redemption, purchase]}", "")),
        ({"ratio": "purchase"} | ONE,
         ("rules: ratio", "'purchase'", "two roles, as in {ratio: [redemption, purchase]}", "")),
        ({"ratio": ["purchase", "touch"], "where": {"brand": 1}} | ONE,
         ("rules: ratio", "['purchase', 'touch']",
          "two roles, as in {ratio: [redemption, purchase]}", "")),
        ({"sum": "purchase", "where": {"brand": "x"}} | ONE,
         ("rules: where", "`where` with sum",
          "`where` with count, count_distinct_days or days_since_*",
          "amounts are tallied by event type, not by attribute")),
        ({"count": "purchase", "per": "week"} | ONE, ("rules: per", "'week'", "order or day", "")),
        ({"count_distinct_days": "purchase", "per": "day"} | ONE,
         ("rules: per", "`per` with count_distinct_days", "no `per`: it counts days", "")),
        ({"days_since_last": "purchase", "per": "day"} | ONE,
         ("rules: per", "`per` with days_since_last", "no `per`: it counts days", "")),
    ],
)  # fmt: skip
def test_each_mistake_is_told_where_it_stands(rule: Any, said: tuple[str, ...]) -> None:
    assert told(rule) == said


def test_an_unknown_role_is_told_the_roles_and_the_event_types() -> None:
    where, found, expected, hint = told({"count": "buys", ">=": 1})
    assert (where, found) == ("rules: count", "unknown role 'buys'")
    assert expected.startswith("one of the roles: touch, intent, lead, purchase, ")
    assert expected.endswith("; event types: click, open")
    assert hint == "name a role, or an event type that the config maps to a role"
    plain = told({"count": "buys", ">=": 1}, Vocabulary({}))[2]
    assert plain == expected.removesuffix("; event types: click, open")
    many = Vocabulary({}, event_types=tuple(f"type_{n:03}" for n in range(99)))
    assert len(told({"count": "buys", ">=": 1}, many)[2]) == len(plain) + 300


def test_where_without_attributes_and_stages_in_a_stage_s_own_rule() -> None:
    where = {"count": "purchase", "where": {"size": 1}, ">=": 1}
    assert told(where, Vocabulary({}))[2] == "a declared attribute: none"
    assert told({"was": "lapsed", "window": 3}, Vocabulary({})) == (
        "rules: was",
        "was: 'lapsed' in the rule of a stage",
        "stages asked for in flags only: a stage cannot depend on itself",
        "",
    )
