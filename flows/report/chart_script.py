"""The script that draws the charts of a report, offline: Vega, Vega-Lite and Vega-Embed.

An installed package brings it. Bundling takes seconds, so the bundle is kept in the user's cache
folder; where that cannot be written, every report bundles anew.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import vl_convert
from altair import SCHEMA_VERSION
from platformdirs import user_cache_path

# Vega-Lite of the version that Altair writes for, without the patch number.
VEGA_LITE = ".".join(SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def chart_script(cache: Path | None = None) -> str:
    """Text of the script, safe to stand in a page.

    Parameters
    ----------
    cache
        Folder to keep the bundle in. Default: the user's cache folder.
    """
    folder = cache or user_cache_path("stagecast")
    kept = folder / f"charts-{version('vl-convert-python')}-{VEGA_LITE}.js"
    try:
        return kept.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        # The stub of the package asks for a snippet that its code does not need.
        bundle = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]
    script = bundle.replace("</script", "<\\/script")
    _keep(script, kept)
    return script


def _keep(script: str, path: Path) -> None:
    """Write the bundle whole or not at all; without a cache the report is only slower."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(script, encoding="utf-8")
        os.replace(unfinished, path)
    except OSError:
        return
