"""Every primitive of the rules by plain loops over single events: no tallies, no arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.oracles.histories import Event
from tests.oracles.loops import ROLE_TYPES, SIGNS

# Day, moment and cents of one event.
Fact = tuple[int, float, int]


def facts(events: Sequence[Event], name: str, where: Mapping[str, Any] | None) -> list[Fact]:
    """What one customer did of a role or an event type; orders have no parts here."""
    found = []
    for e in events:
        kind, cents = e.type, e.amount or 0
        if where is not None:
            chosen = where["brand"] if isinstance(where["brand"], list) else [where["brand"]]
            if kind in ROLE_TYPES.get(name, (name,)) and e.brand in chosen:
                found.append((e.day, e.at.timestamp(), 0))
            continue
        if kind == "purchase" and cents < 0:
            kind = "negative"
        if kind in ROLE_TYPES.get(name, (name,)):
            found.append((e.day, e.at.timestamp(), -abs(cents) if kind == "refund" else cents))
    return sorted(found)


def by_day(found: Sequence[Fact]) -> list[Fact]:
    """One fact a day: its last moment and its sum."""
    return [
        (day, max(f[1] for f in found if f[0] == day), sum(f[2] for f in found if f[0] == day))
        for day in sorted({f[0] for f in found})
    ]


def measure(events: Sequence[Event], node: Mapping[str, Any], at: int) -> float | None:
    """What a comparison compares; None where it is missing. Amounts in major units."""
    kinds = ("days_since_last", "days_since_first", "count", "count_distinct_days", "sum", "mean",
             "max", "last", "ratio")  # fmt: skip
    kind = next(k for k in kinds if k in node)

    def within(name: str) -> list[Fact]:
        found = facts(events, name, node.get("where"))
        found = [f for f in found if "window" not in node or f[0] >= at - node["window"]]
        return by_day(found) if node.get("per") == "day" else found

    if kind == "ratio":
        above, below = (len(within(name)) for name in node["ratio"])
        return above / below if below else None
    found = within(node[kind])
    if kind == "count":
        return len(found)
    if kind == "count_distinct_days":
        return len({f[0] for f in found})
    if not found:
        return None
    days, cents = [f[0] for f in found], [f[2] for f in found]
    return {
        "days_since_last": at - max(days),
        "days_since_first": at - min(days),
        "sum": sum(cents) / 100,
        "mean": sum(cents) / len(cents) / 100,
        "max": max(cents) / 100,
        "last": cents[-1] / 100,
    }[kind]


def holds(rule: Mapping[str, Any], events: Sequence[Event], at: int) -> bool:
    """Whether a rule holds for what is known of one customer."""
    if "all" in rule:
        return all(holds(part, events, at) for part in rule["all"])
    if "any" in rule:
        return any(holds(part, events, at) for part in rule["any"])
    if "not" in rule:
        return not holds(rule["not"], events, at)
    if "latest_of" in rule:
        last = [
            (fact[:2], number, name)
            for number, name in enumerate(rule["latest_of"])
            for fact in facts(events, name, None)
        ]
        return bool(last) and max(last)[2] == rule["is"]
    found = measure(events, rule, at)
    return found is not None and all(
        SIGNS[sign](found, rule[sign]) for sign in SIGNS if sign in rule
    )


def stage(taxonomy: Mapping[str, Any], events: Sequence[Event], customer: str, at: int) -> str:
    """Name of a customer's stage at a date."""
    known = [
        e
        for e in events
        if e.customer == customer and not e.machine and max(e.day, e.known_day) < at
    ]
    stages = taxonomy["stages"]
    if taxonomy.get("pick") == "furthest":
        stages = sorted(stages, key=lambda s: (s.get("default", False), -s.get("rank", 0)))
    return next(s["name"] for s in stages if s.get("default") or holds(s["when"], known, at))
