"""The JavaScript that draws the charts of a report: Vega, Vega-Lite and Vega-Embed.

The package vl-convert contains the sources and bundles them without a network. Bundling takes
seconds, so the bundle is cached in the user's cache folder; if that folder cannot be written,
every report bundles again.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import vl_convert
from altair import SCHEMA_VERSION
from platformdirs import user_cache_path

# The Vega-Lite version of Altair's charts, without the patch number.
VEGA_LITE = ".".join(SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def chart_script(cache: Path | None = None) -> str:
    """Return the script as text that is safe inside a script element.

    Parameters
    ----------
    cache
        Folder for the bundle. Default: the user's cache folder.
    """
    folder = cache or user_cache_path("stagecast")
    cached = folder / f"charts-{version('vl-convert-python')}-{VEGA_LITE}.js"
    try:
        return cached.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        # The type stub requires a snippet; the function does not.
        bundle = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]
    script = bundle.replace("</script", "<\\/script")
    _keep(script, cached)
    return script


def _keep(script: str, path: Path) -> None:
    """Write the bundle atomically; ignore a cache folder that cannot be written."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(script, encoding="utf-8")
        os.replace(partial, path)
    except OSError:
        return
