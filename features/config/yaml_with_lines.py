"""YAML that remembers its lines, so that an error can point at the very place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from features.config.yaml_loading import parse_yaml_nodes
from features.errors import UserError
from features.similar_names import did_you_mean

_Steps = tuple[str | int, ...]


@dataclass(frozen=True)
class Spot:
    """A value in a YAML file and where it stands.

    Attributes
    ----------
    value
        What stands there.
    file
        Name of the file, or of the config key of an inline mapping.
    steps
        Keys and positions that lead to it.
    lines
        Line of every place in the file, from 1; empty where it was not read from a file.
    """

    value: Any
    file: str
    steps: _Steps = ()
    lines: Mapping[_Steps, int] = field(default_factory=dict)

    def at(self, key: str | int) -> Spot:
        """What stands under a key or position; None where nothing does."""
        exists = isinstance(self.value, dict) and key in self.value
        exists |= isinstance(self.value, list) and isinstance(key, int)
        value = self.value[key] if exists else None
        return Spot(value, self.file, (*self.steps, key), self.lines)

    def each(self) -> list[Spot]:
        """The entries of a list."""
        return [self.at(i) for i in range(len(self.value))]

    @property
    def where(self) -> str:
        """File, line and keys, for a message."""
        steps, line = self.steps, None
        while line is None:
            line = self.lines.get(steps)
            if not steps:
                break
            steps = steps[:-1]
        path = "".join(
            f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.steps
        ).lstrip(".")
        file_place = self.file if line is None else f"{self.file}, line {line}"
        return f"{file_place}: {path}" if path else file_place

    def refuse(self, *, found: object, expected: str, hint: str = "") -> NoReturn:
        """Raise the error that this place must be fixed."""
        raise UserError(self.where, found=found, expected=expected, hint=hint)

    def only(self, allowed: set[str]) -> dict[str, Any]:
        """The mapping that stands here; an error for anything else and for unknown keys."""
        if not isinstance(self.value, dict):
            self.refuse(found=repr(self.value), expected="a mapping")
        for key in self.value:
            if key not in allowed:
                self.at(key).refuse(
                    found=f"unknown key {key!r}",
                    expected=f"only: {', '.join(sorted(allowed))}",
                    hint=did_you_mean(key, sorted(allowed)),
                )
        return self.value

    def texts(self) -> tuple[str, ...]:
        """The list of texts that stands here; nothing is an empty list."""
        value = [] if self.value is None else self.value
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            self.refuse(found=repr(value), expected="a list of texts")
        return tuple(value)


def read(path: Path) -> Spot:
    """A YAML file as a spot (errors as `features.config.yaml_loading.parse_yaml`)."""
    content, node = parse_yaml_nodes(path)
    lines: dict[_Steps, int] = {}
    _walk(node, (), lines)
    return Spot(content, path.name, (), lines)


def _walk(node: yaml.Node | None, steps: _Steps, lines: dict[_Steps, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            child_steps = (*steps, str(key.value))
            lines[child_steps] = key.start_mark.line + 1
            _walk(child, child_steps, lines)
    elif isinstance(node, yaml.SequenceNode):
        for position, child in enumerate(node.value):
            lines[*steps, position] = child.start_mark.line + 1
            _walk(child, (*steps, position), lines)
