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
        feature_spec = expected_spec(configs.load(configs.find(config), settings))
        description = f"{config}, before its data are read: roles without events drop out"
    else:
        assert output is not None
        feature_spec = Workspace(output.absolute()).archive().builder.spec
        description = f"{output}: roles {', '.join(feature_spec.roles)}"
    feature_columns = columns(feature_spec)
    deliver_result(
        [asdict(column) for column in feature_columns], json_file, lambda: _print(feature_columns)
    )
    step(f"{len(feature_columns)} columns of {description}")
    return feature_columns


def _print(feature_columns: list[Column]) -> None:
    name_width = max(len(column.name) for column in feature_columns)
    for column in feature_columns:
        # Names are never wrapped, so that what is printed can be searched and piped.
        console.print(_line(column, name_width), highlight=False, soft_wrap=True)


def _line(column: Column, name_width: int) -> str:
    line_text = f"{column.name:<{name_width}}  {column.unit:<9}  {column.meaning}"
    return f"{line_text} (missing: {column.null})" if column.null else line_text
