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
from features.similar_names import did_you_mean

BoolArray = npt.NDArray[np.bool_]
TextArray = npt.NDArray[np.object_]

KNOWN_COLUMNS = tuple(column.name for column in SCORED_ROW)
# Prefixes of columns named after the attributes in the config.
_OPEN_COLUMNS = ("preferred_", "interest_")
# Prefixes of columns that planning adds: rules on the history, and affinity to restocked goods.
PAST, RESTOCKED = "past ", "restocked "
# Uplift of the campaign, from the JSON column `uplift`.
UPLIFT = "campaign_uplift"
UPLIFT_ERROR = "campaign_uplift_error"
# Chance of an order while the campaign's offer is valid.
ORDER_WITHIN_DAYS = "p_order_within_days"
_COMPARISONS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
_OPERATORS = ("in", "is", *_COMPARISONS, "has", "within_days", "due_within_days", "missing")
_KINDS = {column.name: column.dtype for column in SCORED_ROW}
_NO_DATE = ("within_days", "due_within_days")
# Comparisons that a type of column does not have.
_REFUSED = {
    "string": (*_COMPARISONS, *_NO_DATE), "bool": (*_COMPARISONS, *_NO_DATE),
    "double": _NO_DATE, "int64": _NO_DATE,
    "date": tuple(_COMPARISONS), "timestamp": tuple(_COMPARISONS),
}  # fmt: skip
_COLUMN_WORDS = {
    "churn_band": ("high", "medium", "low"),
    "value_tier": ("top", "mid", "low"),
    "lead_band": ("A", "B", "C", "D"),
}
_WORDS = ("all", "any", "not", "column", "restocked", "latest_of", *MEASURES)


class RuleError(ValueError):
    """Invalid rule: key in the rule, value found, value expected; `others` holds further ones."""

    def __init__(self, key: str, *, found: str, expected: str, hint: str = "") -> None:
        self.key = key
        self.found = found
        self.expected = expected
        self.hint = hint
        self.others: tuple[RuleError, ...] = ()
        super().__init__(f"{key}: found {found}; expected {expected}")


@dataclass(frozen=True)
class _Parameter:
    """A taxonomy parameter times a factor, with a default where the taxonomy lacks it."""

    name: str
    otherwise: float
    times: float = 1.0


@dataclass(frozen=True)
class Condition:
    """One comparison of one scored column; False for a missing value."""

    column: str
    operator: str
    value: Any
    node: Mapping[str, Any] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class RuleGroup:
    """``all``, ``any`` or ``not`` of rules (``not`` has one part)."""

    word: str
    parts: tuple[AudienceRule, ...]


AudienceRule = Condition | RuleGroup


@dataclass(frozen=True)
class RuleContext:
    """Values that a rule may use beside the row.

    Attributes
    ----------
    snapshot_at
        Date of the scores.
    parameters
        Parameters of the taxonomy, such as ``L``, in days or counts.
    """

    snapshot_at: pd.Timestamp
    parameters: Mapping[str, float]


def parse_rule(node: object, key: str = "audience") -> AudienceRule:
    """Parse a rule from its YAML form.

    Raises
    ------
    RuleError
        With the location in the rule, the value found and the allowed values.
    """
    if isinstance(node, Condition | RuleGroup):
        return node
    if not isinstance(node, dict):
        raise RuleError(key, found=repr(node), expected="all, any, not, or a condition")
    if "column" in node:
        return _parse_condition(node, key)
    if "restocked" in node:
        return _parse_restocked(node["restocked"], key)
    if "latest_of" in node or any(measure in node for measure in MEASURES):
        _refuse_other_keys_than_text(node, key)
        return Condition(history_rule_column(node), "is", True, node)
    if len(node) != 1 or next(iter(node)) not in ("all", "any", "not"):
        raise RuleError(
            key,
            found=", ".join(map(str, node)) or "nothing",
            expected="one of all, any, not, a condition with `column`, or a measure of the past",
            hint=did_you_mean(next(iter(node), ""), _WORDS),
        )
    operator, operands = next(iter(node.items()))
    if operator == "not":
        return RuleGroup("not", (parse_rule(operands, f"{key}.not"),))
    if not isinstance(operands, list) or not operands:
        raise RuleError(
            f"{key}.{operator}", found=repr(operands), expected="a list of at least one rule"
        )
    return RuleGroup(operator, tuple(_parse_all(operands, f"{key}.{operator}")))


