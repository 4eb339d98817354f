"""Audience rules: readable conditions on scored columns, parsed, checked and evaluated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.contracts import SCORED_ROW
from features.errors import UserError
from features.lifecycle.rule_language import MEASURES

BoolArray = npt.NDArray[np.bool_]
Text = npt.NDArray[np.object_]

KNOWN_COLUMNS = tuple(column.name for column in SCORED_ROW)
# Named after the attributes a business declares, hence open ended.
OPEN_COLUMNS = ("preferred_", "interest_")
# Columns that the plan adds to the scored rows: rules on the past, and affinity to restocked goods.
PAST, RESTOCKED = "past ", "restocked "
# The uplift of the very campaign, taken out of the column `uplift`.
UPLIFT = "campaign_uplift"
COMPARISONS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
OPERATORS = ("in", "is", *COMPARISONS, "has", "within_days", "due_within_days", "missing")


class RuleError(ValueError):
    """A rule that cannot be read: the key within it, what was found, what is allowed."""

    def __init__(self, key: str, *, found: str, expected: str) -> None:
        self.key = key
        self.found = found
        self.expected = expected
        super().__init__(f"{key}: found {found}; expected {expected}")


@dataclass(frozen=True)
class Parameter:
    """A number taken from the taxonomy's parameters, times a factor, with a stand-in."""

    name: str
    otherwise: float
    times: float = 1.0


@dataclass(frozen=True)
class Condition:
    """One comparison of one scored column; with a missing value it is false."""

    column: str
    operator: str
    value: Any
    node: Mapping[str, Any] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Group:
    """``all``, ``any`` or ``not`` of other rules (``not`` has one part)."""

    word: str
    parts: tuple[Rule, ...]


Rule = Condition | Group


@dataclass(frozen=True)
class Moment:
    """What a rule may refer to beside the row.

    Attributes
    ----------
    snapshot_at
        The date of the scores.
    parameters
        The taxonomy's parameters, such as ``L``, in days or counts.
    """

    snapshot_at: pd.Timestamp
    parameters: Mapping[str, float]


def parse_rule(node: object, key: str = "audience") -> Rule:
    """Rule from the YAML form.

    Raises
    ------
    RuleError
        Naming the place within the rule, what was found and what is allowed.
    """
    if isinstance(node, Condition | Group):
        return node
    if not isinstance(node, dict):
        raise RuleError(key, found=repr(node), expected="all, any, not, or a condition")
    if "column" in node:
        return _parse_condition(node, key)
    if "restocked" in node:
        return _parse_restocked(node["restocked"], key)
    if "latest_of" in node or any(measure in node for measure in MEASURES):
        return Condition(past_name(node), "is", True, node)
    if len(node) != 1 or next(iter(node)) not in ("all", "any", "not"):
        raise RuleError(
            key,
            found=", ".join(map(str, node)) or "nothing",
            expected="one of all, any, not, a condition with `column`, or a measure of the past",
        )
    word, below = next(iter(node.items()))
    if word == "not":
        return Group("not", (parse_rule(below, f"{key}.not"),))
    if not isinstance(below, list) or not below:
        raise RuleError(f"{key}.{word}", found=repr(below), expected="a list of at least one rule")
    parts = (parse_rule(part, f"{key}.{word}.{i}") for i, part in enumerate(below))
    return Group(word, tuple(parts))


def past_name(node: Mapping[str, Any]) -> str:
    """Column under which the answer to a rule on the past stands."""
    return PAST + json.dumps(node, sort_keys=True, default=str)


def _parse_restocked(node: object, key: str) -> Condition:
    fits = (
        isinstance(node, dict)
        and set(node) == {"within_days", "match"}
        and isinstance(node["within_days"], int)
        and isinstance(node["match"], list)
        and bool(node["match"])
        and all(isinstance(name, str) for name in node["match"])
    )
    if not isinstance(node, dict) or not fits:
        raise RuleError(
            f"{key}.restocked",
            found=repr(node),
            expected="{within_days: DAYS, match: [product_type, brand, ...]}",
        )
    return Condition(RESTOCKED + json.dumps(node, sort_keys=True), "is", True, node)


