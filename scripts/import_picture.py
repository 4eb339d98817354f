"""Draw docs/imports.svg: who may import whom, from the contracts in pyproject.toml.

The boxes and their order are the contract of layers, an arrow is an import that the code has, and
the walls at the right are the contracts about packages of others, with the modules that import
them. `python scripts/pages.py` writes it.
"""

import tomllib
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import grimp

ROOT = Path(__file__).parent.parent
DOES = {
    "flows": "Prefect flows, reports and the command line",
    "models": "labels and features to scores",
    "campaigns": "scores to audiences and exports",
    "features": "events to tallies, stages, features, labels",
}
WIDTH, LEFT, RIGHT = 980, 520, 400
HEAD, LINE, GAP = 40, 16, 56
STYLE = (
    "text{font:12px sans-serif;fill:#1f2937}.name{font-weight:bold;font-size:15px}"
    ".small{font:11px monospace}.box{fill:#eef2ff;stroke:#4f46e5;stroke-width:1.5}"
    ".wall{fill:#fff7ed;stroke:#c2410c;stroke-width:1.5}.arrow{stroke:#374151;fill:none}"
)


@cache
def graph() -> grimp.ImportGraph:
    """Every import of the packages, of one another and of others' packages."""
    return grimp.build_graph(*packages(), include_external_packages=True, cache_dir=None)


@cache
def linter() -> dict[str, Any]:
    """What pyproject.toml tells import-linter."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(told["tool"]["importlinter"])


def packages() -> list[str]:
    """Packages under contract."""
    return list(linter()["root_packages"])


def contracts(kind: str) -> list[dict[str, Any]]:
    """Contracts of one kind."""
    return [contract for contract in linter()["contracts"] if contract["type"] == kind]


def layers() -> list[list[str]]:
    """Packages in their layers, the one that imports all others first."""
    (contract,) = contracts("layers")
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]


def walls() -> dict[tuple[str, ...], list[str]]:
    """Packages of others that not everybody may import, and the modules that do."""
    ours = set(packages())
    found = {}
    for contract in contracts("forbidden"):
        outside = tuple(name for name in contract["forbidden_modules"] if name not in ours)
        if outside:
            importers = {m for name in outside for m in direct_importers(name)}
            found[outside] = sorted(importers)
    return found


def direct_importers(package: str) -> set[str]:
    """Modules that import a package of others."""
    known = package in graph().modules
    return set(graph().find_modules_that_directly_import(package)) if known else set()


def exceptions() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Modules that a contract lets through its wall, and what is behind it."""
    for contract in contracts("forbidden"):
        for line in contract.get("ignore_imports", []):
            yield line.split(" -> ")[0], tuple(contract["forbidden_modules"])


def notes() -> dict[str, list[str]]:
    """What a contract says of single modules, by package."""
    said: dict[str, list[str]] = {name: [] for name in packages()}
    for contract in contracts("protected"):
        for module in contract["protected_modules"]:
            allowed = " and ".join(contract["allowed_importers"])
            package, name = module.split(".", 1)
            said[package].append(f"{name}: only {allowed} imports it")
    for contract in contracts("forbidden"):
        for module in contract["source_modules"]:
            if "." in module:
                package, name = module.split(".", 1)
                said[package].append(f"{name}: imports nothing of ours")
    return said


def arrows() -> list[tuple[str, str]]:
    """Pairs of packages of which the first imports the second."""
    return [
        (one, other)
        for one in packages()
        for other in packages()
        if one != other
        and graph().find_matching_direct_imports(import_expression=f"{one}.** -> {other}.**")
    ]


def _text(x: float, y: float, text: str, style: str = "") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text x="{x:g}" y="{y:g}"{kind}>{escape(text)}</text>'


def _box(x: float, y: float, width: float, lines: list[str], style: str) -> tuple[list[str], float]:
    """A box with a name, what it does, and lines in small print; and its height."""
    height = HEAD + LINE * (len(lines) - 1) - 2
    drawn = [
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height}" rx="6" class="{style}"/>',
        _text(x + 10, y + 20, lines[0], "name"),
    ]
    drawn += [_text(x + 10, y + HEAD + LINE * i, line, "small") for i, line in enumerate(lines[1:])]
    return drawn, height


def _ours() -> tuple[list[str], float]:
    """The layers, top to bottom, with their arrows; and the lowest edge."""
    drawn: list[str] = []
    places: dict[str, tuple[float, float, float, float]] = {}
    said, y = notes(), 44.0
    for layer in layers():
        width = (LEFT - 20 - 20 * (len(layer) - 1)) / len(layer)
        heights = []
        for i, name in enumerate(layer):
            x = 20 + i * (width + 20)
            box, height = _box(x, y, width, [name, DOES[name], *said[name]], "box")
            drawn += box
            heights.append(height)
            places[name] = (x, y, width, height)
        y += max(heights) + GAP
    for one, other in arrows():
        drawn.append(_arrow(places[one], places[other]))
    return drawn, y - GAP


def _arrow(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> str:
    """An arrow from the lower edge of a box to the upper edge of one below it."""
    (x1, y1, w1, h1), (x2, y2, w2, _) = one, other
    middle = (max(x1, x2) + min(x1 + w1, x2 + w2)) / 2
    return (
        f'<line x1="{middle:g}" y1="{y1 + h1:g}" x2="{middle:g}" y2="{y2 - 3:g}" class="arrow" '
        'marker-end="url(#head)"/>'
    )


def _wrapped(modules: list[str]) -> list[str]:
    """Modules of each package on as few lines as hold them."""
    lines = []
    for package in sorted({m.split(".")[0] for m in modules}):
        names = [m.split(".", 1)[1] for m in modules if m.startswith(package + ".")]
        line = f"{package}:"
        for name in names:
            if len(line) + len(name) > 56:
                lines.append(line)
                line = "   "
            line += f" {name}"
        lines.append(line)
    return lines


def _theirs() -> tuple[list[str], float]:
    """The packages of others that stand behind a wall; and the lowest edge."""
    drawn, y = [], 44.0
    for outside, modules in walls().items():
        box, height = _box(
            WIDTH - RIGHT - 20, y, RIGHT, [", ".join(outside), *_wrapped(modules)], "wall"
        )
        drawn += box
        y += height + 16
    return drawn, y - 16


def imports_picture() -> str:
    """The picture as SVG."""
    left, low = _ours()
    right, lower = _theirs()
    height = max(low, lower) + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">',
        "<title>Who may import whom</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#374151"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>',
        _text(20, 26, "An arrow: imports. No arrow: may not."),
        _text(WIDTH - RIGHT - 20, 26, "Packages of others, and the only modules that import them"),
        *left,
        *right,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
