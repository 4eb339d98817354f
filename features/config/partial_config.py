"""What can be read of a configuration that has mistakes, so that a check finds the others too."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError, create_model

from features.config.config import Config, StagesFile, content_of, resolve
from features.config.types import Strict
from features.config.validation_messages import faulty_keys, problem
from features.errors import Problems

# Stand in for required keys that are broken or missing; nothing that rests on them is checked.
_REQUIRED: dict[str, Any] = {
    "name": "unnamed",
    "sources": (),
    "stages": StagesFile(file="stages/recency_frequency.yaml"),
}


@dataclass(frozen=True)
class PartialConfig:
    """A configuration without its broken parts.

    Attributes
    ----------
    config
        The parts that are valid by themselves, with absolute file names.
    broken
        Top-level keys that are invalid as a whole or in part.
    problems
        What is wrong.
    """

    config: Config
    broken: frozenset[str]
    problems: Problems


def load_partly(path: Path, settings: tuple[str, ...] = ()) -> PartialConfig:
    """The valid parts of a YAML file, and all of its problems.

    Raises
    ------
    UserError
        Where the file is no YAML mapping, or an override cannot be applied.
    """
    content, problems = content_of(path, settings), Problems()
    broken: frozenset[str] = frozenset()
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        problems.add(problem(error, path, content, Config))
        places = faulty_keys(error, content)
        broken = frozenset(place[0] for place in places if place)
        config = _valid_parts(_without(content, places))
    return PartialConfig(resolve(config, path, problems), broken, problems)


def _without(content: dict[str, Any], places: list[list[str]]) -> dict[str, Any]:
    """A copy of the content without its broken parts: whole keys, or entries of a list."""
    valid_content = copy.deepcopy(content)
    entries: dict[str, set[int]] = {}
    for place in places:
        if not place:
            continue
        config_key, value = place[0], valid_content.get(place[0])
        if isinstance(value, list) and len(place) > 1:
            entries.setdefault(config_key, set()).add(int(place[1]))
        else:
            valid_content.pop(config_key, None)
    for config_key, positions in entries.items():
        if config_key in valid_content:
            valid_content[config_key] = [
                entry
                for position, entry in enumerate(valid_content[config_key])
                if position not in positions
            ]
    return valid_content


def _valid_parts(content: dict[str, Any]) -> Config:
    """A config of keys that are valid one by one, though they may disagree with each other."""
    fields: dict[str, Any] = {
        config_key: (field.annotation, field)
        for config_key, field in Config.model_fields.items()
        if config_key in content and not (config_key == "sources" and not content[config_key])
    }
    loose_model = create_model("Loose", __base__=Strict, **fields)
    validated = loose_model.model_validate(
        {config_key: content[config_key] for config_key in fields}
    )
    values = {config_key: getattr(validated, config_key) for config_key in fields}
    required = {
        config_key: value for config_key, value in _REQUIRED.items() if config_key not in values
    }
    return Config.model_construct(**{**values, **required})
