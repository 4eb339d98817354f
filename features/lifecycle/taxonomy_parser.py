"""A taxonomy: ordered stages with declarative rules, read from YAML and checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

from features.config.config import Config, StagesFile
from features.config.yaml_with_lines import Spot, read
from features.contracts import ROLES
from features.errors import Problems
from features.lifecycle.reachability import contradiction, covers
from features.lifecycle.rule_parser import Vocabulary, evaluate, read_rule
from features.lifecycle.taxonomy import Advice, Named, Stage
from features.lifecycle.taxonomy import Taxonomy as Taxonomy
from features.similar_names import did_you_mean

NAMED_KEYS = {"name", "description", "when", "default"}
STAGE_KEYS = NAMED_KEYS | {
    "rank", "silent", "sub_stages", "strategies", "channels", "metrics", "our_metrics",
}  # fmt: skip
TAXONOMY_KEYS = {
    "name", "description", "params", "presets", "life_roles", "buying_stage", "pick", "stages",
    "flags",
}  # fmt: skip


def load_taxonomy(config: Config) -> Taxonomy:
    """The taxonomy a config names or holds, with the config's parameters filled in.

    Raises
    ------
    UserError
        For unknown keys, roles, measures or parameters, a missing default, a stage that can
        never be reached, and windows or constants that make no sense; with the line and a hint.
    """
    stages = config.stages
    attributes = {*config.attributes(), "channel"} - set(config.sensitive)
    stages_file = stages if isinstance(stages, StagesFile) else StagesFile(file="")
    source = read(Path(stages_file.file)) if stages_file.file else Spot(stages, "stages")
    return parse(
        source,
        stages_file.params,
        preset=stages_file.preset,
        minor_units=config.minor_units,
        event_types={t for types in config.role_types().values() for t in types},
        attributes=attributes,
    )


def parse(
    source: Spot,
    params: Mapping[str, int | float],
    *,
    preset: str | None = None,
    minor_units: int = 2,
    event_types: Collection[str] = (),
    attributes: Collection[str] = (),
) -> Taxonomy:
    """A taxonomy from its spot, a preset's name and parameter values (see `load_taxonomy`)."""
    content = source.only(TAXONOMY_KEYS)
    vocabulary = Vocabulary(
        _parameters(source, params, preset), 10**minor_units, event_types, attributes
    )
    entries = source.at("stages")
    if not isinstance(entries.value, list) or len(entries.value) < 2:
        entries.refuse(found=repr(entries.value), expected="two or more stages")
    problems, read_stages = Problems(), []
    for entry in entries.each():
        with problems.collect():
            read_stages.append(_stage(entry, vocabulary))
    stages = tuple(read_stages)
    names = [stage.name for stage in stages]
    whole = not problems.errors  # what is said of all stages needs all of them
    if whole:
        with problems.collect():
            _check_order(names, stages, entries)
        whole = not problems.errors
    life_roles = content.get("life_roles", ["purchase"])
    with problems.collect():
        _check_life_roles(source.at("life_roles"), life_roles)
    buying_stage = content.get("buying_stage", "")
    if whole and buying_stage not in names:
        with problems.collect():
            source.at("buying_stage").refuse(
                found=repr(buying_stage),
                expected=f"one of: {', '.join(names)}",
                hint="name the stage that a first purchase leads to",
            )
    pick = content.get("pick", "first")
    if pick not in ("first", "furthest"):
        with problems.collect():
            source.at("pick").refuse(found=repr(pick), expected="first or furthest")
    flags: tuple[Named, ...] = ()
    if whole:
        with problems.collect():
            vocabulary = replace(vocabulary, stages=names)
            flags = _named(source.at("flags"), vocabulary, can_default=False)
    problems.refuse()
    taxonomy = Taxonomy(
        name=str(content.get("name", "inline")),
        description=str(content.get("description", "")),
        stages=stages,
        life_roles=tuple(life_roles),
        buying_stage=buying_stage,
        pick=cast(Literal["first", "furthest"], pick),
        parameters=vocabulary.values,
        flags=flags,
    )
    _check_reach(taxonomy, entries)
    return taxonomy


def _parameters(
    source: Spot, params: Mapping[str, int | float], preset: str | None
) -> dict[str, float]:
    """Values of the parameters: declared, then the preset's, then those given."""
    content = source.value
    for key in ("params", "presets"):
        if not isinstance(content.get(key) or {}, dict):
            source.at(key).refuse(found=repr(content[key]), expected="a mapping of numbers")
    places = {name: source.at("params").at(name) for name in content.get("params") or {}}
    declared = ", ".join(places) or "none"
    for name, values in (content.get("presets") or {}).items():
        preset_spot = source.at("presets").at(name)
        preset_spot.only(set(places))
        if name == preset:
            places |= {key: preset_spot.at(key) for key in values}
    if preset is not None and preset not in (content.get("presets") or {}):
        Spot(preset, "stages.preset").refuse(
            found=repr(preset),
            expected=f"one of: {', '.join(content.get('presets') or {}) or 'none'}",
        )
    for name, value in params.items():
        place = Spot(value, f"stages.params.{name}")
        if name not in places:
            place.refuse(
                found="a parameter that the taxonomy does not use",
                expected=f"one of: {declared}",
                hint=did_you_mean(name, places),
            )
        places[name] = place
    numeric_values = {k: p.value for k, p in places.items() if not isinstance(p.value, str)}
    return {name: evaluate(place, numeric_values) for name, place in places.items()}


