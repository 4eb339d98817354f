"""A signed request to an address outside: no inner network, no redirect, no waiting.

The signature follows the specification Standard Webhooks (headers ``webhook-id``,
``webhook-timestamp``, ``webhook-signature``), for which receivers have libraries.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from features.errors import UserError

_SECONDS = 5.0  # for every step of a request
_SHORTEST_SECRET = 16
_PREFIX = "whsec_"  # of a secret in base64
# Addresses that a gateway translates into those of IPv4.
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


def signature(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header ``webhook-signature``."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def secret_bytes(text: str, where: str) -> bytes:
    """Return the key of a secret: the text itself, or what follows ``whsec_`` in base64.

    Raises
    ------
    UserError
        If it is too short, or no base64.
    """
    try:
        is_encoded = text.startswith(_PREFIX)
        key = base64.b64decode(text[len(_PREFIX) :], validate=True) if is_encoded else text.encode()
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _SHORTEST_SECRET:
        raise UserError(
            where,
            found="a secret that is too short, or no base64 after whsec_",
            expected=f"at least {_SHORTEST_SECRET} bytes",
            hint='for example: python -c "import secrets; print(secrets.token_urlsafe(32))"',
        )
    return key


def post(url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool) -> int:
    """Send a request, and return the status of the answer.

    The name is looked up once, its addresses are checked, and one of them is connected to: a
    second look-up could have another answer. Redirects are not followed.

    Raises
    ------
    UserError
        If the address is not one to send to; the message does not repeat it.
    OSError, http.client.HTTPException
        If nothing answers, or not in HTTP.
    """
    parts = urlsplit(url)
    allowed = ("https", "http") if allow_private else ("https",)
    if parts.scheme not in allowed or not parts.hostname or parts.username is not None:
        raise _refused("an address of another form", f"{' or '.join(allowed)}://HOST/PATH")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = _address(parts.hostname, port, allow_private=allow_private)
    connection = _Pinned(parts.hostname, port, address, is_tls=parts.scheme == "https")
    try:
        path = parts.path or "/"
        connection.request("POST", f"{path}?{parts.query}" if parts.query else path, body,
                           dict(headers))  # fmt: skip
        return connection.getresponse().status
    finally:
        connection.close()


def is_outside(address: str) -> bool:
    """Return True if an IP address is of the public internet, also behind translations."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return ip.is_global and not ip.is_multicast


def _address(host: str, port: int, *, allow_private: bool) -> str:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(row[4][0]) for row in found]
    if not allow_private and not all(map(is_outside, addresses)):
        raise _refused(
            "an address of an inner network or of this machine",
            "an address of the public internet, or `allow_private: true` for this target",
        )
    return addresses[0]


def _refused(found: str, expected: str) -> UserError:
    return UserError("webhooks: url", found=found, expected=expected)


class _Pinned(http.client.HTTPConnection):
    """A connection to one checked address, under the name that it was asked for."""

    def __init__(self, host: str, port: int, address: str, *, is_tls: bool) -> None:
        super().__init__(host, port, timeout=_SECONDS)
        self._address, self._is_tls = address, is_tls
        self.default_port = 443 if is_tls else 80

    def connect(self) -> None:
        """Connect to the address; its certificate must be of the name."""
        plain = socket.create_connection((self._address, self.port), _SECONDS)
        self.sock: Any = plain
        if self._is_tls:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(plain, server_hostname=self.host)
