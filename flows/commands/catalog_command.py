"""The command `stagecast catalog`: its options; what it prints is in `catalog`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import ConfigFile, JsonFile, Settings


def catalog(
    config: ConfigFile = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of an earlier run.")
    ] = None,
    json_file: JsonFile = None,
    overrides: Settings = None,
) -> None:
    """List every feature column: unit, window, meaning, and what a missing value means."""
    from flows.commands.catalog import catalog as listed

    listed(config, output, tuple(overrides or ()), json_file)
