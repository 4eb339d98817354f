"""Hook of mkdocs: pages beside ``docs/``, the decisions and the notebooks join the site."""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
from site_notebooks import notebook_page

ROOT = Path(__file__).parent.parent
BESIDE = ("GLOSSARY.md", "CONTRIBUTING.md", "CHANGELOG.md")


def on_config(config: Any) -> Any:
    """The decisions stand in the navigation in their order, whoever adds one."""
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    config["nav"].append({"Decisions": [f"adr/{path.name}" for path in decisions]})
    config["nav"].append({"Notebooks": [f"notebooks/{path.stem}.md" for path in _notebooks()]})
    listed = {str(value) for group in config["nav"] for value in _leaves(group)}
    beside = {name.lower() for name in BESIDE}
    others = sorted(p.name for p in (ROOT / "docs").glob("*.md") if p.name not in listed | beside)
    if others:
        config["nav"].append({"More": others})
    return config


def _notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def _leaves(entry: Any) -> list[Any]:
    if isinstance(entry, dict):
        return [leaf for value in entry.values() for leaf in _leaves(value)]
    if isinstance(entry, list):
        return [leaf for value in entry for leaf in _leaves(value)]
    return [entry]


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages beside ``docs/`` and the notebooks."""
    for name in BESIDE:
        files.append(File.generated(config, name.lower(), abs_src_path=str(ROOT / name)))
    for path in _notebooks():
        page = f"notebooks/{path.stem}.md"
        files.append(File.generated(config, page, content=notebook_page(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Links to and from the pages beside ``docs/`` lead to where they are in the site."""
    if page.file.src_uri in {name.lower() for name in BESIDE}:
        markdown = markdown.replace("](docs/", "](")
    for name in BESIDE:
        markdown = re.sub(rf"\]\((\.\./)*{name}", f"]({name.lower()}", markdown)
    if page.file.src_uri.startswith(("adr/", "model-cards/", "notebooks/")):
        return markdown
    markdown = re.sub(r"\]\(\.\./notebooks/(\w+)\.ipynb\)", r"](notebooks/\1.md)", markdown)
    # Files of the repository that are no pages are only named.
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", r"\1", markdown)
