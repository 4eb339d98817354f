"""Checks of the stored tallies by the guards: strays, gaps, implausible ids, copies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.arrays import Array
from features.calendar import day_date
from features.config.config import Config
from features.config.guards import GUARDS_BY_NAME, Action, guard_setting
from features.sources.read_report import ReadReport

# Ids that programs and people write where there is no customer.
_PLACEHOLDERS = frozenset(
    {"0", "-1", "-", "null", "none", "nan", "na", "n/a", "#n/a", "\\n", "nil", "undefined", "guest",
     "gast", "unknown", "anonymous", "test", "default", "walk-in", "walkin", "cash", "pos"}
)  # fmt: skip
_PLACEHOLDER_WORDS = re.compile(r"(^|[\W_])(test|guest|gast|dummy|walk[\W_]?in)([\W_]|$)")
_STRAY_END_DAYS, _STRAY_START_DAYS = 60, 365
_UNUSUAL = 5  # times as long as the usual longest gap, or as many orders as others have
_Found = tuple[str, int, str, str]  # guard, count, sentence, value
_FEWEST_EVENTS = 100  # events below which shares mean nothing


@dataclass(frozen=True)
class GuardFinding:
    """What a guard has found.

    Attributes
    ----------
    name
        Name of the guard.
    action
        Action under the config.
    count
        Rows, orders, days or values that it is about.
    sentence
        What was there.
    value
        The id, or the day (ISO) at which plausible data end or begin; empty for other guards.
    """

    name: str
    action: Action
    count: int
    sentence: str
    value: str = ""

    @property
    def title(self) -> str:
        """Title of the guard."""
        return GUARDS_BY_NAME[self.name].title

    @property
    def hint(self) -> str:
        """What to do about it."""
        return GUARDS_BY_NAME[self.name].hint


@dataclass(frozen=True)
class TallyFacts:
    """What guards look at.

    Attributes
    ----------
    days, events
        Days with events (numbers, ascending), and how many there are on each.
    customers, purchases
        Ids with purchases, and how many each has.
    currencies
        Values of the attribute currency.
    """

    days: Array
    events: Array
    customers: pa.ChunkedArray
    purchases: Array
    currencies: Sequence[str] = ()


def tally_facts(
    daily: Iterable[pa.Table], attributes: Iterable[pa.Table], config: Config
) -> TallyFacts:
    """Sum up the stored daily rows and attribute choices by day, customer and currency."""
    bought = pa.array([*config.role_types().get("purchase", ())], pa.string())
    days, customers = [], []
    for rows in daily:
        days.append(_counts(rows.select(["day", "count"])))
        types = rows["event_type"].cast(pa.string())
        ids = rows["customer_id"].cast(pa.string())
        named = rows.select(["count"]).add_column(0, "customer_id", ids)
        customers.append(_counts(named.filter(pc.is_in(types, value_set=bought))))
    by_day = _total(days, "day", pa.int64()).sort_by("day")
    by_customer = _total(customers, "customer_id", pa.string())
    currencies: set[str] = set()
    for choices in attributes:
        is_currency = pc.equal(choices["attribute"].cast(pa.string()), "currency")
        currencies |= set(choices.filter(is_currency)["choice"].cast(pa.string()).to_pylist())
    return TallyFacts(
        by_day["day"].to_numpy(),
        by_day["count"].to_numpy(),
        by_customer["customer_id"],
        by_customer["count"].to_numpy(),
        sorted(currencies),
    )


def _counts(rows: pa.Table) -> pa.Table:
    """Add up `count`, the second column, by the first."""
    key, count = rows.column_names
    grouped = rows.group_by(key).aggregate([(count, "sum")])
    return grouped.select([key, f"{count}_sum"]).rename_columns([key, count])


def _total(parts: Sequence[pa.Table], key: str, kind: pa.DataType) -> pa.Table:
    """Add up counts of several parts; keys that come to zero are left out."""
    schema = pa.schema([(key, kind), ("count", pa.int64())])
    total = _counts(pa.concat_tables([schema.empty_table(), *(p.cast(schema) for p in parts)]))
    return total.filter(pc.greater(total["count"], 0))


def check_guards(
    facts: TallyFacts, reports: Sequence[ReadReport], config: Config
) -> list[GuardFinding]:
    """Return what the guards find that are not ignored, most serious first."""
    found: list[_Found] = []
    if int(facts.events.sum()) >= _FEWEST_EVENTS:
        found += _days_alone(facts, config)
    found += _implausible_ids(facts, config)
    for report in reports:
        found += _row_findings(report, config)
    if len(facts.currencies) > _limit("mixed_currencies", config):
        shown = ", ".join(facts.currencies[:10])
        found.append(("mixed_currencies", len(facts.currencies), f"amounts in {shown}", ""))
    findings = [
        GuardFinding(name, guard_setting(name, config.guards)[0], count, sentence, value)
        for name, count, sentence, value in found
    ]
    kept = [finding for finding in findings if finding.action != "ignore"]
    return sorted(kept, key=lambda finding: finding.action != "refuse")


def _limit(name: str, config: Config) -> float:
    return guard_setting(name, config.guards)[1]


def _days_alone(facts: TallyFacts, config: Config) -> list[_Found]:
    """Find events beyond a long gap at either end, and gaps within."""
    gaps = np.diff(facts.days)
    if not len(gaps):
        return []
    total, up_to = int(facts.events.sum()), np.cumsum(facts.events)
    found: list[_Found] = []
    first, last = 0, len(facts.days) - 1
    for place in np.flatnonzero(gaps >= _STRAY_END_DAYS).tolist():
        count = total - int(up_to[place])
        if count <= _limit("stray_end", config) * total and _is_unusual(gaps, place):
            last = place
            until, after = day_date(int(facts.days[place])), day_date(int(facts.days[place + 1]))
            found.append((
                "stray_end", count,
                f"{count} of {total:,} events from {after} on, after {int(gaps[place])} days "
                f"without any (last day before: {until})",
                str(until),
            ))  # fmt: skip
            break
    for place in np.flatnonzero(gaps >= _STRAY_START_DAYS)[::-1].tolist():
        count = int(up_to[place])
        if place < last and count <= _limit("stray_start", config) * total:
            first = place + 1
            before, start = day_date(int(facts.days[place])), day_date(int(facts.days[first]))
            found.append((
                "stray_start", count,
                f"{count} of {total:,} events up to {before}, {int(gaps[place])} days before the "
                f"next ({start})",
                str(start),
            ))  # fmt: skip
            break
    inner = gaps[first:last]
    longest = int(inner.max(initial=0)) - 1
    usual = float(np.quantile(inner, 0.99)) if len(inner) else 0.0
    if longest >= _limit("feed_gap", config) and longest >= _UNUSUAL * usual:
        longest_at = first + int(inner.argmax())
        start, end = (day_date(int(day)) for day in facts.days[longest_at : longest_at + 2])
        found.append(
            ("feed_gap", longest, f"{longest} days without any event from {start} to {end}", "")
        )
    return found


def _is_unusual(gaps: Array, place: int) -> bool:
    """Return True if a gap is far longer than those before it."""
    before = gaps[:place]
    return bool(gaps[place] >= _UNUSUAL * before.max(initial=1))


def _is_placeholder(customer: str) -> bool:
    """Whether an id is one of the usual ones without a person, or has such a word in it."""
    text = customer.strip().lower()
    return text in _PLACEHOLDERS or bool(_PLACEHOLDER_WORDS.search(text))


def _implausible_ids(facts: TallyFacts, config: Config) -> list[_Found]:
    total = int(facts.purchases.sum())
    if total < _FEWEST_EVENTS or len(facts.customers) < 3:
        return []
    ranked = np.argsort(-facts.purchases, kind="stable")
    usual = float(np.median(facts.purchases))
    found: list[_Found] = []
    for place in ranked[:20]:
        name, count = facts.customers[int(place)].as_py(), int(facts.purchases[place])
        share = count / total
        guard = ""
        if _is_placeholder(name) and count > 3 * usual:
            guard = "placeholder_id"
        elif place == ranked[0] and count > 2 * int(facts.purchases[ranked[1]]):
            guard = "heavy_id"
        if guard and share > _limit(guard, config):
            sentence = f"customer id {name[:40]!r} has {count:,} purchases, {share:.0%} of all"
            found.append((guard, count, sentence, name))
    return found


def _row_findings(report: ReadReport, config: Config) -> list[_Found]:
    """Find copies and implausible order ids by what was counted while reading a source."""
    facts: Mapping[str, int] = report.facts
    orders, lines = facts.get("orders", 0), facts.get("order_lines", 0)
    found: list[_Found] = []
    copies = facts.get("copied_rows", 0)
    # Single lines that repeat within orders are real: two of one product.
    if copies > _limit("copied_rows", config) * lines and copies > facts.get("repeated_lines", 0):
        found.append(
            ("copied_rows", copies, f"{copies:,} of {lines:,} rows are copies of others", "")
        )
    for name, what in (
        ("shared_orders", "belong to several customers"),
        ("restarted_orders", "have lines more than 180 days apart"),
    ):
        count = facts.get(name, 0)
        if count and count > _limit(name, config) * orders:
            found.append((name, count, f"{count:,} of {orders:,} order ids {what}", ""))
    signs = facts.get("negative_refunds", 0), facts.get("positive_refunds", 0)
    if config.refund_amounts == "either" and min(signs) > _limit("mixed_refunds", config) * sum(
        signs
    ):
        text = f"{signs[0]:,} refunds have a negative amount and {signs[1]:,} a positive one"
        found.append(("mixed_refunds", min(signs), text, ""))
    return [(name, count, f"{report.source}: {text}", value) for name, count, text, value in found]
