"""Packages with entry points for stagecast, as an installer would leave them in a folder."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from features import plugins as plugin_module
from features.table.families import plugin_family
from flows.setup import presets

EXAMPLE = Path(__file__).parents[1] / "examples" / "plugin"


def write_package(
    folder: Path, name: str, points: Mapping[str, Mapping[str, str]], *, version: str = "1.0"
) -> Path:
    """Write the metadata of an installed package with these entry points, by group."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
    )
    lines = []
    for group, of_group in points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in of_group.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_example(folder: Path) -> list[Path]:
    """Folders for the import path that make the example package look installed."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = project["entry-points"]
    metadata = write_package(folder, project["name"], points, version=project["version"])
    return [metadata, EXAMPLE]


@contextmanager
def on_path(*folders: Path) -> Iterator[None]:
    """Import from these folders, too; what was kept of the plug-ins before is forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in folders:
            patch.syspath_prepend(str(folder))
        _forget()
        try:
            yield
        finally:
            _forget()
    _forget()


def _forget() -> None:
    plugin_module.plugins.cache_clear()
    plugin_family.plugin_families.cache_clear()
    presets.all_presets.cache_clear()
