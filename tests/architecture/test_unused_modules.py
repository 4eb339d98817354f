"""No module of the product that only tests and benchmarks import: what is measured is what runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PACKAGES = ("features", "models", "campaigns", "simulator", "flows", "stagecast")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
ENTRIES = (
    "flows.commands.cli",
    "stagecast",
    "models.scorer.pyfunc",  # loaded by MLflow, from the copy logged with a model
    "models.fitting.two_class_model",  # an estimator for users' own code (docs/models.md)
    *(deployment["entrypoint"].rpartition(".")[0] for deployment in DEPLOYMENTS),
)


def mentioned(name: str) -> Iterator[str]:
    """Modules that a module imports, or names in a string to import or start later."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # One dot is the package of the module itself, as only the scorer writes it.
            source = ".".join([package] * node.level + ([node.module] if node.module else []))
            yield from (source, *(f"{source}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.partition(":")[0]


def reachable(entries: tuple[str, ...]) -> set[str]:
    """Modules that run when a user runs the entries."""
    seen: set[str] = set()
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name in MODULES and name not in seen:
            seen.add(name)
            waiting += [*mentioned(name), name.rpartition(".")[0]]
    return seen


def test_every_module_runs_in_some_command_or_deployment():
    assert sorted(set(MODULES) - reachable(ENTRIES)) == [], "use it in the product, or delete it"


def test_a_module_that_nothing_mentions_is_seen(monkeypatch, tmp_path):
    unused = tmp_path / "unused.py"
    unused.write_text("import features.calendar\n", encoding="utf-8")
    monkeypatch.setitem(MODULES, "features.unused", unused)
    assert "features.unused" not in reachable(ENTRIES)
    assert "features.calendar" in reachable(("features.unused",))
