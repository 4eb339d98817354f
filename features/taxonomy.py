"""A taxonomy: ordered stages with declarative rules, read from YAML and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from features.config import Config, StagesFile
from features.contracts import ROLES
from features.errors import UserError
from features.settings import parse_yaml

MEASURES = ("days_since_last", "days_since_first", "count", "count_distinct_days", "sum", "mean")
# Compared in the currency's minor units, in which tallies hold values.
VALUED = ("sum", "mean")
WINDOWED = ("count", "count_distinct_days", "sum", "mean")
COMPARISONS = ("<", "<=", ">", ">=", "==")
STAGE_KEYS = {"name", "rank", "silent", "description", "when", "default"}
TAXONOMY_KEYS = {
    "name",
    "description",
    "params",
    "life_roles",
    "buying_stage",
    "pick",
    "stages",
}


@dataclass(frozen=True)
class Measure:
    """A number that a rule compares: what of which role, in which window (None: lifetime)."""

    kind: str
    role: str
    window: int | None = None


@dataclass(frozen=True)
class Compare:
    """A measure against a constant; false where the measure is missing."""

    measure: Measure
    sign: str
    constant: float


@dataclass(frozen=True)
class All:
    """Every part holds."""

    parts: tuple[Rule, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Rule, ...]


@dataclass(frozen=True)
class Not:
    """The part does not hold (after missing values have made comparisons false)."""

    part: Rule


Rule = Compare | All | AnyOf | Not


@dataclass(frozen=True)
class Stage:
    """One stage of a taxonomy.

    Attributes
    ----------
    name
        Its name, unique in the taxonomy.
    rank
        Height in the life cycle; a move to a lower rank is downward.
    rule
        Entry rule; None for the default.
    silent
        Role that makes silence mean this stage (``lapsed``: purchase); None for the others.
    description
        A sentence for people.
    """

    name: str
    rank: int
    rule: Rule | None
    silent: str | None
    description: str


@dataclass(frozen=True)
class Taxonomy:
    """Ordered stages; every customer has exactly one of them at every date.

    Attributes
    ----------
    name, description
        For people.
    stages
        In the order of the file.
    life_roles
        Roles whose events are a sign of life.
    buying_stage
        The stage that a first purchase leads to.
    pick
        ``first``: the first stage that matches; ``furthest``: the matching stage of highest rank.
    parameters
        Values of the parameters that the rules were filled in with.
    """

    name: str
    description: str
    stages: tuple[Stage, ...]
    life_roles: tuple[str, ...]
    buying_stage: str
    pick: Literal["first", "furthest"]
    parameters: Mapping[str, float]

    @property
    def names(self) -> list[str]:
        """Stage names by code."""
        return [stage.name for stage in self.stages]

    def code(self, name: str) -> int:
        """Position of a stage."""
        return self.names.index(name)

    @property
    def silent_codes(self) -> list[int]:
        """Codes of the stages that silence leads to."""
        return [i for i, stage in enumerate(self.stages) if stage.silent is not None]

    def windows(self) -> list[int]:
        """All finite windows of the rules, days; recency limits count as windows."""
        found: list[int] = []
        for stage in self.stages:
            if stage.rule is not None and stage.silent is None:
                found += [window_of(c) or 0 for c in comparisons(stage.rule)]
        return sorted({w for w in found if w > 0})

    def roles(self) -> set[str]:
        """Roles that any rule asks for."""
        rules = [s.rule for s in self.stages if s.rule is not None]
        return {c.measure.role for rule in rules for c in comparisons(rule)}


def comparisons(rule: Rule) -> list[Compare]:
    """All comparisons within a rule."""
    if isinstance(rule, Compare):
        return [rule]
    if isinstance(rule, Not):
        return comparisons(rule.part)
    return [c for part in rule.parts for c in comparisons(part)]


def window_of(compare: Compare) -> int | None:
    """Finite window of a comparison: its own, or the limit of ``days_since_last <= n``."""
    if compare.measure.window is not None:
        return compare.measure.window
    if compare.measure.kind == "days_since_last":
        return int(compare.constant)
    return None


def load_taxonomy(config: Config) -> Taxonomy:
    """The taxonomy a config names or holds, with the config's parameters filled in.

    Raises
    ------
    UserError
        For unknown keys, roles, measures or parameters, a missing default, a stage that can
        never be reached, and windows or constants that make no sense.
    """
    if isinstance(config.stages, StagesFile):
        path = Path(config.stages.file)
        content, params, where = parse_yaml(path), config.stages.params, path.name
    else:
        content, params, where = config.stages, {}, "stages"
    return parse_taxonomy(content, params, where=where, minor_units=config.minor_units)


def parse_taxonomy(
    content: dict[str, Any],
    params: dict[str, int | float],
    *,
    where: str,
    minor_units: int = 2,
) -> Taxonomy:
    """A taxonomy from its YAML mapping and parameter values (see `load_taxonomy`)."""
    _known_keys(content, TAXONOMY_KEYS, where)
    declared = content.get("params") or {}
    if not isinstance(declared, dict):
        raise UserError(f"{where}: params", found=repr(declared), expected="a mapping of numbers")
    values = {**declared, **params}
    unknown = sorted(set(params) - set(declared))
    if unknown:
        raise UserError(
            f"stages.params.{unknown[0]}",
            found="a parameter that the taxonomy does not use",
            expected=f"one of: {', '.join(declared) or 'none'}",
        )
    entries = content.get("stages")
    if not isinstance(entries, list) or len(entries) < 2:
        raise UserError(f"{where}: stages", found=repr(entries), expected="two or more stages")
    stages = tuple(
        _stage(e, values, f"{where}: stages[{i}]", 10**minor_units) for i, e in enumerate(entries)
    )
    _check_order(stages, where)
    life = content.get("life_roles", ["purchase"])
    if not isinstance(life, list) or not life:
        raise UserError(f"{where}: life_roles", found=repr(life), expected="a list of roles")
    for role in life:
        _known_role(role, f"{where}: life_roles")
    if "sent" in life:
        raise UserError(
            f"{where}: life_roles", found="sent", expected="roles of the customer's own doing"
        )
    buying = content.get("buying_stage", "")
    if buying not in [s.name for s in stages]:
        raise UserError(
            f"{where}: buying_stage",
            found=repr(buying),
            expected=f"one of: {', '.join(s.name for s in stages)}",
            mend="name the stage that a first purchase leads to",
        )
    pick = content.get("pick", "first")
    if pick not in ("first", "furthest"):
        raise UserError(f"{where}: pick", found=repr(pick), expected="first or furthest")
    return Taxonomy(
        name=str(content.get("name", "inline")),
        description=str(content.get("description", "")),
        stages=stages,
        life_roles=tuple(life),
        buying_stage=buying,
        pick=pick,
        parameters=values,
    )


def _known_keys(content: Any, allowed: set[str], where: str) -> None:
    if not isinstance(content, dict):
        raise UserError(where, found=repr(content), expected="a mapping")
    unknown = sorted(str(key) for key in content if key not in allowed)
    if unknown:
        raise UserError(
            where,
            found=f"unknown key {unknown[0]!r}",
            expected=f"only: {', '.join(sorted(allowed))}",
        )


def _known_role(role: Any, where: str) -> str:
    if role not in ROLES:
        raise UserError(where, found=f"unknown role {role!r}", expected=", ".join(ROLES))
    return str(role)


def _check_order(stages: tuple[Stage, ...], where: str) -> None:
    names = [stage.name for stage in stages]
    if len(set(names)) != len(names):
        raise UserError(f"{where}: stages", found="a stage name twice", expected="unique names")
    defaults = [stage.name for stage in stages if stage.rule is None]
    if len(defaults) != 1:
        raise UserError(
            f"{where}: stages",
            found=f"{len(defaults)} default stages",
            expected="exactly one stage with `default: true`",
            mend="every customer needs a stage when no rule matches",
        )
    if stages[-1].rule is not None:
        after = names[names.index(defaults[0]) + 1]
        raise UserError(
            f"{where}: stages: {after}",
            found="a stage that can never be reached: it stands after the default",
            expected="the default as the last stage",
        )


def _stage(entry: Any, values: dict[str, Any], where: str, scale: int) -> Stage:
    _known_keys(entry, STAGE_KEYS, where)
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise UserError(f"{where}: name", found=repr(name), expected="a name")
    where = f"{where} ({name})"
    default = entry.get("default") is True
    if default == ("when" in entry):
        raise UserError(where, found="both or neither of `when` and `default`", expected="one")
    rank = entry.get("rank", 0)
    if isinstance(rank, bool) or not isinstance(rank, int):
        raise UserError(f"{where}: rank", found=repr(rank), expected="a whole number")
    silent = entry.get("silent")
    if silent is True:
        silent = "purchase"
    if silent is not None:
        _known_role(silent, f"{where}: silent")
    return Stage(
        name=name,
        rank=rank,
        rule=None
        if default
        else _in_minor_units(_rule(entry["when"], values, f"{where}: when"), scale),
        silent=silent,
        description=str(entry.get("description", "")),
    )


def _rule(node: Any, values: dict[str, Any], where: str) -> Rule:
    if not isinstance(node, dict) or not node:
        raise UserError(where, found=repr(node), expected="a rule such as {count: purchase, ...}")
    for word, kind in (("all", All), ("any", AnyOf)):
        if word in node:
            _known_keys(node, {word}, where)
            if not isinstance(node[word], list) or not node[word]:
                raise UserError(f"{where}.{word}", found=repr(node[word]), expected="a list")
            parts = [_rule(p, values, f"{where}.{word}[{i}]") for i, p in enumerate(node[word])]
            return kind(tuple(parts))
    if "not" in node:
        _known_keys(node, {"not"}, where)
        return Not(_rule(node["not"], values, f"{where}.not"))
    return _comparison(node, values, where)


def _in_minor_units(rule: Rule, scale: int) -> Rule:
    """The rule with amounts as tallies hold them; whole minor units stay exactly whole."""
    if isinstance(rule, Not):
        return Not(_in_minor_units(rule.part, scale))
    if isinstance(rule, Compare):
        if rule.measure.kind not in VALUED:
            return rule
        return replace(rule, constant=round(rule.constant * scale, 6))
    return replace(rule, parts=tuple(_in_minor_units(part, scale) for part in rule.parts))


def _comparison(node: dict[str, Any], values: dict[str, Any], where: str) -> Rule:
    _known_keys(node, {*MEASURES, *COMPARISONS, "window"}, where)
    kinds = [key for key in node if key in MEASURES]
    signs = [key for key in node if key in COMPARISONS]
    if len(kinds) != 1 or not signs:
        raise UserError(
            where,
            found=repr(node),
            expected=f"one of {', '.join(MEASURES)} and a comparison ({', '.join(COMPARISONS)})",
        )
    kind, window = kinds[0], node.get("window")
    if window is not None:
        if kind not in WINDOWED:
            raise UserError(where, found=f"a window for {kind}", expected="no window there")
        days = _number(window, values, f"{where}.window")
        if days < 1 or days != int(days):
            raise UserError(f"{where}.window", found=days, expected="whole days, one or more")
        window = int(days)
    measure = Measure(kind, _known_role(node[kind], where), window)
    parts = [Compare(measure, s, _number(node[s], values, f"{where}.{s}")) for s in signs]
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _number(value: Any, values: dict[str, Any], where: str) -> float:
    found = values.get(value, value) if isinstance(value, str) else value
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise UserError(
            where,
            found=repr(value),
            expected=f"a number or a parameter: {', '.join(values) or 'none declared'}",
        )
    return float(found)
