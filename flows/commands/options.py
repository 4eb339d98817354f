"""Options that commands share: one name, one default and one help text for each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_OUTPUT = Path("outputs")

OutputFolder = Annotated[
    Path, typer.Option("--output", "-o", help="Folder of all results.", file_okay=False)
]
ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config", "-c", help="YAML of the data set; default: config of the output folder."
    ),
]
ExampleConfig = Annotated[
    str | None,
    typer.Option("--config", "-c", help="YAML of the data set; default: an example."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a config key, e.g. seed=7."),
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", dir_okay=False, help="Also write the result as JSON; - prints only the JSON."
    ),
]
