"""What differs between a config and the copy that an output folder keeps of the last one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from features.config.config import Config
from features.config.secret_values import hidden

_MOST = 5  # changes that a message shows; it counts the rest
_LONGEST = 40  # characters of a value
_MARK = "# made from "


def config_changes(before: Config, after: Config) -> str:
    """Changed keys with old and new values, in words; empty if the configs are equal."""
    old, new = (_flat(config.model_dump(mode="json", by_alias=True)) for config in (before, after))
    keys = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
    shown = [f"{key} {_text(old.get(key))} -> {_text(new.get(key))}" for key in keys[:_MOST]]
    if len(keys) > _MOST:
        shown.append(f"{len(keys) - _MOST} more")
    return hidden(", ".join(shown))


def origin_line(source: Path) -> str:
    """First line of a folder's config: the file that it was made from, and a hash of it."""
    return f"{_MARK}{source}, sha256 {_digest(source)}\n"


def changed_origin(config_file: Path) -> Path | None:
    """The file that a folder's config was made from, if it has changed since; else None."""
    if not config_file.is_file():
        return None
    with config_file.open(encoding="utf-8") as file:
        first = file.readline().rstrip("\n")
    source, separator, digest = first.removeprefix(_MARK).rpartition(", sha256 ")
    if not first.startswith(_MARK) or not separator or not Path(source).is_file():
        return None
    return Path(source) if _digest(Path(source)) != digest else None


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Values by path; lists of mappings by number, other lists whole."""
    if isinstance(content, Mapping):
        pairs = list(content.items())
    elif isinstance(content, Sequence) and any(isinstance(each, Mapping) for each in content):
        pairs = list(enumerate(content))
    else:
        return {prefix: content}
    flat: dict[str, Any] = {}
    for key, value in pairs:
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _text(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
