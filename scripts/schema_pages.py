"""JSON schemas of configs and playbooks, for editors that complete and check YAML."""

import inspect
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from campaigns.playbook import Playbook
from features.config.config import Config

_HEAD = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
_KEYS = re.compile(r"^(\w[\w, ]*)$")  # the names above an indented text under "Attributes"


def schema(model: type[BaseModel], title: str) -> str:
    """Text of the schema of a model, with what the docstrings say of its keys."""
    content = model.model_json_schema()
    models = {each.__name__: each for each in _models(model)}
    for key, meaning in _meanings().items() if model is Config else ():
        if key in content["properties"]:
            content["properties"][key]["description"] = meaning
    for name, part in {model.__name__: content, **content.get("$defs", {})}.items():
        if name in models:
            _describe(part, models[name])
    text = json.dumps({**_HEAD, **content, "title": title}, indent=1, ensure_ascii=False) + "\n"
    return text.replace('"oneOf": [', '"anyOf": [')  # pydantic decides by what a block holds


def _meanings() -> dict[str, str]:
    """What docs/config.md says of the keys of a config, by its tables of key, default, meaning."""
    page = (Path(__file__).parents[1] / "docs" / "config.md").read_text(encoding="utf-8")
    meanings: dict[str, str] = {}
    for line in page.splitlines():
        match = re.match(r"\| ((?:`\w+`(?:, )?)+) \| .* \| (.+) \|$", line)
        for key in re.findall(r"\w+", match[1]) if match else ():
            meanings.setdefault(key, _plain(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match[2])))
    return meanings


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and all below it that pydantic knows by its fields."""
    waiting, seen = [model], set()
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        yield current
        waiting += [part for field in current.model_fields.values() for part in _of(field)]


def _of(field: Any) -> list[type[BaseModel]]:
    found, waiting = [], [field.annotation]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found.append(kind)
        waiting += list(getattr(kind, "__args__", ()))
    return found


def _describe(part: dict[str, Any], model: type[BaseModel]) -> None:
    """Put the docstring of a model into its schema: its first paragraph, and texts of keys."""
    text = inspect.cleandoc(model.__doc__ or "")
    summary, _, attributes = text.partition("Attributes\n----------\n")
    part["description"] = _plain(summary.split("\n\n")[0])
    keys: list[str] = []
    for line in attributes.splitlines():
        if not line.startswith(" "):
            match = _KEYS.match(line)
            keys = [key.strip() for key in match[1].split(",")] if match else []
            continue
        for key in keys:
            if key in part.get("properties", {}):
                known = part["properties"][key].get("description", "")
                part["properties"][key]["description"] = _plain(f"{known} {line.strip()}")


def _plain(text: str) -> str:
    return " ".join(text.replace("``", "").replace("`", "").split())


SCHEMAS = {
    "schemas/config.json": partial(schema, Config, "stagecast config"),
    "schemas/playbook.json": partial(schema, Playbook, "stagecast playbook"),
}
