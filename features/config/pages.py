"""Config block of the pages for marketers: sessions, and sign-in by a reverse proxy."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from features.config.types import Strict

PageRole = Literal["read", "approve", "operate"]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]


def _network(text: str) -> str:
    """An address or a network in its usual spelling.

    Raises
    ------
    ValueError
        If it is none, or the network of all addresses.
    """
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"an address or network like 127.0.0.1 or 10.0.0.0/24, not {text!r}"
        ) from None
    if network.prefixlen == 0:
        raise ValueError(f"the addresses of your proxies, and not all addresses ({text})")
    return str(network)


class ProxySignIn(Strict):
    """A reverse proxy that signs people in, and names them in a header.

    ``user_header``: header with the name. ``group_header``: header with groups, separated by
    commas. ``trusted``: addresses from which these headers count; from others they are ignored.
    ``users``, ``groups``: role by name, and by group; who has none of both sees nothing.
    """

    user_header: HeaderName
    group_header: HeaderName | None = None
    trusted: Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], Field(min_length=1)]
    users: dict[str, PageRole] = Field(default={})
    groups: dict[str, PageRole] = Field(default={})


class Pages(Strict):
    """Pages for marketers on `stagecast serve`.

    ``session_hours``: hours until somebody must sign in again. ``proxy``: a reverse proxy that
    signs people in; without it local accounts do.
    """

    session_hours: Annotated[int, Field(ge=1, le=720, strict=True)] = 8
    proxy: ProxySignIn | None = None
