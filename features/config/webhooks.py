"""Config block of programs that are told when audiences change."""

from __future__ import annotations

from features.config.monitoring import EnvironmentName
from features.config.types import Name, Strict


class WebhookTarget(Strict):
    """A program that is told by a signed request.

    ``name``: for messages. ``url``, ``signed_with``: names of environment variables that hold the
    address and the key of the signature. ``campaigns``: those that matter to it (none: all).
    ``allow_private``: the address may be of an inner network or this machine, and plain http.
    """

    name: Name
    url: EnvironmentName
    signed_with: EnvironmentName
    campaigns: tuple[str, ...] = ()
    allow_private: bool = False