def _parse_condition(node: dict[Any, Any], key: str) -> Condition:
    operators = [name for name in node if name != "column"]
    if len(operators) != 1 or operators[0] not in OPERATORS:
        raise RuleError(
            key,
            found=", ".join(map(str, operators)) or "no comparison",
            expected=f"one comparison beside `column`: {', '.join(OPERATORS)}",
        )
    if not isinstance(node["column"], str):
        raise RuleError(f"{key}.column", found=repr(node["column"]), expected="a column name")
    name = operators[0]
    return Condition(node["column"], name, _parse_value(name, node[name], f"{key}.{name}"))


def _parse_value(operator: str, value: object, key: str) -> Any:
    if operator == "in":
        if isinstance(value, list) and value and all(_is_plain(each) for each in value):
            return tuple(value)
        raise RuleError(key, found=repr(value), expected="a list of texts or numbers")
    if operator in ("is", "has"):
        if _is_plain(value):
            return value
        raise RuleError(key, found=repr(value), expected="a text, a number, true or false")
    if operator == "missing":
        if isinstance(value, bool):
            return value
        raise RuleError(key, found=repr(value), expected="true or false")
    if isinstance(value, dict):
        return _parse_parameter(value, key)
    if _is_number(value):
        return value
    raise RuleError(
        key, found=repr(value), expected="a number, or {param: NAME, otherwise: NUMBER}"
    )


def _parse_parameter(value: dict[Any, Any], key: str) -> Parameter:
    numbers = {name: value[name] for name in ("otherwise", "times") if name in value}
    fits = (
        set(value) <= {"param", "otherwise", "times"}
        and isinstance(value.get("param"), str)
        and "otherwise" in value
        and all(_is_number(number) for number in numbers.values())
    )
    if not fits:
        raise RuleError(
            key, found=repr(value), expected="{param: NAME, otherwise: NUMBER, times: NUMBER}"
        )
    return Parameter(value["param"], **numbers)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | bool) or _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)


def conditions(rule: Rule) -> list[Condition]:
    """All comparisons of a rule, in order."""
    if isinstance(rule, Condition):
        return [rule]
    return [found for part in rule.parts for found in conditions(part)]


def is_known(column: str) -> bool:
    """Whether a scored row may have this column."""
    known = column in KNOWN_COLUMNS or column == UPLIFT
    return known or column.startswith((*OPEN_COLUMNS, PAST, RESTOCKED))


def describe(rule: Rule) -> str:
    """The rule in words, for exclusion reasons."""
    if isinstance(rule, Group):
        if rule.word == "not":
            return f"not ({describe(rule.parts[0])})"
        joined = " and " if rule.word == "all" else " or "
        return joined.join(
            f"({describe(part)})" if isinstance(part, Group) else describe(part)
            for part in rule.parts
        )
    value = rule.value
    if rule.node is not None:
        return _asked(rule)
    if rule.operator == "in":
        return f"{rule.column} in {', '.join(map(str, value))}"
    if rule.operator == "missing":
        return f"{rule.column} {'missing' if value else 'known'}"
    if isinstance(value, Parameter):
        value = value.name if value.times == 1 else f"{value.times:g} {value.name}"
    words = {"within_days": "in the last", "due_within_days": "in the next"}
    if rule.operator in words:
        return f"{rule.column} {words[rule.operator]} {value} days"
    return f"{rule.column} {rule.operator} {value}"


