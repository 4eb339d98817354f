"""What README and docs say of keys, files and commands is so."""

from __future__ import annotations

import re
import shlex
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from prefect.automations import Automation
from pydantic import BaseModel

from campaigns.export_schema import TargetMap
from campaigns.playbook import Playbook
from features.config.config import Config
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.sources.experiments import ExperimentFile
from flows.commands.cli import app
from flows.setup.presets import Preset

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIG_PAGE = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
# Keys are written as code: that a word like "first" stands somewhere tells of no key.
CONFIG_CODE = "\n".join(re.findall(r"```yaml\n.*?```|`[^`\n]+`", CONFIG_PAGE, re.S))
TOP_LEVEL_TABLE = CONFIG_PAGE.split("\n## ", 1)[0]
BASE = yaml.safe_load(
    """
name: shop
sources:
  - events: orders.csv
    columns: {customer_id: c, anonymous_id: a, occurred_at: {column: at, zone: UTC}, value: v,
      brand: brand}
    event_type: purchase
stages: {file: stages/recency_frequency.yaml}
"""
)

# Files of their own kinds, told by a key that no config has.
OTHERS = {
    "target": TargetMap,
    "treatment": ExperimentFile,
    "actions": Automation,
    "recognised_by": Preset,
    "rank_by": Playbook,
}


# Files that a reader is asked to write, and folders within the output folder.
FUTURE_NAMES = {"features/table/families/weekend.py", "features/snapshots/"}


def blocks(language: str) -> Iterator[Any]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, found in enumerate(re.findall(rf"```{language}\n(.*?)```", text, re.S)):
            yield pytest.param(found, id=f"{page.name}-{number}")


def parts(annotation: Any) -> Iterator[type[BaseModel]]:
    """Models within a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    origin = typing.get_origin(annotation)
    if origin is not None or isinstance(annotation, types.UnionType):
        for inner in typing.get_args(annotation):
            yield from parts(inner)


def models(model: type[BaseModel]) -> set[type[BaseModel]]:
    found = {model}
    for field in model.model_fields.values():
        for inner in parts(field.annotation):
            found |= models(inner)
    return found


def keys_of(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


ALL_KEYS = sorted({key for model in models(Config) for key in keys_of(model)})


@pytest.mark.parametrize("key", ALL_KEYS)
def test_every_key_of_every_block_is_told(key: str) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", CONFIG_CODE), key


def named_keys() -> list[str]:
    """Keys in the first column of the table of all keys."""
    rows = [line.split("|")[1] for line in TOP_LEVEL_TABLE.splitlines() if line.startswith("| `")]
    return [key for cell in rows for key in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("key", named_keys())
def test_no_key_is_told_that_does_not_exist(key: str) -> None:
    level = {Config}
    for word in key.split("."):
        fields = [m.model_fields[word] for m in level if word in m.model_fields]
        assert fields, f"{key}: no key {word!r}"
        level = {m for f in fields for m in parts(f.annotation)}


@pytest.mark.parametrize("text", list(blocks("yaml")))
def test_every_yaml_block_is_a_config_a_part_of_one_or_a_taxonomy(text: str) -> None:
    content = yaml.safe_load(text)
    if isinstance(content, list):
        content = {"sources": content}
    if isinstance(content, dict) and isinstance(content.get("stages"), list):
        # A taxonomy stands inline under `stages`.
        content = {"stages": content}
    for first, model in OTHERS.items():
        if first in content:
            model.model_validate(content)
            return
    config = Config.model_validate({**BASE, **content})
    if not isinstance(config.stages, dict):
        assert config.stages.file.startswith("stages/")
        return
    assert load_taxonomy(config).names


def commands() -> Iterator[Any]:
    """Every `stagecast ...` in blocks and in running text."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found = re.findall(r"`((?:uv run )?stagecast [a-z-][^`\n]*)`", text)
        for block in re.findall(r"```bash\n(.*?)```", text, re.S):
            found += re.findall(r"(stagecast [^\n#|;&]*)", block)
        for line in sorted(set(found)):
            yield pytest.param(line, id=f"{page.name}: {line}")


@pytest.mark.parametrize("line", list(commands()))
def test_every_command_and_option_that_is_told_exists(line: str) -> None:
    words = shlex.split(line.split("stagecast ", 1)[1])
    command: Any = typer.main.get_command(app)
    options = {name for p in command.params for name in p.opts}
    for word in words:
        below = getattr(command, "commands", {})
        plain = word.split("=")[0].strip("[],")
        if plain.startswith("-") and plain != "-":
            # Help is not among the parameters.
            assert plain in options | {"--help", "-h"}, f"{line}: no option {plain}"
        elif below and re.fullmatch(r"[a-z-]+(\|[a-z-]+)*", plain):
            for name in plain.split("|"):
                assert name in below, f"{line}: no command {name}"
            command = below[plain.split("|")[0]]
            options |= {name for p in command.params for name in p.opts}


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def code_names() -> Iterator[Any]:
    """Every module, function and path of ours that a page names in code."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        roots = "features|models|campaigns|flows|simulator"
        dotted = re.findall(rf"`((?:{roots})(?:\.\w+)+)", text)
        paths = re.findall(rf"`((?:{roots}|configs|benchmarks|scripts|tests)/[\w./]+)`", text)
        for name in sorted({*dotted, *paths} - FUTURE_NAMES):
            yield pytest.param(name, id=f"{page.name}: {name}")


@pytest.mark.parametrize("name", list(code_names()))
def test_every_module_and_function_that_a_page_names_exists(name: str) -> None:
    if "/" in name:
        assert (ROOT / name).exists(), name
        return
    parts = name.split(".")
    length = max(n for n in range(1, len(parts) + 1) if _is_module(parts[:n]))
    if members := parts[length:]:
        source = ROOT.joinpath(*parts[:length]).with_suffix(".py").read_text(encoding="utf-8")
        for member in members:
            assert re.search(rf"^ *(def|class) {member}\b|^{member}\b", source, re.M), name


def _is_module(parts: list[str]) -> bool:
    path = ROOT.joinpath(*parts)
    return path.is_dir() or path.with_suffix(".py").is_file()
