"""Audience rules and the values of score columns in words, for exclusions and reasons."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from campaigns.rules import RESTOCKED, UPLIFT, AudienceRule, Condition, RuleGroup
from features.contracts import ROLE_WORDS, column_label

_COMPARISONS = {"<": "below", "<=": "at most", ">": "above", ">=": "at least", "==": "exactly"}
_AGO = {"days_since_last": "last", "days_since_first": "first"}
_COUNTED = {"count": "{events}", "count_distinct_days": "{days} with a {event}"}
_VALUED = {
    "sum": "amount of {events}",
    "mean": "average of {events}",
    "max": "largest {event}",
    "last": "last {event}",
}


def describe_rule(rule: AudienceRule, parameters: Mapping[str, float]) -> str:
    """Describe a rule in words.

    Parameters
    ----------
    rule
        A condition, or a group of conditions.
    parameters
        The taxonomy's parameters, such as ``L``, in days or counts.
    """
    if isinstance(rule, RuleGroup):
        if rule.word == "not":
            return f"not ({describe_rule(rule.parts[0], parameters)})"
        joiner = " and " if rule.word == "all" else " or "
        return joiner.join(
            f"({describe_rule(part, parameters)})"
            if isinstance(part, RuleGroup)
            else describe_rule(part, parameters)
            for part in rule.parts
        )
    if rule.node is not None:
        return _describe_past(rule)
    label, value = column_label(rule.column), rule.value
    if rule.operator == "missing":
        return f"{label} is {'unknown' if value else 'known'}"
    if rule.operator == "has":
        return f"{label} include {str(value).replace('_', ' ')}"
    if rule.operator == "in":
        return f"{label} is {' or '.join(map(str, value))}"
    if rule.operator == "is":
        return f"{label} is {value}"
    if hasattr(value, "otherwise"):
        value = parameters.get(value.name, value.otherwise) * value.times
    if rule.operator in ("within_days", "due_within_days"):
        direction = "last" if rule.operator == "within_days" else "next"
        return f"{label} is in the {direction} {value:g} days"
    return f"{label} is {_COMPARISONS[rule.operator]} {value_text(rule.column, float(value))}"


def _describe_past(rule: Condition) -> str:
    """Describe a rule on events of the past, such as ``at least 2 purchases in 90 days``."""
    node = rule.node or {}
    if rule.column.startswith(RESTOCKED):
        names = " and ".join(str(name).replace("_", " ") for name in node["match"])
        return f"preferred {names} back in stock in the last {node['within_days']} days"
    comparisons = [(_COMPARISONS[key], value) for key, value in node.items() if key in _COMPARISONS]
    kinds = [key for key in node if key not in _COMPARISONS and key != "window"]
    window = f" in the last {node['window']} days" if "window" in node else ""
    if len(kinds) != 1 or not comparisons or not isinstance(node[kinds[0]], str):
        return _spell_out(node)
    kind, role = kinds[0], node[kinds[0]]
    events, event = ROLE_WORDS.get(role, (f"{role} events", role))
    if kind in _AGO:
        limits = " and ".join(f"{sign} {_days_text(value)} ago" for sign, value in comparisons)
        return f"{_AGO[kind]} {event} {limits}"
    if kind in _COUNTED:
        one = all(value == 1 for _, value in comparisons)
        events = event if one and kind == "count" else events
        noun = _COUNTED[kind].format(events=events, event=event, days="day" if one else "days")
        limits = " and ".join(f"{sign} {value}" for sign, value in comparisons)
        limits = "no" if limits == "exactly 0" else limits
        return f"{limits} {noun}{window}"
    if kind in _VALUED:
        limits = " and ".join(f"{sign} {value}" for sign, value in comparisons)
        return f"{_VALUED[kind].format(events=events, event=event)} {limits}{window}"
    return _spell_out(node)


def _spell_out(node: Mapping[str, Any]) -> str:
    """Describe a rule without a template: its keys and values, signs in words."""
    phrases = []
    for key, value in node.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        if key == "window":
            phrases.append(f"in the last {text} days")
        elif key in _COMPARISONS:
            phrases.append(f"{_COMPARISONS[key]} {text}")
        else:
            phrases.append(f"{key.replace('_', ' ')} {text}")
    return " ".join(phrases)


def _days_text(value: object) -> str:
    """Format a number of days, or an expression such as ``0.75 * median_gap``."""
    if isinstance(value, str):
        return value.replace("*", "×").replace("_", " ")
    return "1 day" if value == 1 else f"{value} days"


def value_text(column: str, value: object) -> str:
    """Format a score column's value: probabilities as percentages, lists with commas."""
    if isinstance(value, float | np.floating):
        if column.startswith("p_") or column == UPLIFT or column.endswith("_share"):
            return f"{100 * value:.3g} %"
        return f"{value:.3g}"
    if hasattr(value, "strftime"):
        return str(value.strftime("%Y-%m-%d"))
    text = str(value)
    if text.startswith("["):
        return ", ".join(str(item).replace("_", " ") for item in json.loads(text))
    return text