def _asked(rule: Condition) -> str:
    """A rule on the past in words."""
    node = rule.node or {}
    if rule.column.startswith(RESTOCKED):
        return f"{' and '.join(node['match'])} restocked in the last {node['within_days']} days"
    words = []
    for name, value in node.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        if name in COMPARISONS or name == "==":
            words.append(f"{name} {shown}")
        elif name == "window":
            words.append(f"in {shown} days")
        else:
            words.append(f"{name} {shown}".replace("_", " "))
    return " ".join(words)


def holds(rule: Rule, scores: pd.DataFrame, moment: Moment) -> BoolArray:
    """For whom a rule holds.

    Parameters
    ----------
    rule
        The rule.
    scores
        Scored rows; a documented column that the frame lacks counts as missing everywhere.
    moment
        Date and taxonomy parameters.

    Returns
    -------
    ndarray of bool, shape (rows,)

    Raises
    ------
    UserError
        Where a number is asked of a column of text, or a date of one that holds none.
    """
    if isinstance(rule, Condition):
        return _holds(rule, scores, moment)
    parts = [holds(part, scores, moment) for part in rule.parts]
    if rule.word == "not":
        return ~parts[0]
    combined: BoolArray = (np.logical_and if rule.word == "all" else np.logical_or).reduce(parts)
    return combined


def _holds(rule: Condition, scores: pd.DataFrame, moment: Moment) -> BoolArray:
    if rule.column not in scores:
        absent = rule.operator == "missing" and rule.value
        return np.full(len(scores), absent, dtype=bool)
    column = scores[rule.column]
    missing = column.isna().to_numpy(dtype=bool)
    if rule.operator == "missing":
        unknown: BoolArray = missing if rule.value else ~missing
        return unknown
    if rule.operator in ("in", "is"):
        allowed = rule.value if rule.operator == "in" else (rule.value,)
        found: BoolArray = column.isin(allowed).to_numpy(dtype=bool) & ~missing
        return found
    if rule.operator == "has":
        return _has(column, rule.value)
    value = rule.value
    if isinstance(value, Parameter):
        value = moment.parameters.get(value.name, value.otherwise) * value.times
    if rule.operator in COMPARISONS:
        with np.errstate(invalid="ignore"):
            compared: BoolArray = COMPARISONS[rule.operator](numbers(scores, rule.column), value)
        return compared
    ago = (moment.snapshot_at - _dates(column)).dt.days.to_numpy(dtype=float, na_value=np.nan)
    days = ago if rule.operator == "within_days" else -ago
    with np.errstate(invalid="ignore"):
        near: BoolArray = (days >= 0) & (days <= value)
    return near


def numbers(scores: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """A column as float64, NaN where missing or absent.

    Raises
    ------
    UserError
        Where the column holds text.
    """
    if column not in scores:
        return np.full(len(scores), np.nan)
    try:
        if pd.api.types.is_datetime64_any_dtype(scores[column]):
            raise TypeError("dates are no numbers")
        found: npt.NDArray[np.float64] = pd.to_numeric(scores[column]).to_numpy(
            dtype=float, na_value=np.nan
        )
    except (ValueError, TypeError) as error:
        raise UserError(
            column,
            found=f"a column of {scores[column].dtype}",
            expected="a column of numbers for <, <=, >, >= and ranking",
            hint="use `in` or `is` for text, `within_days` for dates",
        ) from error
    return found


def _dates(column: pd.Series[Any]) -> pd.Series[Any]:
    try:
        if pd.api.types.is_numeric_dtype(column) and column.notna().any():
            raise TypeError("numbers are no dates")
        return pd.to_datetime(column, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise UserError(
            str(column.name),
            found=f"a column of {column.dtype}",
            expected="a column of dates for within_days and due_within_days",
        ) from error


def _has(column: pd.Series[Any], member: object) -> BoolArray:
    """Whether the JSON list in a cell holds a member; each distinct text is read once."""
    codes, texts = pd.factorize(column)
    holding = np.array([member in json.loads(text) for text in texts] + [False], dtype=bool)
    found: BoolArray = holding[codes]
    return found
