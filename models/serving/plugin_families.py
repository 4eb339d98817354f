"""Families of plug-ins that a scorer learned from: recorded with it, required where it scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from features.errors import UserError
from features.plugins import plugins
from models.scorer.scoring_context import LATE


def plugin_packages(columns: Iterable[str]) -> list[dict[str, str]]:
    """Plug-ins that build some of the feature columns: family, package and version of each."""
    prefixes = {name.removeprefix(LATE).partition("__")[0] for name in columns}
    return [
        {"family": plugin.name, "package": plugin.package, "version": plugin.version}
        for plugin in plugins("families")
        if plugin.name in prefixes
    ]


def require_plugins(head: Mapping[str, Any], scorer: str) -> list[str]:
    """Refuse to score without the families that a scorer learned from.

    Parameters
    ----------
    head
        Content of ``scorer.json``; those of earlier versions record no plug-ins.
    scorer
        The scorer, in words.

    Returns
    -------
    list of str
        A warning for each family that is installed in another version than it was trained with.

    Raises
    ------
    UserError
        Naming every package that is missing.
    """
    installed = {plugin.name: plugin for plugin in plugins("families")}
    recorded = head.get("plugins", [])
    missing = [each for each in recorded if each["family"] not in installed]
    if missing:
        families = ", ".join(f"{each['family']}__..." for each in missing)
        packages = " ".join(f"{each['package']}=={each['version']}" for each in missing)
        raise UserError(
            scorer,
            found=f"no plug-in for its feature columns {families}",
            expected=f"the packages that it was trained with: {packages}",
            hint=f"pip install {packages}, or train again without them: stagecast train",
        )
    return [
        f"{scorer} was trained with {each['package']} {each['version']}, and version "
        f"{installed[each['family']].version} is installed: its columns may differ"
        for each in recorded
        if installed[each["family"]].version != each["version"]
    ]
