"""Write docs/imports.md: which folder imports which, and who imports Prefect, MLflow or an engine.

The pictures are Mermaid text made from the imports that the code has. `python scripts/pages.py`
writes the page.
"""

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import grimp

ROOT = Path(__file__).parent.parent


@cache
def graph() -> grimp.ImportGraph:
    """Every import of the packages, of one another and of others' packages."""
    return grimp.build_graph(*packages(), include_external_packages=True, cache_dir=None)


@cache
def linter() -> dict[str, Any]:
    """What pyproject.toml tells import-linter."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(project["tool"]["importlinter"])


def packages() -> list[str]:
    """Packages under contract."""
    return list(linter()["root_packages"])


def contracts(kind: str) -> list[dict[str, Any]]:
    """Contracts of one kind."""
    return [contract for contract in linter()["contracts"] if contract["type"] == kind]


def walls() -> dict[tuple[str, ...], list[str]]:
    """Packages of others that not everybody may import, and the modules that do."""
    ours = set(packages())
    importers_of = {}
    for contract in contracts("forbidden"):
        outside = tuple(name for name in contract["forbidden_modules"] if name not in ours)
        if outside:
            importers = {m for name in outside for m in direct_importers(name)}
            importers_of[outside] = sorted(importers)
    return importers_of


def direct_importers(package: str) -> set[str]:
    """Modules that import a package of others."""
    known = package in graph().modules
    return set(graph().find_modules_that_directly_import(package)) if known else set()


def exceptions() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Modules that a contract lets through its wall, and what is behind it."""
    for contract in contracts("forbidden"):
        for line in contract.get("ignore_imports", []):
            yield line.split(" -> ")[0], tuple(contract["forbidden_modules"])


def folder_imports(package: str | None = None) -> list[tuple[str, str]]:
    """Pairs of folders, the first importing the second: packages, or folders of one package."""
    pairs = set()
    for importer in graph().modules:
        for imported in graph().find_modules_directly_imported_by(importer):
            pair = (_folder(importer, package), _folder(imported, package))
            if None not in pair and pair[0] != pair[1]:
                pairs.add(pair)
    return sorted(pairs)


def _folder(module: str, package: str | None) -> str | None:
    parts = module.split(".")
    if parts[0] not in packages():
        return None
    if package is None:
        return parts[0]
    is_folder = len(parts) > 2 or (ROOT / parts[0] / parts[-1]).is_dir()
    return parts[1] if parts[0] == package and len(parts) > 1 and is_folder else None


def imports_page() -> str:
    """Text of the page."""
    lines = [PAGE_HEAD, *_mermaid(folder_imports())]
    for package in ("features", "models", "flows"):
        lines += ["", f"## Folders of `{package}/`", "", *_mermaid(folder_imports(package))]
    lines += ["", "## Who imports packages of others", "", "| package | imported by |", "|---|---|"]
    for outside, importers in walls().items():
        modules = ", ".join(f"`{name}`" for name in importers)
        lines.append(f"| {', '.join(f'`{name}`' for name in outside)} | {modules} |")
    return "\n".join(lines) + "\n"


def _mermaid(pairs: list[tuple[str, str]]) -> list[str]:
    direct = _without_shortcuts(pairs)
    return ["```mermaid", "flowchart TD", *(f"  {a} --> {b}" for a, b in direct), "```"]


def _without_shortcuts(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out an arrow where a longer way leads to the same folder, so that the order shows."""
    below: dict[str, set[str]] = {}
    for importer, imported in pairs:
        below.setdefault(importer, set()).add(imported)

    def reach(start: str, visited: set[str]) -> set[str]:
        for folder in below.get(start, set()) - visited:
            visited.add(folder)
            reach(folder, visited)
        return visited

    return [
        (importer, imported)
        for importer, imported in pairs
        if not any(
            imported in reach(other, set()) for other in below[importer] - {imported, importer}
        )
    ]


PAGE_HEAD = """# Which folder imports which

An arrow means *imports*; arrows that a longer way implies are left out. The contracts in
`pyproject.toml` forbid every other direction (`uv run lint-imports`).
"""
