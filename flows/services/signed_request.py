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
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from features.errors import UserError

_SECONDS = 10.0  # for a whole request, from the look-up of the name to the status
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
        If nothing answers, or not in HTTP. TimeoutError: not within ten seconds in all, also if
        the answer comes in drops.
    """
    parts = urlsplit(url)
    allowed = ("https", "http") if allow_private else ("https",)
    if parts.scheme not in allowed or not parts.hostname or parts.username is not None:
        raise _refused("an address of another form", f"{' or '.join(allowed)}://HOST/PATH")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    connection = _Pinned(
        parts.hostname, port, is_tls=parts.scheme == "https", allow_private=allow_private
    )
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    status: Future[int] = Future()

    def ask() -> None:
        try:
            connection.request("POST", target, body, dict(headers))
            status.set_result(connection.getresponse().status)
        except Exception as error:  # raised where the status is awaited
            status.set_exception(error)
        finally:
            connection.close()

    # The time-out of a socket is for one read, and the look-up of a name has none. So the request
    # has a thread of its own, which is not waited for when its time is over.
    threading.Thread(target=ask, name="webhook", daemon=True).start()
    try:
        return status.result(_SECONDS)
    except TimeoutError:
        connection.give_up()
        raise


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

    def __init__(self, host: str, port: int, *, is_tls: bool, allow_private: bool) -> None:
        super().__init__(host, port, timeout=_SECONDS)
        self._is_tls, self._allow_private = is_tls, allow_private
        self._is_over = threading.Event()
        self.default_port = 443 if is_tls else 80

    def connect(self) -> None:
        """Connect to the address; its certificate must be of the name."""
        address = _address(self.host, self.port, allow_private=self._allow_private)
        self._check_time()
        plain = socket.create_connection((address, self.port), _SECONDS)
        self.sock: Any = plain
        if self._is_tls:
            context = ssl.create_default_context()
            # The handshake comes after the assignment, so that `give_up` can end it.
            self.sock = context.wrap_socket(
                plain, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()
        self._check_time()

    def give_up(self) -> None:
        """End the request from another thread: nothing is sent or read any more."""
        self._is_over.set()
        if self.sock is not None:
            with suppress(OSError):  # closed in the meantime
                self.sock.shutdown(socket.SHUT_RDWR)

    def _check_time(self) -> None:
        if self._is_over.is_set():
            raise TimeoutError