def _known_role(spot: Spot) -> str:
    if spot.value not in ROLES:
        spot.refuse(
            found=f"unknown role {spot.value!r}",
            expected=", ".join(ROLES),
            hint=did_you_mean(spot.value, ROLES),
        )
    return str(spot.value)


def _check_life_roles(spot: Spot, roles: object) -> None:
    if not isinstance(roles, list) or not roles:
        spot.refuse(found=repr(roles), expected="a list of roles")
    for role in spot.each() if spot.value is not None else []:
        _known_role(role)
        if role.value == "sent":
            role.refuse(found="sent", expected="roles of the customer's own doing")


def _check_order(names: list[str], stages: tuple[Stage, ...], entries: Spot) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            entries.at(number).refuse(found=f"the stage {name!r} twice", expected="unique names")
    defaults = [i for i, stage in enumerate(stages) if stage.rule is None]
    if len(defaults) != 1:
        (entries.at(defaults[1]) if defaults else entries).refuse(
            found=f"{len(defaults)} default stages",
            expected="exactly one stage with `default: true`",
            hint="every customer needs a stage when no rule matches: end with {name: rest, "
            "default: true}",
        )
    if stages[-1].rule is not None:
        entries.at(defaults[0] + 1).refuse(
            found=f"{names[defaults[0] + 1]}, a stage that can never be reached: it stands after "
            "the default",
            expected="the default as the last stage",
            hint=f"move {names[defaults[0]]} to the end",
        )


def _check_reach(taxonomy: Taxonomy, entries: Spot) -> None:
    """Refuse contradictory rules, and stages that an earlier one always takes first."""
    earlier_stages: list[Stage] = []
    for code in taxonomy.order:
        stage, spot = taxonomy.stages[code], entries.at(code).at("when")
        if stage.rule is None:
            continue
        contradicting = contradiction(stage.rule)
        if contradicting is not None:
            spot.refuse(
                found=f"{stage.name}, whose rule can never hold: {contradicting}",
                expected="comparisons that can hold together",
                hint="correct the comparison or the window, or put the parts under `any`",
            )
        covering_stage = next(
            (e for e in earlier_stages if e.rule and covers(e.rule, stage.rule)), None
        )
        if covering_stage is not None:
            spot.refuse(
                found=f"{stage.name}, a stage that can never be reached: wherever its rule holds, "
                f"that of {covering_stage.name} holds before it",
                expected="the narrower rule first",
                hint=f"move {stage.name} above {covering_stage.name}, or narrow the rule of "
                f"{covering_stage.name}",
            )
        earlier_stages.append(stage)


def _stage(spot: Spot, words: Vocabulary) -> Stage:
    spot.only(STAGE_KEYS)
    named = _entry(spot, words, can_default=True)
    rank, silent = spot.value.get("rank", 0), spot.at("silent")
    if isinstance(rank, bool) or not isinstance(rank, int):
        spot.at("rank").refuse(found=repr(rank), expected="a whole number")
    silent_role = None
    if silent.value is not None and silent.value is not False:
        silent_role = "purchase" if silent.value is True else _known_role(silent)
    return Stage(
        name=named.name,
        rank=rank,
        rule=named.rule,
        silent=silent_role,
        description=named.description,
        sub_stages=_named(spot.at("sub_stages"), words, can_default=True),
        advice=Advice(
            *(spot.at(k).texts() for k in ("strategies", "channels", "metrics", "our_metrics"))
        ),
    )


def _named(spot: Spot, words: Vocabulary, *, can_default: bool) -> tuple[Named, ...]:
    """Sub-stages or flags."""
    if spot.value is None:
        return ()
    if not isinstance(spot.value, list):
        spot.refuse(found=repr(spot.value), expected="a list of names with rules")
    entries: list[Named] = []
    problems = Problems()
    for entry_spot in spot.each():
        with problems.collect():
            entry_spot.only(NAMED_KEYS)
            _entry(entry_spot, words, can_default=can_default)
    problems.refuse()
    for entry_spot in spot.each():
        named = _entry(entry_spot, words, can_default=can_default)
        if any(named.name == other.name for other in entries):
            entry_spot.refuse(found=f"{named.name!r} twice", expected="unique names")
        if entries and entries[-1].rule is None:
            entry_spot.refuse(
                found=f"{named.name}, which can never be reached: it stands after the default",
                expected="the default as the last one",
            )
        contradicting = contradiction(named.rule) if named.rule is not None else None
        if contradicting is not None:
            entry_spot.at("when").refuse(
                found=f"{named.name}, whose rule can never hold: {contradicting}",
                expected="comparisons that can hold together",
            )
        entries.append(named)
    return tuple(entries)


def _entry(spot: Spot, words: Vocabulary, *, can_default: bool) -> Named:
    name = spot.at("name")
    if not isinstance(name.value, str) or not name.value:
        name.refuse(found=repr(name.value), expected="a name")
    default = spot.value.get("default") is True
    if default == ("when" in spot.value) or (default and not can_default):
        spot.refuse(
            found=f"{name.value}: both or neither of `when` and `default`",
            expected="one of them" if can_default else "`when`: a flag has no default",
        )
    rule = None if default else read_rule(spot.at("when"), words)
    return Named(name.value, rule, str(spot.value.get("description", "")))
