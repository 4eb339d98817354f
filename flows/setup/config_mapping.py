"""The mapping of a config for proposed sources: roles, sources, and how they are read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from features.config.sources import Location
from features.contracts import LEFT_OUT
from features.errors import UserError
from flows.setup.column_synonyms import snake_case
from flows.setup.source_draft import SourceProposal

BY_PURCHASES, BY_ENGAGEMENT = "stages/recency_frequency.yaml", "stages/omnisend.yaml"
_SHOWN = 6  # columns named in an error
_ENGAGED = ("touch", "intent", "lead")
# Names of tables whose rows are visits in person: where nothing is bought, they are what repeats.
_VISITS = re.compile(
    r"(^|_)(check_?ins?|visits?|attendances?|appointments?|bookings?|classes|lessons|entries"
    r"|admissions?|trips|rides|stays|treatments?|besuche|visites|visitas)(_|$)"
)
_ONLINE = re.compile(r"(^|_)(page|url|path|referr?er|utm|browser|session|user_agent|screen)(_|$)")


def config_mapping(
    sources: tuple[SourceProposal, ...], path: Path, timezone: str, name: str
) -> dict[str, Any]:
    """A config as a mapping, without horizons and campaigns.

    Parameters
    ----------
    sources
        What the tables hold; those without amounts get a note.
    path
        Of the YAML: locations are relative to it.
    timezone, name
        Of the data set.

    Raises
    ------
    UserError
        Where nothing is a purchase.
    """
    _count_visits_as_purchases(sources)
    roles, ignored = _roles(sources)
    if "purchase" not in roles:
        raise _no_purchases(sources, roles)
    currency = next((s.currency for s in sources if s.currency), "")
    decimals = max(s.decimals for s in sources)
    mapping: dict[str, Any] = {"name": name, "timezone": timezone}
    if currency:
        mapping["currency"] = currency
    if decimals > 2:
        mapping["minor_units"] = decimals
    _count_orders_without_amounts(sources)
    mapping["sources"] = [_source(source, path) for source in sources]
    if any(types != [role] for role, types in roles.items()):
        mapping["roles"] = roles
    if ignored:
        mapping["ignored_event_types"] = ignored
    mapping |= {"refunds": "net", "quarantine": {"max_share": 1.0}}
    engaged = bool(set(roles) & set(_ENGAGED))
    mapping["stages"] = {"file": BY_ENGAGEMENT if engaged else BY_PURCHASES}
    return mapping


def _no_purchases(sources: Sequence[SourceProposal], roles: Mapping[str, list[str]]) -> UserError:
    """What to name, where nothing is a purchase: an amount, or a word that says what counts."""
    numbers = [
        column.name
        for source in sources
        for column in source.table.columns.values()
        if column.kind == "number" and "value" not in source.columns
    ]
    shown = ", ".join(map(repr, numbers[:_SHOWN])) + (", ..." if len(numbers) > _SHOWN else "")
    words = ", ".join(sorted(roles)) or "no known word"
    unnamed = f"; numbers in columns with other names than amounts have: {shown}" if shown else ""
    return UserError(
        "DATA",
        found=f"no purchases ({words}){unnamed}",
        expected="a column of amounts or order numbers, or words that say which rows are orders",
        hint="if one of these is the amount of an order: --column value=COLUMN; if a column says "
        "what happened: --column event_type=COLUMN; if orders are in another file: bring it, too",
    )


def _count_visits_as_purchases(sources: tuple[SourceProposal, ...]) -> None:
    """Where no table has purchases, visits in person are what customers do again."""
    if "purchase" in _roles(sources)[0]:
        return
    for source in sources:
        stem = snake_case(source.table.name.rsplit(".", 1)[0])
        online = any(_ONLINE.search(snake_case(column)) for column in source.table.columns)
        if source.event_type == "touch" and _VISITS.search(stem) and not online:
            source.event_type = "purchase"
            source.notes["event_type"] = (
                "CHECK: there are no orders, so every visit counts as a purchase: churn is no "
                "visit within the horizon. Bring the payments, if there are any."
            )


def _count_orders_without_amounts(sources: tuple[SourceProposal, ...]) -> None:
    """Where no table has amounts, every order counts as 1."""
    if any("value" in source.columns for source in sources):
        return
    for source in sources:
        if source.event_type == "purchase":
            source.value_of_each = 1.0
            source.notes["value_of_each"] = (
                "CHECK: there are no amounts, so every row counts as 1: lifetime value is expected "
                "orders. With amounts: --column value=COLUMN."
            )


def _roles(sources: tuple[SourceProposal, ...]) -> tuple[dict[str, list[str]], list[str]]:
    """Roles of all sources' event types, and types without a role."""
    roles: dict[str, set[str]] = {}
    ignored: set[str] = set()
    for source in sources:
        ignored |= set(source.ignored)
        types = (
            [source.event_type]
            if isinstance(source.event_type, str)
            else source.event_type.get("words", {}).values()
        )
        for event_type in set(types) - {LEFT_OUT}:
            roles.setdefault(event_type, set()).add(event_type)
        for role, types in source.roles.items():
            roles.setdefault(role, set()).update(types)
    mapped = set().union(*roles.values()) if roles else set()
    return {role: sorted(types) for role, types in sorted(roles.items())}, sorted(ignored - mapped)


def _source(source: SourceProposal, path: Path) -> dict[str, Any]:
    draft_content: dict[str, Any] = {
        "events": _shown(source.table.location, path),
        "columns": source.columns,
        "event_type": source.event_type,
    }
    if source.event_id is not None:
        draft_content["event_id"] = source.event_id
    if source.value_scale != 1:
        draft_content["value_scale"] = source.value_scale
    for key in ("only", "value_of_each", "fill_within_order", "fill_from"):
        if getattr(source, key):
            draft_content[key] = getattr(source, key)
    if source.lookups:
        draft_content["lookups"] = [
            {"table": _shown(lookup.table.location, path), **lookup.settings(source.table.form)}
            for lookup in source.lookups
        ]
    form = source.table.form.model_dump(exclude_defaults=True)
    return {**draft_content, "csv": form} if form else draft_content


def _shown(location: Location, path: Path) -> Any:
    """A location as the YAML names it: relative where the data lie in its folder or below."""
    if isinstance(location, tuple):
        return [_shown(each, path) for each in location]
    if not isinstance(location, str):
        return location.model_dump()
    beside = os.path.relpath(location, path.parent)
    return location if beside.startswith("..") else Path(beside).as_posix()
