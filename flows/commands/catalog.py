"""The command `stagecast catalog`: every feature column, with its unit, window and meaning."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from features.config import config as configs
from features.errors import UserError
from features.table.feature_columns import Column, columns, expected_spec
from flows.services.console import console, deliver_result, step
from flows.services.workspace import Workspace


def catalog(
    config: str | None, output: Path | None, settings: tuple[str, ...], json_file: Path | None
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
    deliver_result([asdict(column) for column in found], json_file, lambda: _print(found))
    step(f"{len(found)} columns of {about}")
    return found


def _print(found: list[Column]) -> None:
    wide = max(len(column.name) for column in found)
    for column in found:
        # Names are never wrapped, so that what is printed can be searched and piped.
        console.print(_line(column, wide), highlight=False, soft_wrap=True, markup=False)


def _line(column: Column, wide: int) -> str:
    said = f"{column.name:<{wide}}  {column.unit:<9}  {column.meaning}"
    return f"{said} (missing: {column.null})" if column.null else said
