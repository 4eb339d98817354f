"""Who may ask, and how often: API keys from the environment, and a rate for each of them."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from features.errors import UserError

VARIABLE = "STAGECAST_API_KEYS"
WEBHOOK_VARIABLE = "STAGECAST_WEBHOOK_KEYS"
_SHORTEST_KEY = 16
_MOST_CALLERS = 10_000  # remembered; the one who was silent longest is forgotten


@dataclass(frozen=True)
class ApiKeys:
    """Accepted keys, as hashes: they are never shown, and compared in constant time.

    Attributes
    ----------
    digests
        SHA-256 of every key; empty: everyone on this machine may ask.
    webhook_digests
        Those among them that may register webhooks, too.
    """

    digests: tuple[bytes, ...] = field(repr=False)
    webhook_digests: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def from_environment(cls) -> ApiKeys:
        """Keys of ``STAGECAST_API_KEYS`` and ``STAGECAST_WEBHOOK_KEYS``, separated by commas.

        Raises
        ------
        UserError
            If one is shorter than 16 signs, or there are only commas.
        """
        plain, of_webhooks = _keys(VARIABLE), _keys(WEBHOOK_VARIABLE)
        return cls((*plain, *of_webhooks), of_webhooks)

    def caller(self, key: str | None) -> str | None:
        """Name of the caller with a key, for limits and never shown; None: not accepted."""
        if not self.digests:
            return "local"
        digest = _digest(key or "")
        # All are compared, so that the time does not tell which one is alike.
        accepted = [hmac.compare_digest(digest, known) for known in self.digests]
        return digest.hex() if any(accepted) else None

    def may_register(self, key: str | None) -> bool:
        """Whether a key may register, list and remove webhooks."""
        digest = _digest(key or "")
        return any([hmac.compare_digest(digest, known) for known in self.webhook_digests])


def _keys(variable: str) -> tuple[bytes, ...]:
    text = os.environ.get(variable, "")
    keys = [key.strip() for key in text.split(",") if key.strip()]
    if text and not keys:
        raise UserError(
            variable,
            found="no key",
            expected="keys separated by commas",
            hint=f"unset {variable} if there is none",
        )
    if any(len(key) < _SHORTEST_KEY for key in keys):
        raise UserError(
            variable,
            found="a short key",
            expected=f"keys of at least {_SHORTEST_KEY} signs, separated by commas",
            hint='for example: python -c "import secrets; print(secrets.token_urlsafe(32))"',
        )
    return tuple(_digest(key) for key in keys)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def refuse_open_address(host: str, keys: ApiKeys) -> None:
    """Refuse to listen to other machines without keys.

    Raises
    ------
    UserError
        If the host is not a loopback address and there is no key.
    """
    if keys.digests or is_loopback(host):
        return
    raise UserError(
        f"--host {host}",
        found="an address that other machines reach, and no API key",
        expected=f"a loopback address such as 127.0.0.1, or keys in {VARIABLE}",
        hint=f"set {VARIABLE}, and put a proxy with TLS in front",
    )


def refuse_taken_port(host: str, port: int) -> None:
    """Refuse an address at which this process cannot listen.

    Raises
    ------
    UserError
        If another program listens there, or the machine has no such address.
    """
    try:
        kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        raise UserError(
            f"--host {host} --port {port}",
            found=error.strerror or type(error).__name__,
            expected="an address of this machine at which no other program listens",
            hint="end the other program, or choose another --port",
        ) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass
class RateLimit:
    """Token buckets: every caller may ask `per_second` times a second, in bursts.

    Attributes
    ----------
    per_second
        Requests a second.
    clock
        Seconds, rising.
    burst
        Requests at once; 0: those of two seconds.
    """

    per_second: float
    clock: Callable[[], float] = time.monotonic
    burst: float = 0.0
    _buckets: OrderedDict[str, tuple[float, float]] = field(
        default_factory=OrderedDict, init=False, repr=False
    )

    def wait(self, caller: str) -> float:
        """Take a token: 0 if there is one, else the seconds until there is."""
        now, burst = self.clock(), self.burst or max(2 * self.per_second, 1.0)
        tokens, since = self._buckets.pop(caller, (burst, now))
        tokens = min(tokens + (now - since) * self.per_second, burst)
        missing = max(1.0 - tokens, 0.0)
        self._buckets[caller] = (tokens if missing else tokens - 1.0, now)
        if len(self._buckets) > _MOST_CALLERS:
            self._buckets.popitem(last=False)
        return missing / self.per_second
