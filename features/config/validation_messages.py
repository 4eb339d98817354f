"""What pydantic says of a config's content, in words of its owner."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from features.errors import Problems, UserError
from features.similar_names import did_you_mean

# What pydantic says -> what an owner of a YAML file understands.
_WORDS = (
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
_MOST_KEYS = 15  # more of them would hide the hint
_WHOLE = ("string_type", "dict_type", "model_type", "model_attributes_type", "tuple_type")


def problem(
    error: ValidationError, path: Path, content: Mapping[str, Any], model: type[BaseModel]
) -> UserError:
    """All problems of a validation: each with its key, what was found, and what is allowed.

    Parameters
    ----------
    error
        What pydantic raised.
    path, content
        The file and what it holds.
    model
        The model of the whole content, whose keys a misspelt one is compared with.
    """
    problems = Problems()
    for place in _by_place(error, content):
        for single in _described(place, path, content, model):
            problems.add(single)
    return problems.joined()


def in_plain_words(message: str) -> str:
    """What pydantic expects, in words of the owner of a YAML file."""
    allowed = message.split(" or instance of ")[0]
    for word, plain_words in _WORDS:
        allowed = allowed.replace(word, plain_words)
    return allowed


def allowed_keys(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Keys of the block at a location: fields by their names in the file.

    Parameters
    ----------
    model
        Model of the whole content.
    location
        Keys that lead to the block; positions and names of alternatives may stand among them.
    """
    blocks = [model]
    for part in location:
        chosen = [block for block in blocks if block.__name__ == part]
        fields = [
            field
            for block in blocks
            for key, field in block.model_fields.items()
            if part in (key, field.alias)
        ]
        if chosen:
            blocks = chosen
        elif fields:
            blocks = [inner for field in fields for inner in _blocks(field.annotation)]
    return list(
        dict.fromkeys(
            field.alias or key for block in blocks for key, field in block.model_fields.items()
        )
    )


def _blocks(annotation: Any) -> list[type[BaseModel]]:
    """Models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for part in getattr(annotation, "__args__", ()) for block in _blocks(part)]


def faulty_keys(error: ValidationError, content: Mapping[str, Any]) -> list[list[str]]:
    """The place of every problem of a validation, as the keys that lead to it."""
    return [
        _real_keys(place[0]["loc"], content, place[0]["type"])
        for place in _by_place(error, content)
    ]


def _by_place(error: ValidationError, content: Mapping[str, Any]) -> list[list[Any]]:
    """The errors of a validation by their place; all alternatives of one value are one place."""
    places: list[tuple[list[str], list[Any]]] = []
    for single in error.errors():
        key_path = _real_keys(single["loc"], content, single["type"])
        for known_place, errors in places:
            first_error = errors[0]
            is_whole = first_error["type"] in _WHOLE and isinstance(first_error["input"], dict)
            # A mapping that fits no alternative: what each of them misses stands below it.
            if key_path == known_place or (
                is_whole and known_place and key_path[: len(known_place)] == known_place
            ):
                errors.append(single)
                break
        else:
            places.append((key_path, [single]))
    # A list all of whose entries are refused counts as empty, which is no problem of its own.
    return [
        errors
        for key_path, errors in places
        if errors[0]["type"] != "too_short"
        or not any(other[: len(key_path)] == key_path and other != key_path for other, _ in places)
    ]


def _described(
    errors: list[Any], path: Path, content: Mapping[str, Any], model: type[BaseModel]
) -> list[UserError]:
    """The errors of one place in the words of an owner of a YAML file."""
    best_error = _best_error(errors, content)
    config_key = ".".join(_real_keys(best_error["loc"], content, best_error["type"])) or "the file"
    error_kind, actual = best_error["type"], best_error.get("input")
    if error_kind == "extra_forbidden":
        known_keys = allowed_keys(model, best_error["loc"][:-1])
        return [
            UserError(
                f"{path}: {config_key}",
                found="an unknown key",
                expected=f"one of {', '.join(known_keys)}"
                if len(known_keys) <= _MOST_KEYS
                else "only the documented keys",
                hint=did_you_mean(
                    best_error["loc"][-1],
                    known_keys,
                    otherwise="check the spelling against docs/config.md, or remove the key",
                ),
            )
        ]
    if error_kind == "missing":
        return [
            UserError(
                f"{path}: {config_key}",
                found="nothing",
                expected="this key",
                hint="add it to the file",
            )
        ]
    allowed = in_plain_words(best_error["msg"])
    if not best_error["loc"]:
        # A model that checks how its keys agree reports one line for each disagreement.
        return [
            UserError(str(path), found=line, expected="keys that agree with each other")
            for line in allowed.splitlines()
        ]
    return [UserError(f"{path}: {config_key}", found=_shown(actual), expected=allowed)]


def _best_error(errors: list[Any], content: Mapping[str, Any]) -> Any:
    """The error that helps most: of alternatives, that of the one which fits best."""
    first_error = errors[0]
    base_length = len(_real_keys(first_error["loc"], content, first_error["type"]))
    if first_error["type"] not in _WHOLE or not isinstance(first_error["input"], dict):
        return first_error
    branches: dict[Any, list[Any]] = {}
    for alternative in errors:
        if (
            alternative["loc"][:base_length] == first_error["loc"][:base_length]
            and len(alternative["loc"]) > base_length + 1
        ):
            branches.setdefault(alternative["loc"][base_length], []).append(alternative)
    return min(branches.values(), key=len)[0] if branches else first_error


def _real_keys(loc: tuple[Any, ...], content: Any, kind: str) -> list[str]:
    """The parts of a location that stand in the file; names of alternatives do not."""
    key_parts, level = [], content
    for number, part in enumerate(loc):
        inside = isinstance(level, dict) and part in level
        inside |= isinstance(level, list) and isinstance(part, int) and part < len(level)
        if inside:
            level = level[part]
        if inside or (kind == "missing" and number == len(loc) - 1):
            key_parts.append(str(part))
    return key_parts


def _shown(value: Any) -> str:
    """A value for a message: short, and never an address that may hold a password."""
    if isinstance(value, dict):
        return f"a mapping of {', '.join(map(str, value))}" if value else "an empty mapping"
    short_text = repr(value)
    return "an address" if re.search(r"://|:.*@", short_text) else short_text[:80]
