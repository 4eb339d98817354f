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
import secrets
import socket
import ssl
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from features.errors import UserError

_SECONDS = 10.0  # for a whole request, from the look-up of the name to the status
_KEY_BYTES = range(24, 65)  # of the specification
_NEW_KEY_BYTES = 32
_PREFIX = "whsec_"  # of a key in base64
# The only addresses of IPv6 that are routed on the internet. Those of IPv4 in other forms (mapped,
# or of a translating gateway) lie outside; those of 6to4 and Teredo inside.
_ROUTED = ipaddress.ip_network("2000::/3")


def signature(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header ``webhook-signature``."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def new_secret() -> str:
    """Return a new key of a webhook, as receivers' libraries read it."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_NEW_KEY_BYTES)).decode()


def secret_bytes(text: str, where: str) -> bytes:
    """Return the bytes of a key: what follows ``whsec_``, in base64.

    Other forms are refused, since the libraries of receivers would read other bytes.

    Raises
    ------
    UserError
        If it has another form, or not 24 to 64 bytes; the message does not repeat it.
    """
    try:
        encoded = text.removeprefix(_PREFIX)
        key = base64.b64decode(encoded, validate=True) if encoded != text else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _KEY_BYTES:
        raise UserError(
            where,
            found="a key of another form",
            expected=f"{_PREFIX} and {_KEY_BYTES[0]} to {_KEY_BYTES[-1]} bytes in base64",
            hint="`stagecast webhooks --new-key` makes one; give it to the receiver, too",
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
    parts = _checked_form(url, allow_private=allow_private)
    assert parts.hostname is not None
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


def refuse_address(url: str, *, allow_private: bool) -> None:
    """Refuse an address that no request would be sent to, as far as it shows without a look-up.

    Raises
    ------
    UserError
        For another form, and for the number of an inner address; the message does not repeat it.
    """
    host = _checked_form(url, allow_private=allow_private).hostname or ""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return  # a name, which is looked up and checked when something is sent
    if not allow_private and not is_outside(host):
        raise _inner()


def _checked_form(url: str, *, allow_private: bool) -> SplitResult:
    allowed = ("https", "http") if allow_private else ("https",)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if (
        not is_plain
        or parts.scheme not in allowed
        or not parts.hostname
        or parts.username is not None
        or port == 0
    ):
        raise _refused("an address of another form", f"{' or '.join(allowed)}://HOST/PATH")
    return parts


def is_outside(address: str) -> bool:
    """Return True if an IP address is of the public internet, in its own form."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and (
        ip not in _ROUTED or ip.sixtofour is not None or ip.teredo is not None
    ):
        return False
    return ip.is_global and not ip.is_multicast


def _address(host: str, port: int, *, allow_private: bool) -> str:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(row[4][0]) for row in found]
    if not allow_private and not all(map(is_outside, addresses)):
        raise _inner()
    return addresses[0]


def _inner() -> UserError:
    return _refused(
        "an address of an inner network or of this machine",
        "an address of the public internet, or `allow_private: true` for this target",
    )


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
