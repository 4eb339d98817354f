"""The engine's answers by plain loops over one customer's events: slow, short and separate."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.oracles.histories import Event

ROLE_TYPES = {
    "purchase": ("purchase",),
    "refund": ("refund", "negative"),
    "touch": ("open", "touch"),
    "sent": ("sent",),
    "redemption": ("redemption",),
}
SIGNS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
# A role's events: (day, cents) in order of days.
Past = Mapping[str, list[tuple[int, int]]]
Measured = Callable[[Past, str, str, int | None, int], float | None]


def as_of(events: Sequence[Event], customer: str, known_before: int) -> Past:
    """One customer's events by role as they were known at the midnight that begins a day.

    Lines of one order are one purchase on its first known day. What is learned of an order on
    one day about one day is one line; a negative line is a refund.
    """
    lines: dict[tuple[Any, ...], int] = {}
    for number, e in enumerate(events):
        if e.customer != customer or e.machine or max(e.day, e.known_day) >= known_before:
            continue
        single = number if e.order is None else None
        key = (e.type, e.order, single, e.day, e.known_day)
        lines[key] = lines.get(key, 0) + (e.amount or 0)
    orders: dict[tuple[Any, ...], tuple[int, int]] = {}
    for (kind, order, single, day, _), cents in lines.items():
        if kind == "refund":
            cents = -abs(cents)
        if kind == "purchase" and cents < 0:
            kind = "negative"
        first, total = orders.get((kind, order, single), (day, 0))
        if order is None:
            single = (single, day)
        orders[kind, order, single] = (min(first, day), total + cents)
    past: dict[str, list[tuple[int, int]]] = {}
    for (kind, _, _), fact in orders.items():
        for role, kinds in ROLE_TYPES.items():
            if kind in kinds:
                past.setdefault(role, []).append(fact)
    return {role: sorted(facts) for role, facts in past.items()}


def exists(events: Sequence[Event], customer: str, at: int) -> bool:
    """Whether anything of the customer had happened and was known."""
    return any(as_of(events, customer, at).values())


def customers(events: Sequence[Event]) -> list[str]:
    """Everyone with an event that counts."""
    return sorted({e.customer for e in events if not e.machine})


def inside(past: Past, role: str, lo: float, hi: int) -> list[tuple[int, int]]:
    """A role's events on the days ``[lo, hi)``."""
    return [(day, cents) for day, cents in past.get(role, []) if lo <= day < hi]


def measure(past: Past, kind: str, role: str, window: int | None, at: int) -> float | None:
    """A rule's measure at a date; None where it is missing. Amounts in major units."""
    lo = float("-inf") if window is None else at - window
    facts = inside(past, role, lo, at)
    if kind == "count":
        return len(facts)
    if kind == "count_distinct_days":
        return len({day for day, _ in facts})
    if not facts:
        return None
    if kind == "days_since_last":
        return at - max(day for day, _ in facts)
    if kind == "days_since_first":
        return at - min(day for day, _ in facts)
    total = sum(cents for _, cents in facts)
    return total / 100 if kind == "sum" else total / 100 / len(facts)


def holds(
    rule: Mapping[str, Any],
    params: Mapping[str, float],
    past: Past,
    at: int,
    found_by: Measured = measure,
) -> bool:
    """Whether a rule, as YAML has it, holds for a past at a date."""
    parts = [
        holds(part, params, past, at, found_by) for part in rule.get("all") or rule.get("any") or []
    ]
    if "all" in rule:
        return all(parts)
    if "any" in rule:
        return any(parts)
    if "not" in rule:
        return not holds(rule["not"], params, past, at, found_by)
    kind = next(key for key in rule if key not in SIGNS and key != "window")
    window = params.get(rule.get("window"), rule.get("window"))
    found = found_by(past, kind, rule[kind], window, at)
    wanted = {sign: params.get(rule[sign], rule[sign]) for sign in SIGNS if sign in rule}
    return found is not None and all(SIGNS[sign](found, wanted[sign]) for sign in wanted)


def stage(taxonomy: Mapping[str, Any], past: Past, at: int, found_by: Measured = measure) -> int:
    """Number of the stage a past leads to at a date."""
    stages = list(enumerate(taxonomy["stages"]))
    if taxonomy.get("pick") == "furthest":
        stages.sort(key=lambda s: (s[1].get("default", False), -s[1].get("rank", 0)))
    params = taxonomy.get("params", {})
    for number, entry in stages:
        if entry.get("default") or holds(entry["when"], params, past, at, found_by):
            return number
    raise AssertionError("a taxonomy has a default")


def stage_of(taxonomy: Mapping[str, Any], events: Sequence[Event], customer: str, at: int) -> int:
    """Number of a customer's stage at a date."""
    return stage(taxonomy, as_of(events, customer, at), at)
