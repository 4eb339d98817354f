"""Rules on customers' pasts that campaigns and the contact policy name, read and checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from features.config.config import Config
from features.config.yaml_with_lines import Spot
from features.errors import Problems
from features.lifecycle.rule_language import Rule
from features.lifecycle.rule_parser import Vocabulary, read_rule
from features.lifecycle.taxonomy_parser import load_taxonomy

MEDIAN_GAP = "median_gap"
FOREVER = 3650.0


def read_rules(
    rules: Mapping[str, Mapping[str, Any]],
    config: Config,
    *,
    types: Collection[str] = (),
    parameters: Mapping[str, float] | None = None,
) -> dict[str, Rule]:
    """Rules on the past that campaigns and the contact policy ask for.

    Parameters
    ----------
    rules
        Name -> rule in the form of stage rules.
    config
        The data set.
    types
        Event types of the data, beside those that the config maps to roles.
    parameters
        Values that rules may refer to; None: the names alone are checked.

    Raises
    ------
    UserError
        Naming every rule that cannot be read.
    """
    if parameters is None:
        parameters = {**load_taxonomy(config).parameters, MEDIAN_GAP: FOREVER}
    mapped = {name for role in config.role_types().values() for name in role}
    vocabulary = Vocabulary(
        values=parameters,
        scale=10**config.minor_units,
        event_types={*types, *mapped},
        attributes={*config.attributes(), "channel"} - set(config.sensitive),
    )
    problems, parsed_rules = Problems(), {}
    for name, node in rules.items():
        with problems.collect():
            parsed_rules[name] = read_rule(Spot(node, name), vocabulary)
    problems.refuse()
    return parsed_rules
