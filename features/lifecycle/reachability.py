"""What a taxonomy can never do: contradictions, unreachable stages, and roles without data.

A rule is taken apart into what must hold together. Each measure then has a range of values, and
ranges are compared; what cannot be decided so is taken as possible.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from features.lifecycle.rule_language import (
    CLOCKS,
    COUNTED,
    All,
    AnyOf,
    Compare,
    LatestOf,
    Measure,
    Not,
    Rule,
)

Range = tuple[float, float]


def _conjuncts(rule: Rule) -> list[Rule]:
    if isinstance(rule, All):
        return [c for part in rule.parts for c in _conjuncts(part)]
    return [rule]


def _widest(measure: Measure) -> Range:
    if measure.kind in CLOCKS:
        return 1.0, math.inf  # an event lies before the date it is looked at from
    return (0.0 if measure.kind in (*COUNTED, "ratio") else -math.inf), math.inf


def _range(compare: Compare) -> Range:
    low, high = _widest(compare.measure)
    c = compare.constant
    if compare.measure.kind in (*CLOCKS, *COUNTED):
        least = {">=": math.ceil(c), ">": math.floor(c) + 1, "==": c}.get(compare.sign, low)
        most = {"<=": math.floor(c), "<": math.ceil(c) - 1, "==": c}.get(compare.sign, high)
    else:
        least = {">=": c, ">": math.nextafter(c, math.inf), "==": c}.get(compare.sign, low)
        most = {"<=": c, "<": math.nextafter(c, -math.inf), "==": c}.get(compare.sign, high)
    return max(low, least), min(high, most)


def _ranges(parts: list[Rule]) -> dict[Measure, Range]:
    ranges: dict[Measure, Range] = {}
    for part in parts:
        if isinstance(part, Compare):
            low, high = ranges.get(part.measure, _widest(part.measure))
            least, most = _range(part)
            ranges[part.measure] = max(low, least), min(high, most)
    return ranges


def contradiction(rule: Rule) -> str | None:
    """Why a rule, or an alternative within it, can never hold; None where it can."""
    parts = _conjuncts(rule)
    ranges = _ranges(parts)
    for measure, (low, high) in ranges.items():
        if low > high:
            return f"{measure}: no value satisfies all its comparisons"
    for one, (least, _) in ranges.items():
        for other, (_, most) in ranges.items():
            said = _crossing(one, least, other, most)
            if said:
                return said
    for one, (least, _) in ranges.items():
        said = _too_old(one, least, ranges)
        if said:
            return said
    below = [p for part in parts if isinstance(part, AnyOf) for p in part.parts]
    said = next((said for part in below if (said := contradiction(part))), None)
    return said and f"an alternative: {said.removeprefix('an alternative: ')}"


def _reach(measure: Measure) -> float:
    return math.inf if measure.window is None else measure.window


def _crossing(short: Measure, least: float, long: Measure, most: float) -> str | None:
    """More in a short window than in a longer one that holds it."""
    alike = (short.kind, short.subject) == (long.kind, long.subject) and short.kind in COUNTED
    if alike and _reach(short) <= _reach(long) and least > most:
        return f"{short} is at least {least:g} while {long} is at most {most:g}"
    return None


def _too_old(last: Measure, least: float, ranges: Mapping[Measure, Range]) -> str | None:
    """An event asked for in a window that the last event lies before."""
    if last.kind != "days_since_last":
        return None
    for other, (low, _) in ranges.items():
        if other.subject != last.subject or other.window is None or other.kind == "ratio":
            continue
        if (other.kind not in COUNTED or low >= 1) and least > other.window:
            return f"{other} asks for an event, while {last} is at least {least:g}"
    return None


def covers(earlier: Rule, later: Rule) -> bool:
    """Whether the earlier rule surely holds wherever the later one does."""
    if isinstance(earlier, AnyOf) and any(covers(part, later) for part in earlier.parts):
        return True
    parts = _conjuncts(later)
    ranges, there = _ranges(parts), set(parts)

    def sure(part: Rule) -> bool:
        if part in there:
            return True
        if not isinstance(part, Compare):
            return False
        low, high = _range(part)
        always = _widest(part.measure) if part.measure.kind in COUNTED else (-math.inf, math.inf)
        least, most = ranges.get(part.measure, always)
        return low <= least and most <= high

    return all(sure(part) for part in _conjuncts(earlier))


def possible(rule: Rule, absent: Collection[str]) -> bool:
    """Whether a rule can hold when the data have no events of some roles."""
    return _truths(rule, absent)[0]


def _truths(rule: Rule, absent: Collection[str]) -> tuple[bool, bool]:
    """Whether a rule can be true, and whether it can be false."""
    if isinstance(rule, Not):
        true, false = _truths(rule.part, absent)
        return false, true
    if isinstance(rule, All):
        found = [_truths(part, absent) for part in rule.parts]
        return all(t for t, _ in found), any(f for _, f in found)
    if isinstance(rule, AnyOf):
        found = [_truths(part, absent) for part in rule.parts]
        return any(t for t, _ in found), all(f for _, f in found)
    if isinstance(rule, LatestOf):
        return rule.winner.name not in absent, True
    if isinstance(rule, Compare):
        gone = rule.measure.subject.name in absent
        gone |= rule.measure.other is not None and rule.measure.other.name in absent
        if gone:
            low, high = _range(rule)
            holds = rule.measure.kind in COUNTED and low <= 0 <= high
            return holds, not holds
    return True, True
