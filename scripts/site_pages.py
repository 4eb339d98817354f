"""Hook of mkdocs: pages that stand beside ``docs/`` and the decisions join the site."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
BESIDE = ("GLOSSARY.md", "CONTRIBUTING.md", "CHANGELOG.md")


def on_config(config: Any) -> Any:
    """The decisions stand in the navigation in their order, whoever adds one."""
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    config["nav"].append({"Decisions": [f"adr/{path.name}" for path in decisions]})
    listed = {str(value) for group in config["nav"] for value in _leaves(group)}
    beside = {name.lower() for name in BESIDE}
    others = sorted(p.name for p in (ROOT / "docs").glob("*.md") if p.name not in listed | beside)
    if others:
        config["nav"].append({"More": others})
    return config


def _leaves(entry: Any) -> list[Any]:
    if isinstance(entry, dict):
        return [leaf for value in entry.values() for leaf in _leaves(value)]
    if isinstance(entry, list):
        return [leaf for value in entry for leaf in _leaves(value)]
    return [entry]


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages beside ``docs/``."""
    for name in BESIDE:
        files.append(File.generated(config, name.lower(), abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Links to and from the pages beside ``docs/`` lead to where they are in the site."""
    if page.file.src_uri in {name.lower() for name in BESIDE}:
        markdown = markdown.replace("](docs/", "](")
    for name in BESIDE:
        markdown = re.sub(rf"\]\((\.\./)*{name}", f"]({name.lower()}", markdown)
    if page.file.src_uri.startswith(("adr/", "model-cards/")):
        return markdown
    # Files of the repository that are no pages are only named.
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", r"\1", markdown)
