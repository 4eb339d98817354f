"""YAML files as mappings: found, read, and overridden."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from features.config.secret_values import refuse_plain_secrets
from features.errors import UserError
from features.plugins import plugin_file, refuse_taken

_NAME = re.compile(r"'(?!tag:yaml\.org,2002:python/)[^']*'")
_MARKED = re.compile("alias|anchor|tag|constructor")
# What the YAML package raises beside its own errors: for texts that look like a date, a number or
# bytes and are none (0000-00-00, !!int x, !!binary é), and for what is not UTF-8.
_NO_VALUE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
_MAX_CHARACTERS = 1_000_000  # signs of a config file
_MAX_ALIASES = _MAX_DEPTH = 50  # depth: lists and mappings within each other
_MAX_DIGITS = 40  # of one number; longer ones cannot be converted, or only to infinity
_OPENING = (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken,
           yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken)  # fmt: skip
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


class _Bomb(Exception):
    """A small text that would grow without end: what was found, expected, and a hint."""


class _OnceEach(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: one of its values would be lost.

    Tokens are counted as they are read, before anything is built of them: aliases of aliases
    multiply, and depth costs its square.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.open_collections = self.aliases = 0

    def get_token(self) -> Any:
        """Next token, unless the text holds too many aliases or levels by now."""
        token = super().get_token()  # type: ignore[no-untyped-call]
        if isinstance(token, _OPENING):
            self.open_collections += 1
            if self.open_collections > _MAX_DEPTH:
                raise _Bomb(
                    f"lists or mappings more than {_MAX_DEPTH} deep within each other",
                    "a config",
                    "look for a bracket or an indentation that is never closed",
                )
        elif isinstance(token, _CLOSING):
            self.open_collections -= 1
        elif isinstance(token, yaml.AliasToken):
            self.aliases += 1
            if self.aliases > _MAX_ALIASES:
                raise _Bomb(
                    f"more than {_MAX_ALIASES} aliases (*name)",
                    "a config that says most things once",
                    "write repeated parts out",
                )
        return token


def _unique_keys(loader: _OnceEach, node: yaml.MappingNode) -> dict[Any, Any]:
    seen_keys = set()
    # A merge key (`<<`) brings the keys of another mapping, which those here replace.
    own_keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    for key in (loader.construct_object(key, deep=True) for key in own_keys):
        if not isinstance(key, Hashable):
            continue  # refused below, with its line
        is_repeated = key in seen_keys
        seen_keys.add(key)
        if is_repeated:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} twice", node.start_mark
            )
    return loader.construct_mapping(node, deep=True)


def _number(kind: str) -> Callable[[_OnceEach, yaml.ScalarNode], Any]:
    """Constructor of numbers of a kind that refuses what has too many digits to be meant."""
    plain_constructor = getattr(yaml.SafeLoader, f"construct_yaml_{kind}")

    def construct(loader: _OnceEach, node: yaml.ScalarNode) -> Any:
        if len(node.value) > _MAX_DIGITS:
            refusal = f"a number of {len(node.value):,} digits, while {_MAX_DIGITS} are allowed"
            raise yaml.constructor.ConstructorError(None, None, refusal, node.start_mark)
        try:
            return plain_constructor(loader, node)
        except ValueError as error:
            refusal = f"{node.value!r}, which is no number or date"
            raise yaml.constructor.ConstructorError(None, None, refusal, node.start_mark) from error

    return construct


_OnceEach.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_keys)
for _kind in ("int", "float", "timestamp"):
    _OnceEach.add_constructor(f"tag:yaml.org,2002:{_kind}", _number(_kind))


def find(name: str, *, beside: Path | None = None) -> Path:
    """Path of a config file: as given, beside another file, or among those that ship with us.

    An export ``exports/NAME.yaml`` may be a plug-in's as well.

    Raises
    ------
    UserError
        Where no such file exists.
    """
    shipped = Path(__file__).resolve().parents[2]
    plain_path = Path(name)
    candidates = [plain_path, shipped / name, shipped / "configs" / name]
    if beside is not None:
        candidates.insert(0, beside.parent / name)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if plain_path.parent == Path("exports"):
        shipped_names = {path.stem for path in (shipped / "configs" / "exports").glob("*.yaml")}
        for plugin in refuse_taken("exports", shipped_names):
            if plain_path.name == f"{plugin.name}.yaml":
                return plugin_file(plugin)
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
    return parse_yaml_nodes(path)[0]


def parse_yaml_nodes(path: Path) -> tuple[dict[str, Any], yaml.Node | None]:
    """Mapping in a YAML file, and its nodes (errors as `parse_yaml`)."""
    try:
        content, node = _parsed(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UserError(
            str(path), found=str(error.strerror), expected="a readable YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            str(path), found=_complaint(error), expected="a YAML file in UTF-8"
        ) from None
    if not isinstance(content, dict):
        description = "an empty file" if content is None else type(content).__name__
        raise UserError(str(path), found=description, expected="a mapping of keys")
    refuse_plain_secrets(content, str(path))
    return content, node


def parse_text(text: str, where: str) -> Any:
    """Value of a YAML text, as every config, playbook and override is read.

    Raises
    ------
    UserError
        Where it is not YAML, holds a key twice, a number of too many digits, or is nested too deep.
    """
    return _parsed(text, where)[0]


def _parsed(text: str, where: str) -> tuple[Any, yaml.Node | None]:
    """Value of a YAML text, which the caller may change, and its nodes."""
    content, node = _parsed_once(text, where)
    return copy.deepcopy(content), node


@lru_cache(maxsize=64)  # a command asks for its config and playbooks again and again
def _parsed_once(text: str, where: str) -> tuple[Any, yaml.Node | None]:
    if len(text) > _MAX_CHARACTERS:
        raise UserError(
            where, found=f"{len(text):,} signs", expected=f"a config of at most {_MAX_CHARACTERS:,}"
        )
    try:
        loader = _OnceEach(text)
        node = loader.get_single_node()
        return None if node is None else loader.construct_document(node), node
    except _Bomb as bomb:
        content, expected, hint = bomb.args
        raise UserError(where, found=content, expected=expected, hint=hint) from None
    except (yaml.YAMLError, *_NO_VALUE) as error:
        raise UserError(where, found=_complaint(error), expected="YAML in UTF-8") from None


def _complaint(error: Exception) -> str:
    """What the YAML package complains of, and where, without the text: it may hold a password."""
    if isinstance(error, yaml.MarkedYAMLError):
        message_parts = [str(part) for part in (error.context, error.problem) if part]
        mark = error.problem_mark or error.context_mark
        # Names of aliases, anchors and tags are what stands behind a sign * & or !, which a
        # password may begin with.
        safe_parts = [
            _NAME.sub("", part) if _MARKED.search(part) else part for part in message_parts
        ]
        position = [] if mark is None else [f"line {mark.line + 1}, column {mark.column + 1}"]
        return " ".join(", ".join([*safe_parts, *position]).split())
    if isinstance(error, yaml.YAMLError | UnicodeDecodeError):
        # The rest of the message repeats signs of the file.
        first_line = str(error).split(" in position")[0].splitlines()[0]
        return f"{type(error).__name__}: {first_line}"[:200]
    return f"a value that is not what it looks like ({type(error).__name__})"


class _AsItIs(yaml.SafeDumper):
    """Writes texts so that they are read back: line ends of Unicode would come back as blanks."""


def _text_as_it_is(dumper: _AsItIs, text: str) -> yaml.ScalarNode:
    quote_style = '"' if any(sign in text for sign in "\x85\u2028\u2029\ufeff") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=quote_style)


_AsItIs.add_representer(str, _text_as_it_is)


def yaml_text(content: Mapping[str, Any]) -> str:
    """A mapping as YAML, its keys in their order, that reads back to the same mapping."""
    return yaml.dump(dict(content), Dumper=_AsItIs, sort_keys=False, allow_unicode=True)


def override(content: dict[str, Any], setting: str) -> dict[str, Any]:
    """Copy of a mapping with one ``dotted.key=value`` replaced; the value is read as YAML.

    A number steps into a list: ``sources.0.events=orders.csv``.

    Raises
    ------
    UserError
        Where there is no ``=``, the value is not YAML, or a list is not that long.
    """
    key, sign, text = setting.partition("=")
    setting_place = f"--set {_short(key)}{sign}"  # not the value, which may be a secret
    if not sign or not key:
        raise UserError(
            setting_place, found="no `=`", expected="KEY=VALUE, e.g. churn.horizon_days=30"
        )
    key_parts = key.split(".")
    if len(key_parts) > _MAX_DEPTH:
        raise UserError(
            setting_place,
            found=f"a key of {len(key_parts):,} parts",
            expected=f"at most {_MAX_DEPTH} names joined by dots",
        )
    changed = dict(_replaced(content, key_parts, parse_text(text, setting_place), setting_place))
    refuse_plain_secrets(changed, setting_place)
    return changed


def _short(key: str) -> str:
    """A key for a message, cut where it is long; an address may hold a login."""
    if "://" in key:
        return "an address"
    return key if len(key) <= 80 else f"{key[:77]}..."


def _replaced(level: Any, parts: list[str], value: Any, where: str) -> Any:
    if not parts:
        return value
    first_part, *other_parts = parts
    if isinstance(level, list):
        if not first_part.isdecimal() or int(first_part) >= len(level):
            raise UserError(
                where, found=f"no entry {first_part!r}", expected=f"a number below {len(level)}"
            )
        changed_list = list(level)
        changed_list[int(first_part)] = _replaced(level[int(first_part)], other_parts, value, where)
        return changed_list
    mapping = level if isinstance(level, dict) else {}
    return {**mapping, first_part: _replaced(mapping.get(first_part), other_parts, value, where)}
