"""YAML files as mappings: found, read, overridden, and their first problem as one message."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from features.errors import UserError

# What pydantic says -> what an owner of a YAML file understands.
WORDS = (
    ("Value error, ", ""),
    ("Input should be ", ""),
    ("a valid tuple", "a list"),
    ("Tuple should have", "a list of"),
    (" after validation", ""),
    ("a valid dictionary", "a mapping of keys"),
    ("a valid integer", "a whole number"),
    ("String should match pattern", "text that matches the pattern"),
    ("a valid ", "a "),
)
WHOLE = ("string_type", "dict_type", "model_type", "model_attributes_type", "tuple_type")


LARGEST = 1_000_000  # signs of a config file
MOST_ALIASES = 50
DEEPEST = 50  # lists and mappings within each other
OPENING = (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken,
           yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken)  # fmt: skip
CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


class _OnceEach(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: one of its values would be lost."""


def _once_each(loader: _OnceEach, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key in (loader.construct_object(key, deep=True) for key, _ in node.value):
        if not isinstance(key, Hashable):
            continue  # refused below, with its line
        known = key in seen
        seen.add(key)
        if known:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} twice", node.start_mark
            )
    return loader.construct_mapping(node, deep=True)


_OnceEach.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _once_each)


def find(name: str, *, beside: Path | None = None) -> Path:
    """Path of a config file: as given, beside another file, or among those that ship with us.

    Raises
    ------
    UserError
        Where no such file exists.
    """
    shipped = Path(__file__).resolve().parents[2]
    plain = Path(name)
    candidates = [plain, shipped / name, shipped / "configs" / name]
    if beside is not None:
        candidates.insert(0, beside.parent / name)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise UserError(
        name,
        found="no such file",
        expected=f"a file, looked for at {', '.join(str(c) for c in candidates)}",
        mend="check the path; relative paths start at the current folder or the config's folder",
    )


def parse_yaml(path: Path) -> dict[str, Any]:
    """Mapping in a YAML file.

    Raises
    ------
    UserError
        Where the file cannot be read, is not YAML, holds no mapping or a key twice; the line is
        named.
    """
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_bombs(text, path)
        content = yaml.load(text, _OnceEach)
    except OSError as error:
        raise UserError(
            str(path), found=str(error.strerror), expected="a readable YAML file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise UserError(str(path), found=said, expected="a YAML file in UTF-8") from error
    if not isinstance(content, dict):
        found = "an empty file" if content is None else type(content).__name__
        raise UserError(str(path), found=found, expected="a mapping of keys")
    return content


def _refuse_bombs(text: str, path: Path) -> None:
    """Stop before a small file grows: aliases of aliases multiply, depth costs its square."""
    if len(text) > LARGEST:
        raise UserError(
            str(path), found=f"{len(text):,} signs", expected=f"a config of at most {LARGEST:,}"
        )
    aliases = depth = 0
    for token in yaml.scan(text):
        depth += isinstance(token, OPENING) - isinstance(token, CLOSING)
        if depth > DEEPEST:
            raise UserError(
                str(path),
                found=f"lists or mappings more than {DEEPEST} deep within each other",
                expected="a config",
                mend="look for a bracket or an indentation that is never closed",
            )
        aliases += isinstance(token, yaml.AliasToken)
        if aliases > MOST_ALIASES:
            raise UserError(
                str(path),
                found=f"more than {MOST_ALIASES} aliases (*name)",
                expected="a config that says most things once",
                mend="write repeated parts out",
            )


def override(content: dict[str, Any], setting: str) -> dict[str, Any]:
    """Copy of a mapping with one ``dotted.key=value`` replaced; the value is read as YAML.

    A number steps into a list: ``sources.0.events=orders.csv``.

    Raises
    ------
    UserError
        Where there is no ``=``, the value is not YAML, or a list is not that long.
    """
    key, sign, text = setting.partition("=")
    if not sign or not key:
        raise UserError(
            f"--set {setting}", found="no `=`", expected="KEY=VALUE, e.g. churn.horizon_days=30"
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(
            f"--set {setting}", found=f"{text!r}", expected="a value that YAML can read"
        ) from error
    return dict(_replaced(content, key.split("."), value, f"--set {setting}"))


def _replaced(level: Any, parts: list[str], value: Any, where: str) -> Any:
    if not parts:
        return value
    part, *rest = parts
    if isinstance(level, list):
        if not part.isdigit() or int(part) >= len(level):
            raise UserError(
                where, found=f"no entry {part!r}", expected=f"a number below {len(level)}"
            )
        copy = list(level)
        copy[int(part)] = _replaced(level[int(part)], rest, value, where)
        return copy
    below = level if isinstance(level, dict) else {}
    return {**below, part: _replaced(below.get(part), rest, value, where)}


def problem(error: ValidationError, path: Path, content: Mapping[str, Any]) -> UserError:
    """First problem of a validation as one message: the key, what was found, what is allowed."""
    first = _telling(error, content)
    key = ".".join(_real(first["loc"], content, first["type"])) or "the file"
    kind, found = first["type"], first.get("input")
    if kind == "extra_forbidden":
        return UserError(
            f"{path}: {key}",
            found=f"an unknown key ({_shown(found)})",
            expected="only the documented keys",
            mend="check the spelling against docs/config.md, or remove the key",
        )
    if kind == "missing":
        return UserError(
            f"{path}: {key}", found="nothing", expected="this key", mend="add it to the file"
        )
    said = first["msg"].split(" or instance of ")[0]
    for word, plain in WORDS:
        said = said.replace(word, plain)
    if not first["loc"]:
        return UserError(str(path), found=said, expected="keys that agree with each other")
    return UserError(f"{path}: {key}", found=_shown(found), expected=said)


def _telling(error: ValidationError, content: Mapping[str, Any]) -> Any:
    """The error that helps most: of alternatives, that of the one which fits best."""
    errors = error.errors()
    first = errors[0]
    base = len(_real(first["loc"], content, first["type"]))
    if first["type"] not in WHOLE or not isinstance(first["input"], dict):
        return first
    branches: dict[Any, list[Any]] = {}
    for other in errors:
        if other["loc"][:base] == first["loc"][:base] and len(other["loc"]) > base + 1:
            branches.setdefault(other["loc"][base], []).append(other)
    return min(branches.values(), key=len)[0] if branches else first


def _real(loc: tuple[Any, ...], content: Any, kind: str) -> list[str]:
    """The parts of a location that stand in the file; names of alternatives do not."""
    found, level = [], content
    for number, part in enumerate(loc):
        inside = isinstance(level, dict) and part in level
        inside |= isinstance(level, list) and isinstance(part, int) and part < len(level)
        if inside:
            level = level[part]
        if inside or (kind == "missing" and number == len(loc) - 1):
            found.append(str(part))
    return found


def _shown(value: Any) -> str:
    """A value for a message: short, and never an address that may hold a password."""
    if isinstance(value, dict):
        return f"a mapping of {', '.join(map(str, value))}" if value else "an empty mapping"
    text = repr(value)
    return "an address" if "://" in text else text[:80]
