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
    constant = compare.constant
    if compare.measure.kind in (*CLOCKS, *COUNTED):
        least = {">=": math.ceil(constant), ">": math.floor(constant) + 1, "==": constant}.get(
            compare.sign, low
        )
        most = {"<=": math.floor(constant), "<": math.ceil(constant) - 1, "==": constant}.get(
            compare.sign, high
        )
    else:
        least = {">=": constant, ">": math.nextafter(constant, math.inf), "==": constant}.get(
            compare.sign, low
        )
        most = {"<=": constant, "<": math.nextafter(constant, -math.inf), "==": constant}.get(
            compare.sign, high
        )
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
            sentence = _crossing(one, least, other, most)
            if sentence:
                return sentence
    for one, (least, _) in ranges.items():
        sentence = _too_old(one, least, ranges)
        if sentence:
            return sentence
    alternatives = [p for part in parts if isinstance(part, AnyOf) for p in part.parts]
    sentence = next((sentence for part in alternatives if (sentence := contradiction(part))), None)
    return sentence and f"an alternative: {sentence.removeprefix('an alternative: ')}"


def _reach(measure: Measure) -> float:
    return math.inf if measure.window is None else measure.window


def _crossing(short: Measure, least: float, long: Measure, most: float) -> str | None:
    """More in a short window than in a longer one that holds it."""
    comparable = (short.kind, short.subject) == (long.kind, long.subject) and short.kind in COUNTED
    if comparable and _reach(short) <= _reach(long) and least > most:
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
    ranges, later_parts = _ranges(parts), set(parts)

    def sure(part: Rule) -> bool:
        if part in later_parts:
            return True
        if not isinstance(part, Compare):
            return False
        low, high = _range(part)
        natural_range = (
            _widest(part.measure) if part.measure.kind in COUNTED else (-math.inf, math.inf)
        )
        least, most = ranges.get(part.measure, natural_range)
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
        part_truths = [_truths(part, absent) for part in rule.parts]
        return all(t for t, _ in part_truths), any(f for _, f in part_truths)
    if isinstance(rule, AnyOf):
        part_truths = [_truths(part, absent) for part in rule.parts]
        return any(t for t, _ in part_truths), all(f for _, f in part_truths)
    if isinstance(rule, LatestOf):
        return rule.winner.name not in absent, True
    if isinstance(rule, Compare):
        is_absent = rule.measure.subject.name in absent
        is_absent |= rule.measure.other is not None and rule.measure.other.name in absent
        if is_absent:
            low, high = _range(rule)
            holds = rule.measure.kind in COUNTED and low <= 0 <= high
            return holds, not holds
    return True, True
