"""Where the scores store of an output folder is: its own DuckDB file, or a PostgreSQL database."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from features.errors import UserError
from features.sources.files import with_secrets

VARIABLE = "STAGECAST_STORE_URL"
CONFIG_FILE = "config.yaml"
SCHEMES = ("postgresql", "postgres")
_NAMED = re.compile(r"^\$\{\w+\}$")


def refused(url: str) -> str | None:
    """Why a URL may not stand in a config; None where it may."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        return f"a URL that begins with {SCHEMES[0]}://, or no `store` for the DuckDB file"
    # Between the name and the address, as text: a password may hold any sign.
    login = parts.netloc.rpartition("@")[0]
    if ":" in login and not _NAMED.match(login.partition(":")[2]):
        return (
            "no password in a file: write ${NAME} in its place, and set that environment "
            f"variable, or set {VARIABLE}"
        )
    return None


def store_url(output: Path) -> str | None:
    """URL of the PostgreSQL database of an output folder; None: the folder's own DuckDB file.

    ``STAGECAST_STORE_URL`` goes before the key `store` of ``OUTPUT/config.yaml``.

    Raises
    ------
    UserError
        Where it is no PostgreSQL URL, or names a variable that is not set.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if given:
        if urlsplit(given).scheme not in SCHEMES:
            raise UserError(
                VARIABLE,
                found="a URL of another kind",
                expected=f"{SCHEMES[0]}://USER@HOST/DATABASE",
                mend=f"set it anew, or unset it to use the file in {output}",
            )
        return given
    config = output / CONFIG_FILE
    if not config.is_file():
        return None
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    url = content.get("store") if isinstance(content, dict) else None
    return None if url is None else with_secrets(url)
