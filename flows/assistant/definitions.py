"""Definitions for assistants: rules of stages, metrics, columns, model cards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from features.config.config import Config
from features.contracts import SCORED_ROW
from features.lifecycle.rule_language import VALUED, All, AnyOf, Compare, Not, Rule
from features.lifecycle.taxonomy import Stage
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.metrics.metric_catalog import METRICS
from flows.services.workspace import Workspace
from models.registry.version import CHAMPION, SCORER


def stage_rules(config: Config) -> dict[str, Any]:
    """Return the rules of the taxonomy, stage by stage in the order in which they are tried.

    Returns
    -------
    dict
        taxonomy, description, parameters, pick (how a stage is chosen where several rules hold)
        and stages: a list of stage, description, rule (lines, indented by depth), silent (the role
        that must stay away) and sub_stages.
    """
    taxonomy = load_taxonomy(config)
    return {
        "taxonomy": taxonomy.name,
        "description": taxonomy.description,
        "parameters": dict(taxonomy.parameters),
        "pick": "the first stage whose rule holds"
        if taxonomy.pick == "first"
        else "of all stages whose rule holds, the one furthest in the life cycle",
        "stages": [
            _stage(taxonomy.stages[number], config.minor_units) for number in taxonomy.order
        ],
    }


def _stage(stage: Stage, minor_units: int) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "description": stage.description,
        "rule": _lines(stage.rule, minor_units),
        "entered_by_silence_of": stage.silent,
        "sub_stages": {sub.name: _lines(sub.rule, minor_units) for sub in stage.sub_stages},
    }


def _lines(rule: Rule | None, minor_units: int) -> list[str]:
    if rule is None:
        return ["no rule of another stage holds"]
    return [f"{'  ' * depth}{text}" for depth, text in _steps(rule, 0, minor_units)]


def _steps(rule: Rule, depth: int, minor_units: int) -> Iterator[tuple[int, str]]:
    """Lines of a rule, as `stagecast stages explain` shows them, without a customer's values."""
    if isinstance(rule, All | AnyOf):
        yield depth, "all of" if isinstance(rule, All) else "any of"
        for part in rule.parts:
            yield from _steps(part, depth + 1, minor_units)
    elif isinstance(rule, Not):
        yield depth, "not"
        yield from _steps(rule.part, depth + 1, minor_units)
    elif isinstance(rule, Compare):
        scale = 10.0**minor_units if rule.measure.kind in VALUED else 1.0
        yield depth, f"{rule.measure} {rule.sign} {rule.constant / scale:g}"
    else:
        yield depth, str(rule)


def meanings() -> dict[str, dict[str, str]]:
    """Return what metrics and columns of scored rows mean, by name."""
    metrics = {
        metric.key: {"kind": "metric", "unit": metric.unit, "meaning": metric.meaning}
        for metric in METRICS
    }
    columns = {
        column.name: {"kind": "score", "type": column.dtype, "meaning": column.meaning}
        | ({"null": column.null} if column.null else {})
        for column in SCORED_ROW
    }
    return columns | metrics


def model_cards(output: Path) -> dict[str, str]:
    """Return the cards of the champion and of its parts (Markdown), by name of the model.

    Raises
    ------
    UserError
        If the registry does not answer.
    """
    space = Workspace(output)
    versions = [v for v in space.registered_versions(SCORER) if CHAMPION in v.aliases]
    if not versions:
        return {}
    (champion,) = versions
    cards = {"scorer": champion.description}
    for tag, number in champion.tags.items():
        if tag.startswith("part."):
            part = tag.removeprefix("part.")
            for version in space.registered_versions(f"stagecast-{part}"):
                if str(version.version) == number:
                    cards[part] = version.description
    return cards
