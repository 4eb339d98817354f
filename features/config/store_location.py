"""Where the scores store of an output folder is: its own DuckDB file, or a PostgreSQL database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from features.config.database_url import filled, taken_apart
from features.config.secret_values import plain_secret
from features.config.yaml_loading import parse_yaml
from features.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import URL

VARIABLE = "STAGECAST_STORE_URL"
CONFIG_FILE = "config.yaml"
_SCHEMES = ("postgresql", "postgres")


def refused(url: str) -> str | None:
    """Why a URL may not stand in a config; None where it may."""
    if not _is_postgres(url):
        return f"a URL that begins with {_SCHEMES[0]}://, or no `store` for the DuckDB file"
    if plain_secret(url) is not None:
        return (
            "no password in a file: write ${NAME} in its place, and set that environment "
            f"variable, or set {VARIABLE}"
        )
    return None


def store_url(output: Path) -> URL | None:
    """URL of the PostgreSQL database of an output folder; None: the folder's own DuckDB file.

    ``STAGECAST_STORE_URL`` goes before the key `store` of ``OUTPUT/config.yaml``.

    Raises
    ------
    UserError
        Where it is no PostgreSQL URL, cannot be read, or names a variable that is not set.
    """
    config_file, url = output / CONFIG_FILE, None
    if not os.environ.get(VARIABLE, "").strip() and config_file.is_file():
        url = parse_yaml(config_file).get("store")
    return named_store_url(output, None if url is None else str(url))


def named_store_url(output: Path, config_url: str | None) -> URL | None:
    """As `store_url`, with the value of the config's key `store`."""
    environment_url = os.environ.get(VARIABLE, "").strip()
    if environment_url:
        if not _is_postgres(environment_url):
            raise UserError(
                VARIABLE,
                found="a URL of another kind",
                expected=f"{_SCHEMES[0]}://USER@HOST/DATABASE",
                hint=f"set it anew, or unset it to use the file in {output}",
            )
        return taken_apart(environment_url, where=VARIABLE)
    return None if config_url is None else filled(config_url, where="store")


def _is_postgres(url: str) -> bool:
    return url.partition("://")[0] in _SCHEMES