def _parse_all(nodes: list[Any], key: str) -> list[AudienceRule]:
    """Parse every rule of a list, so that all errors are reported at once."""
    rules, errors = [], []
    for position, node in enumerate(nodes):
        try:
            rules.append(parse_rule(node, f"{key}.{position}"))
        except RuleError as error:
            errors += [error, *error.others]
    if errors:
        errors[0].others = tuple(errors[1:])
        raise errors[0]
    return rules


def _refuse_other_keys_than_text(node: object, key: str) -> None:
    """Refuse a rule in which a number, a date or nothing stands as a key, at any depth."""
    if isinstance(node, list):
        for number, part in enumerate(node):
            _refuse_other_keys_than_text(part, f"{key}.{number}")
    elif isinstance(node, dict):
        for name, part in node.items():
            if not isinstance(name, str):
                raise RuleError(key, found=f"the key {name!r}", expected="a word of the language")
            _refuse_other_keys_than_text(part, f"{key}.{name}")


def history_rule_column(node: Mapping[str, Any]) -> str:
    """Name of the column with the answers to a rule on the history."""
    return PAST + json.dumps(node, sort_keys=True, default=str)


def _parse_restocked(node: object, key: str) -> Condition:
    is_valid = (
        isinstance(node, dict)
        and set(node) == {"within_days", "match"}
        and isinstance(node["within_days"], int)
        and isinstance(node["match"], list)
        and bool(node["match"])
        and all(isinstance(name, str) for name in node["match"])
    )
    if not isinstance(node, dict) or not is_valid:
        raise RuleError(
            f"{key}.restocked",
            found=repr(node),
            expected="{within_days: DAYS, match: [product_type, brand, ...]}",
        )
    return Condition(RESTOCKED + json.dumps(node, sort_keys=True), "is", True, node)


def _parse_condition(node: dict[Any, Any], key: str) -> Condition:
    operators = [operator for operator in node if operator != "column"]
    if len(operators) != 1 or operators[0] not in _OPERATORS:
        raise RuleError(
            key,
            found=", ".join(map(str, operators)) or "no comparison",
            expected=f"one comparison beside `column`: {', '.join(_OPERATORS)}",
            hint=did_you_mean(operators[0], _OPERATORS) if len(operators) == 1 else "",
        )
    if not isinstance(node["column"], str):
        raise RuleError(f"{key}.column", found=repr(node["column"]), expected="a column name")
    operator, column = operators[0], node["column"]
    value = _parse_value(operator, node[operator], f"{key}.{operator}")
    _refuse_what_never_holds(column, operator, value, key)
    return Condition(column, operator, value)


def _refuse_what_never_holds(column: str, operator: str, value: Any, key: str) -> None:
    """Refuse comparisons that a scored column does not have, and words that it never holds."""
    kind = _KINDS.get(column, "")
    refused = _REFUSED.get(kind, ())
    if operator in refused:
        expected = [name for name in _OPERATORS if name not in refused]
        raise RuleError(
            f"{key}.{operator}", found=f"{column}, a column of type {kind}",
            expected=f"one of {', '.join(expected)}",
        )  # fmt: skip
    words = _COLUMN_WORDS.get(column, ())
    values = value if operator == "in" else (value,) if operator == "is" else ()
    for word in values if words else ():
        if word not in words:
            raise RuleError(
                f"{key}.{operator}", found=repr(word), expected=f"one of {', '.join(words)}",
                hint=did_you_mean(word, words),
            )  # fmt: skip


def _parse_value(operator: str, value: object, key: str) -> Any:
    if operator == "in":
        if isinstance(value, list) and value and all(_is_plain(element) for element in value):
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


def _parse_parameter(value: dict[Any, Any], key: str) -> _Parameter:
    factors = {name: value[name] for name in ("otherwise", "times") if name in value}
    is_valid = (
        set(value) <= {"param", "otherwise", "times"}
        and isinstance(value.get("param"), str)
        and "otherwise" in value
        and all(_is_number(number) for number in factors.values())
    )
    if not is_valid:
        raise RuleError(
            key, found=repr(value), expected="{param: NAME, otherwise: NUMBER, times: NUMBER}"
        )
    return _Parameter(value["param"], **factors)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | bool) or _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)


