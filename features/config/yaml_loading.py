"""YAML files as mappings: found, read, overridden, and their first problem as one message."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from features.config.secret_values import refuse_plain_secrets
from features.errors import Problems, UserError

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
_NAME = re.compile(r"'(?!tag:yaml\.org,2002:python/)[^']*'")
_MARKED = re.compile("alias|anchor|tag|constructor")
WHOLE = ("string_type", "dict_type", "model_type", "model_attributes_type", "tuple_type")


# What the YAML package raises beside its own errors: for texts that look like a date, a number or
# bytes and are none (0000-00-00, !!int x, !!binary é), and for what is not UTF-8.
NO_VALUE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
LARGEST = 1_000_000  # signs of a config file
MOST_ALIASES = 50
DEEPEST = 50  # lists and mappings within each other
MOST_DIGITS = 40  # of one number; longer ones cannot be converted, or only to infinity
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


def _number(kind: str) -> Callable[[_OnceEach, yaml.ScalarNode], Any]:
    """Constructor of numbers of a kind that refuses what has too many digits to be meant."""
    plain = getattr(yaml.SafeLoader, f"construct_yaml_{kind}")

    def construct(loader: _OnceEach, node: yaml.ScalarNode) -> Any:
        if len(node.value) > MOST_DIGITS:
            said = f"a number of {len(node.value):,} digits, while {MOST_DIGITS} are allowed"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
        try:
            return plain(loader, node)
        except ValueError as error:
            said = f"{node.value!r}, which is no number or date"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark) from error

    return construct


_OnceEach.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _once_each)
for _kind in ("int", "float", "timestamp"):
    _OnceEach.add_constructor(f"tag:yaml.org,2002:{_kind}", _number(_kind))


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
        hint="check the path; relative paths start at the current folder or the config's folder",
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
        content = parse_text(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UserError(
            str(path), found=str(error.strerror), expected="a readable YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            str(path), found=_complaint(error), expected="a YAML file in UTF-8"
        ) from None
    if not isinstance(content, dict):
        found = "an empty file" if content is None else type(content).__name__
        raise UserError(str(path), found=found, expected="a mapping of keys")
    refuse_plain_secrets(content, str(path))
    return content


def parse_text(text: str, where: str) -> Any:
    """Value of a YAML text, as every config, playbook and override is read.

    Raises
    ------
    UserError
        Where it is not YAML, holds a key twice, a number of too many digits, or is nested too deep.
    """
    try:
        _refuse_bombs(text, where)
        return yaml.load(text, _OnceEach)
    except (yaml.YAMLError, *NO_VALUE) as error:
        raise UserError(where, found=_complaint(error), expected="YAML in UTF-8") from None


def _complaint(error: Exception) -> str:
    """What the YAML package complains of, and where, without the text: it may hold a password."""
    if isinstance(error, yaml.MarkedYAMLError):
        parts = [str(part) for part in (error.context, error.problem) if part]
        mark = error.problem_mark or error.context_mark
        # Names of aliases, anchors and tags are what stands behind a sign * & or !, which a
        # password may begin with.
        plain = [_NAME.sub("", part) if _MARKED.search(part) else part for part in parts]
        line = [] if mark is None else [f"line {mark.line + 1}, column {mark.column + 1}"]
        return " ".join(", ".join([*plain, *line]).split())
    if isinstance(error, yaml.YAMLError | UnicodeDecodeError):
        # The rest of the message repeats signs of the file.
        first_line = str(error).split(" in position")[0].splitlines()[0]
        return f"{type(error).__name__}: {first_line}"[:200]
    return f"a value that is not what it looks like ({type(error).__name__})"


class _AsItIs(yaml.SafeDumper):
    """Writes texts so that they are read back: line ends of Unicode would come back as blanks."""


def _text_as_it_is(dumper: _AsItIs, text: str) -> yaml.ScalarNode:
    style = '"' if any(sign in text for sign in "\x85\u2028\u2029\ufeff") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_AsItIs.add_representer(str, _text_as_it_is)


def yaml_text(content: Mapping[str, Any]) -> str:
    """A mapping as YAML, its keys in their order, that reads back to the same mapping."""
    return yaml.dump(dict(content), Dumper=_AsItIs, sort_keys=False, allow_unicode=True)


def _refuse_bombs(text: str, where: str) -> None:
    """Stop before a small file grows: aliases of aliases multiply, depth costs its square."""
    if len(text) > LARGEST:
        raise UserError(
            where, found=f"{len(text):,} signs", expected=f"a config of at most {LARGEST:,}"
        )
    aliases = depth = 0
    for token in yaml.scan(text):
        depth += isinstance(token, OPENING) - isinstance(token, CLOSING)
        if depth > DEEPEST:
            raise UserError(
                where,
                found=f"lists or mappings more than {DEEPEST} deep within each other",
                expected="a config",
                hint="look for a bracket or an indentation that is never closed",
            )
        aliases += isinstance(token, yaml.AliasToken)
        if aliases > MOST_ALIASES:
            raise UserError(
                where,
                found=f"more than {MOST_ALIASES} aliases (*name)",
                expected="a config that says most things once",
                hint="write repeated parts out",
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
    where = f"--set {_short(key)}{sign}"  # not the value, which may be a secret
    if not sign or not key:
        raise UserError(where, found="no `=`", expected="KEY=VALUE, e.g. churn.horizon_days=30")
    parts = key.split(".")
    if len(parts) > DEEPEST:
        raise UserError(
            where,
            found=f"a key of {len(parts):,} parts",
            expected=f"at most {DEEPEST} names joined by dots",
        )
    changed = dict(_replaced(content, parts, parse_text(text, where), where))
    refuse_plain_secrets(changed, where)
    return changed


def _short(key: str) -> str:
    """A key for a message, cut where it is long; an address may hold a login."""
    if "://" in key:
        return "an address"
    return key if len(key) <= 80 else f"{key[:77]}..."


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
    """All problems of a validation: each with its key, what was found, and what is allowed."""
    problems = Problems()
    for place in _by_place(error, content):
        for single in _described(place, path, content):
            problems.add(single)
    return problems.joined()


def faulty_keys(error: ValidationError, content: Mapping[str, Any]) -> list[list[str]]:
    """The place of every problem of a validation, as the keys that lead to it."""
    return [
        _real(place[0]["loc"], content, place[0]["type"]) for place in _by_place(error, content)
    ]


def _by_place(error: ValidationError, content: Mapping[str, Any]) -> list[list[Any]]:
    """The errors of a validation by their place; all alternatives of one value are one place."""
    places: list[tuple[list[str], list[Any]]] = []
    for single in error.errors():
        keys = _real(single["loc"], content, single["type"])
        for known, errors in places:
            first = errors[0]
            whole = first["type"] in WHOLE and isinstance(first["input"], dict)
            # A mapping that fits no alternative: what each of them misses stands below it.
            if keys == known or (whole and known and keys[: len(known)] == known):
                errors.append(single)
                break
        else:
            places.append((keys, [single]))
    # A list all of whose entries are refused counts as empty, which is no problem of its own.
    return [
        errors
        for keys, errors in places
        if errors[0]["type"] != "too_short"
        or not any(other[: len(keys)] == keys and other != keys for other, _ in places)
    ]


def _described(errors: list[Any], path: Path, content: Mapping[str, Any]) -> list[UserError]:
    """The errors of one place in the words of an owner of a YAML file."""
    first = _telling(errors, content)
    key = ".".join(_real(first["loc"], content, first["type"])) or "the file"
    kind, found = first["type"], first.get("input")
    if kind == "extra_forbidden":
        return [
            UserError(
                f"{path}: {key}",
                found="an unknown key",
                expected="only the documented keys",
                hint="check the spelling against docs/config.md, or remove the key",
            )
        ]
    if kind == "missing":
        return [
            UserError(
                f"{path}: {key}", found="nothing", expected="this key", hint="add it to the file"
            )
        ]
    said = first["msg"].split(" or instance of ")[0]
    for word, plain in WORDS:
        said = said.replace(word, plain)
    if not first["loc"]:
        # A model that checks how its keys agree reports one line for each disagreement.
        return [
            UserError(str(path), found=line, expected="keys that agree with each other")
            for line in said.splitlines()
        ]
    return [UserError(f"{path}: {key}", found=_shown(found), expected=said)]


def _telling(errors: list[Any], content: Mapping[str, Any]) -> Any:
    """The error that helps most: of alternatives, that of the one which fits best."""
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
    return "an address" if re.search(r"://|:.*@", text) else text[:80]
