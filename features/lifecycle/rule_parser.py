"""From YAML to rules: every key checked, every error at its line."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from features.config.yaml_with_lines import Spot
from features.contracts import ROLES
from features.history.day_rows import Subject
from features.lifecycle.plugin_measures import plugin_measures
from features.lifecycle.rule_language import (
    COMPARISONS,
    COUNTED,
    MEASURES,
    VALUED,
    WINDOWED,
    All,
    AnyOf,
    Compare,
    InStage,
    LatestOf,
    Measure,
    Not,
    Per,
    Rule,
)
from features.similar_names import did_you_mean

OPERAND = r"[A-Za-z_]\w*|\d+(?:\.\d+)?"
EXPRESSION = re.compile(rf"\s*({OPERAND})\s*(?:([*/+-])\s*({OPERAND})\s*)?")


@dataclass(frozen=True)
class Vocabulary:
    """What a rule may speak of.

    Attributes
    ----------
    values
        Parameters by name.
    scale
        Minor units of one unit of currency: amounts are compared as tallies hold them.
    event_types
        Event types of the data; a subject may be one of them.
    attributes
        Declared attributes for `where`.
    stages
        Stages that a flag may ask for; empty within the rules of stages themselves.
    """

    values: Mapping[str, float]
    scale: int = 100
    event_types: Collection[str] = ()
    attributes: Collection[str] = ()
    stages: Collection[str] = ()


def evaluate(spot: Spot, values: Mapping[str, Any]) -> float:
    """A number, a parameter, or one sum or product of the two (``1.5 * period``)."""
    value: Any = spot.value
    if isinstance(value, str):
        value = _expression(value, values)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        spot.refuse(
            found=repr(spot.value),
            expected=f"a number or a parameter: {', '.join(values) or 'none declared'}",
            hint="parameters may stand in one sum or product, as in 1.5 * period",
        )
    return float(value)


def _expression(text: str, values: Mapping[str, Any]) -> float | None:
    match = EXPRESSION.fullmatch(text)
    if match is None:
        return None

    def operand(word: str) -> Any:
        return float(word) if word[0].isdecimal() else values.get(word)

    left, right = operand(match[1]), operand(match[3]) if match[3] else 0.0
    if any(isinstance(x, bool) or not isinstance(x, int | float) for x in (left, right)):
        return None
    sign = match[2] or "+"
    if sign == "/":
        return float(left / right) if right else None
    return float({"+": left + right, "-": left - right, "*": left * right}[sign])


def read_rule(spot: Spot, words: Vocabulary) -> Rule:
    """The rule that stands at a spot.

    Raises
    ------
    UserError
        Naming line and hint, for anything that is not a rule.
    """
    node = spot.value
    if not isinstance(node, dict) or not node:
        spot.refuse(found=repr(node), expected="a rule such as {count: purchase, '>=': 1}")
    if "all" in node:
        return All(_parts(spot, "all", words))
    if "any" in node:
        return AnyOf(_parts(spot, "any", words))
    if "not" in node:
        spot.only({"not"})
        return Not(read_rule(spot.at("not"), words))
    if "latest_of" in node:
        return _latest(spot, words)
    if "stage" in node or "was" in node:
        return _in_stage(spot, words)
    return _comparison(spot, words)


def _parts(spot: Spot, word: str, words: Vocabulary) -> tuple[Rule, ...]:
    spot.only({word})
    parts = spot.at(word)
    if not isinstance(parts.value, list) or not parts.value:
        parts.refuse(found=repr(parts.value), expected="a list of rules")
    return tuple(read_rule(part, words) for part in parts.each())


def _latest(spot: Spot, words: Vocabulary) -> Rule:
    spot.only({"latest_of", "is"})
    names = spot.at("latest_of")
    if not isinstance(names.value, list) or len(names.value) < 2:
        names.refuse(found=repr(names.value), expected="a list of two or more roles")
    subjects = tuple(Subject(_name(name, words)) for name in names.each())
    winner = Subject(_name(spot.at("is"), words))
    if winner not in subjects:
        spot.at("is").refuse(
            found=winner.name, expected=f"one of: {', '.join(s.name for s in subjects)}"
        )
    return LatestOf(subjects, winner)


def _in_stage(spot: Spot, words: Vocabulary) -> Rule:
    word = "stage" if "stage" in spot.value else "was"
    spot.only({"stage"} if word == "stage" else {"was", "window"})
    stage = spot.at(word)
    if not words.stages:
        stage.refuse(
            found=f"{word}: {stage.value!r} in the rule of a stage",
            expected="stages asked for in flags only: a stage cannot depend on itself",
        )
    if stage.value not in words.stages:
        stage.refuse(
            found=f"unknown stage {stage.value!r}",
            expected=f"one of: {', '.join(words.stages)}",
            hint=did_you_mean(stage.value, words.stages),
        )
    return InStage(stage.value, _window(spot, words) if word == "was" else None)


def _window(spot: Spot, words: Vocabulary) -> int:
    window = spot.at("window")
    days = evaluate(window, words.values)
    if days < 1 or days != int(days):
        window.refuse(
            found=f"{days:g}",
            expected="whole days, one or more",
            hint="windows end at the reference date and look back; leave out `window` for lifetime",
        )
    return int(days)


def _name(spot: Spot, words: Vocabulary) -> str:
    name = spot.value
    if not isinstance(name, str) or (name not in ROLES and name not in words.event_types):
        types = (
            f"; event types: {', '.join(sorted(words.event_types))}" if words.event_types else ""
        )
        spot.refuse(
            found=f"unknown role {name!r}",
            expected=f"one of the roles: {', '.join(ROLES)}{types[:300]}",
            hint=did_you_mean(
                name,
                [*ROLES, *sorted(words.event_types)],
                otherwise="name a role, or an event type that the config maps to a role",
            ),
        )
    return str(name)


def _subject(spot: Spot, name: Spot, words: Vocabulary) -> Subject:
    subject = Subject(_name(name, words))
    if "where" not in spot.value:
        return subject
    where = spot.at("where")
    if not isinstance(where.value, dict) or len(where.value) != 1:
        where.refuse(
            found=repr(where.value),
            expected="one attribute and its values, as in {brand: [acme, apex]}",
            hint="ask for a second attribute in a comparison of its own, under `all`",
        )
    attribute = next(iter(where.value))
    if not isinstance(attribute, str) or attribute not in words.attributes:
        where.at(attribute).refuse(
            found=f"attribute {attribute!r}, which the config does not declare",
            expected=f"a declared attribute: {', '.join(sorted(words.attributes)) or 'none'}",
            hint=f"add `{attribute}: COLUMN` to the columns of the source, unless it is sensitive",
        )
    choices = where.value[attribute]
    choices = choices if isinstance(choices, list) else [choices]
    if not choices or any(isinstance(c, dict | list | bool) or c is None for c in choices):
        where.at(attribute).refuse(found=repr(choices), expected="a value or a list of values")
    return Subject(subject.name, attribute, tuple(sorted(str(c) for c in choices)))


def _comparison(spot: Spot, words: Vocabulary) -> Rule:
    measures = (*MEASURES, *plugin_measures())
    node = spot.only({*measures, *COMPARISONS, "window", "where", "per"})
    kinds = [key for key in node if key in measures]
    signs = [key for key in node if key in COMPARISONS]
    if len(kinds) != 1 or not signs:
        spot.refuse(
            found=repr(node),
            expected=f"one of {', '.join(measures)} and a comparison ({', '.join(COMPARISONS)})",
        )
    measure = _measure(spot, kinds[0], words)
    scale = words.scale if measure.kind in VALUED else 1
    # Whole minor units stay exactly whole.
    comparisons = [
        Compare(measure, s, round(evaluate(spot.at(s), words.values) * scale, 6)) for s in signs
    ]
    return comparisons[0] if len(comparisons) == 1 else All(tuple(comparisons))


def _measure(spot: Spot, kind: str, words: Vocabulary) -> Measure:
    window = None
    if "window" in spot.value:
        if kind in MEASURES and kind not in WINDOWED:
            spot.at("window").refuse(
                found=f"a window for {kind}",
                expected="no window there",
                hint="compare the days instead, as in {days_since_last: purchase, '<=': 30}",
            )
        window = _window(spot, words)
    per = _per(spot, kind)
    subject_spot = spot.at(kind)
    if kind == "ratio":
        if (
            "where" in spot.value
            or not isinstance(subject_spot.value, list)
            or len(subject_spot.value) != 2
        ):
            subject_spot.refuse(
                found=repr(subject_spot.value),
                expected="two roles, as in {ratio: [redemption, purchase]}",
            )
        numerator, denominator = (Subject(_name(n, words)) for n in subject_spot.each())
        return Measure(kind, numerator, window, per, denominator)
    subject = _subject(spot, subject_spot, words)
    if subject.attribute is not None and kind in VALUED:
        spot.at("where").refuse(
            found=f"`where` with {kind}",
            expected="`where` with count, count_distinct_days or days_since_*",
            hint="amounts are tallied by event type, not by attribute",
        )
    if kind == "count" and per == "day":
        kind, per = "count_distinct_days", "order"
    return Measure(kind, subject, window, per)


def _per(spot: Spot, kind: str) -> Per:
    if "per" not in spot.value:
        return "order"
    if spot.value["per"] not in ("order", "day"):
        spot.at("per").refuse(found=repr(spot.value["per"]), expected="order or day")
    if kind not in (*VALUED, *COUNTED, "ratio") or kind == "count_distinct_days":
        spot.at("per").refuse(found=f"`per` with {kind}", expected="no `per`: it counts days")
    if kind == "sum":
        return "order"  # the same either way
    return "day" if spot.value["per"] == "day" else "order"
