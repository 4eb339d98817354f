"""Subscriptions to audience changes, registered while the service runs: one file each.

They lie beside the outbox, which sends to them as to the targets of the config. A file holds the
key of the signatures, so that only the owner of the output folder may read it.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from features.config.types import Strict
from features.errors import UserError
from features.storage.disk import sync
from flows.services.signed_request import new_secret, refuse_address

FOLDER = "webhooks"
MOST = 100  # subscriptions of an output folder
_SUBSCRIPTIONS = "subscriptions"
_ID = re.compile("sub_[0-9a-f]{32}")


class Subscription(Strict):
    """A program that registered to be told.

    ``id``: names it. ``url``, ``secret``: its address, and the key of its signatures.
    ``campaigns``: those that matter to it (none: all). ``allow_private``: the address may be an
    inner one. ``created_at``: UTC.
    """

    id: str
    url: str = Field(repr=False)
    secret: str = Field(repr=False)
    campaigns: tuple[str, ...] = ()
    allow_private: bool = False
    created_at: dt.datetime


def subscribe(
    output: Path,
    url: str,
    *,
    campaigns: Sequence[str],
    allow_private: bool,
    now: dt.datetime,
) -> Subscription:
    """Store a subscription under a new id, with a new key.

    Parameters
    ----------
    output
        The output folder.
    url
        Where to send; a name is looked up, and its addresses checked, at every sending.
    campaigns
        Those that matter; none: all.
    allow_private
        True: inner addresses and plain http are permitted.
    now
        UTC moment.

    Raises
    ------
    UserError
        If the address is not one to send to, or there are too many subscriptions.
    """
    refuse_address(url, allow_private=allow_private)
    folder = output / FOLDER / _SUBSCRIPTIONS
    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.glob("sub_*.json"))) >= MOST:
        raise UserError(
            "webhooks", found=f"{MOST} subscriptions", expected="fewer", hint="remove some first"
        )
    subscription = Subscription(
        id=f"sub_{secrets.token_hex(16)}",
        url=url,
        secret=new_secret(),
        campaigns=tuple(campaigns),
        allow_private=allow_private,
        created_at=now,
    )
    path = folder / f"{subscription.id}.json"
    unfinished = path.with_name(f"{path.name}.tmp")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(subscription.model_dump_json())
    sync(unfinished)
    os.replace(unfinished, path)
    sync(folder)
    return subscription


def subscriptions(output: Path) -> list[Subscription]:
    """Return all subscriptions, the oldest first."""
    files = (output / FOLDER / _SUBSCRIPTIONS).glob("sub_*.json")
    rows = [Subscription.model_validate_json(file.read_bytes()) for file in files]
    return sorted(rows, key=lambda row: (row.created_at, row.id))


def unsubscribe(output: Path, name: str) -> bool:
    """Remove a subscription by its id; False if there is none."""
    if not _ID.fullmatch(name):
        return False
    folder = output / FOLDER / _SUBSCRIPTIONS
    try:
        (folder / f"{name}.json").unlink()
    except FileNotFoundError:
        return False
    sync(folder)
    return True