def rule_conditions(rule: AudienceRule) -> list[Condition]:
    """All conditions of a rule, in order."""
    if isinstance(rule, Condition):
        return [rule]
    return [condition for part in rule.parts for condition in rule_conditions(part)]


def is_scored_column(column: str) -> bool:
    """True if a scored row may have the column."""
    documented = column in KNOWN_COLUMNS or column in (UPLIFT, ORDER_WITHIN_DAYS)
    return documented or column.startswith((*_OPEN_COLUMNS, PAST, RESTOCKED))


def rule_holds(rule: AudienceRule, scores: pd.DataFrame, rule_context: RuleContext) -> BoolArray:
    """True for rows that meet a rule.

    Parameters
    ----------
    rule
        The rule.
    scores
        Scored rows; an absent column counts as missing in all rows.
    rule_context
        Date and taxonomy parameters.

    Returns
    -------
    ndarray of bool, shape (rows,)

    Raises
    ------
    UserError
        If a comparison of numbers names a text column, or one of dates a column without dates.
    """
    if isinstance(rule, Condition):
        return _condition_holds(rule, scores, rule_context)
    parts = [rule_holds(part, scores, rule_context) for part in rule.parts]
    if rule.word == "not":
        return ~parts[0]
    combined: BoolArray = (np.logical_and if rule.word == "all" else np.logical_or).reduce(parts)
    return combined


def _condition_holds(rule: Condition, scores: pd.DataFrame, rule_context: RuleContext) -> BoolArray:
    if rule.column not in scores:
        absent = rule.operator == "missing" and rule.value
        return np.full(len(scores), absent, dtype=bool)
    column = scores[rule.column]
    missing = column.isna().to_numpy(dtype=bool)
    if rule.operator == "missing":
        matches_missing: BoolArray = missing if rule.value else ~missing
        return matches_missing
    if rule.operator in ("in", "is"):
        allowed = rule.value if rule.operator == "in" else (rule.value,)
        is_allowed: BoolArray = column.isin(allowed).to_numpy(dtype=bool) & ~missing
        return is_allowed
    if rule.operator == "has":
        return _list_contains(column, rule.value)
    value = rule.value
    if isinstance(value, _Parameter):
        value = rule_context.parameters.get(value.name, value.otherwise) * value.times
    if rule.operator in _COMPARISONS:
        with np.errstate(invalid="ignore"):
            compared: BoolArray = _COMPARISONS[rule.operator](
                numeric_column(scores, rule.column), value
            )
        return compared
    days_ago = (rule_context.snapshot_at - _dates(column)).dt.days.to_numpy(
        dtype=float, na_value=np.nan
    )
    distance = days_ago if rule.operator == "within_days" else -days_ago
    with np.errstate(invalid="ignore"):
        is_near: BoolArray = (distance >= 0) & (distance <= value)
    return is_near


def numeric_column(scores: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """Column as float64, NaN where missing or absent.

    Raises
    ------
    UserError
        If the column holds text.
    """
    if column not in scores:
        return np.full(len(scores), np.nan)
    try:
        if pd.api.types.is_datetime64_any_dtype(scores[column]):
            raise TypeError("dates are no numbers")
        numbers: npt.NDArray[np.float64] = pd.to_numeric(scores[column]).to_numpy(
            dtype=float, na_value=np.nan
        )
    except (ValueError, TypeError) as error:
        raise UserError(
            column,
            found=f"a column of {scores[column].dtype}",
            expected="a column of numbers for <, <=, >, >= and ranking",
            hint="use `in` or `is` for text, `within_days` for dates",
        ) from error
    return numbers


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


def _list_contains(column: pd.Series[Any], member: object) -> BoolArray:
    """True where the JSON list of a cell contains a member; each distinct text is parsed once."""
    text_codes, texts = pd.factorize(column)
    holding = np.array([member in json.loads(text) for text in texts] + [False], dtype=bool)
    contains: BoolArray = holding[text_codes]
    return contains
