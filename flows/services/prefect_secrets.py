"""Secrets of a scheduled run, kept in Prefect's Secret blocks instead of a worker's environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from features.errors import UserError
from flows.services.settings import move_logins_to_variables


@contextmanager
def secret_variables(blocks: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables from Secret blocks for the time of a scheduled run.

    Parameters
    ----------
    blocks
        Names of blocks by environment variable: ``{"STAGECAST_STORE_URL": "store-url"}``. A
        parameter of a run is visible on Prefect's page, so it holds names and no value.

    Raises
    ------
    UserError
        Where a block does not exist, or is none of the type Secret.
    """
    if not blocks:
        yield
        return
    before = dict(os.environ)
    os.environ.update({variable: _value(variable, name) for variable, name in blocks.items()})
    move_logins_to_variables()
    try:
        yield
    finally:
        for variable in set(os.environ) - set(before):
            del os.environ[variable]
        os.environ.update(before)


def _value(variable: str, name: str) -> str:
    from prefect.blocks.system import Secret

    try:
        block: Any = Secret.load(name)
        return str(block.get())
    except ValueError as error:  # also of a name that no block may have
        raise UserError(
            f"secrets: {variable}",
            # Somebody may have written the secret itself in the place of a name.
            found="no Secret block of that name on the Prefect server",
            expected="the name of a block of the type Secret",
            hint="create it on Prefect's page under Blocks, or take the variable out of `secrets`",
        ) from error
