"""Plug-ins: what other packages add by entry points, and errors that name the package.

A package declares an entry point of a group ``stagecast.GROUP``; installing it is all that is
needed. Nothing that stagecast brings itself can be replaced: a name that is taken is refused.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from features.errors import UserError

Group = Literal["families", "measures", "metrics", "baselines", "exports", "presets"]
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_BASELINE_NAME = re.compile(r"(stage|transition|churn|clv)\.[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Plugin:
    """One entry point of another package.

    Attributes
    ----------
    name
        Name of the entry point.
    package, version
        The package that declares it.
    content
        What the entry point names: a function, an object or the path of a file.
    """

    name: str
    package: str
    version: str
    content: Any

    def error(self, problem: object, expected: str) -> UserError:
        """Error that names the plug-in and its package."""
        return UserError(
            f"plug-in {self.name} of the package {self.package} {self.version}",
            found=problem,
            expected=expected,
            hint=f"update {self.package}, or remove it: pip uninstall {self.package}",
        )

    @property
    def code(self) -> bytes:
        """Name, version and source of its module: stored results depend on all three."""
        module = sys.modules.get(getattr(self.content, "__module__", ""))
        file = getattr(module, "__file__", None)
        source = Path(file).read_bytes() if file else b""
        return f"{self.name} {self.package} {self.version} ".encode() + source


@cache
def plugins(group: Group) -> tuple[Plugin, ...]:
    """Plug-ins of a group that are installed, by name.

    Raises
    ------
    UserError
        If one cannot be imported, has a name that is none, or has the name of another.
    """
    loaded: dict[str, Plugin] = {}
    for point in sorted(entry_points(group=f"stagecast.{group}"), key=lambda each: each.name):
        plugin = _loaded(point)
        pattern = _BASELINE_NAME if group == "baselines" else _NAME
        if not pattern.fullmatch(plugin.name):
            raise plugin.error(
                f"the name {plugin.name!r}",
                "small letters, digits and underscores"
                + (
                    ", after a task and a point, as in churn.my_rule"
                    if group == "baselines"
                    else ""
                ),
            )
        if plugin.name in loaded:
            other = loaded[plugin.name]
            raise plugin.error(
                f"the same name as a plug-in of {other.package} {other.version}",
                f"one plug-in of that name in the group stagecast.{group}",
            )
        loaded[plugin.name] = plugin
    return tuple(loaded.values())


def refuse_taken(group: Group, taken: Collection[str]) -> tuple[Plugin, ...]:
    """As `plugins`, none of which has a name of stagecast's own.

    Raises
    ------
    UserError
        As `plugins`, and for a name that is taken.
    """
    installed = plugins(group)
    for plugin in installed:
        if plugin.name in taken:
            raise plugin.error(
                f"the name {plugin.name!r}, which stagecast has itself",
                "a name of its own: a plug-in adds, and replaces nothing",
            )
    return installed


def plugin_file(plugin: Plugin) -> Path:
    """File that a plug-in names by a path.

    Raises
    ------
    UserError
        If there is no such file.
    """
    path = Path(str(plugin.content))
    if not path.is_file():
        raise plugin.error(f"{path}, which is no file", "the path of a YAML file of the package")
    return path


def _loaded(point: EntryPoint) -> Plugin:
    package = point.dist.name if point.dist is not None else point.module
    version = point.dist.version if point.dist is not None else ""
    try:
        return Plugin(point.name, package, version, point.load())
    except Exception as error:  # whatever the import of another package raises
        failed = Plugin(point.name, package, version, None)
        raise failed.error(
            f"{point.value}, which cannot be imported: {type(error).__name__}: {error}",
            "a module that can be imported, with what the entry point names",
        ) from error
