"""The command `stagecast catalog`: every feature column, with its unit, window and meaning."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from features import config as configs
from features.columns import Column, columns, expected_spec
from features.errors import UserError
from flows.console import console, step
from flows.workspace import Workspace


def catalog(
    config: str | None, output: Path | None, settings: tuple[str, ...], file: Path | None
) -> list[Column]:
    """Print the catalogue of a config, or of an output folder's stored tallies; write it as JSON.

    Raises
    ------
    UserError
        Where neither is given, the config is wrong, or the file cannot be written.
    """
    if config is None and output is None:
        raise UserError("--config", found="nothing", expected="--config FILE or --output FOLDER")
    if config is not None:
        spec = expected_spec(configs.load(configs.find(config), settings))
        about = f"{config}, before its data are read: roles without events drop out"
    else:
        assert output is not None
        spec = Workspace(output.absolute()).archive().builder.spec
        about = f"{output}: roles {', '.join(spec.roles)}"
    found = columns(spec)
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps([asdict(c) for c in found], indent=1), encoding="utf-8")
        except OSError as error:
            raise UserError(
                "--json", found=f"{file}: {error.strerror}", expected="a file to write"
            ) from error
    wide = max(len(column.name) for column in found)
    for column in found:
        # Names are never wrapped, so that what is printed can be searched and piped.
        console.print(_line(column, wide), highlight=False, soft_wrap=True, markup=False)
    step(f"{len(found)} columns of {about}")
    return found


def _line(column: Column, wide: int) -> str:
    said = f"{column.name:<{wide}}  {column.unit:<9}  {column.meaning}"
    return f"{said} (missing: {column.null})" if column.null else said
