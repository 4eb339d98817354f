"""What stands before every request: keys, rate, size and time limits, metrics, and last resort.

It is plain ASGI, so that a refused request costs nothing, and no error gets past it: neither into
an answer nor into a log, where values of rows could be read.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from flows.serving.access import WEBHOOK_VARIABLE, ApiKeys, RateLimit, is_loopback
from flows.serving.answers import Refusal, defect
from flows.serving.measures import Measures

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_log = logging.getLogger("stagecast.serve")
_MOST_DROPPED = 16  # times the largest body
_WEBHOOKS = "/webhooks"
OPEN_PATHS = ("/health", "/ready")  # without a key: they name no customer
PAGES = "/pages"  # they sign people in themselves, and need no key
# Routes as metrics name them; a path itself may hold the id of a customer.
_ROUTES = ("/scores/events", "/scores/", "/audiences/", "/webhooks", "/webhooks/",
           "/mcp", "/pages/", "/health", "/ready", "/metrics",
           "/openapi.json", "/")  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What a request may cost.

    Attributes
    ----------
    body_bytes
        Longest body.
    body_seconds
        Longest time for the client to send it.
    per_second
        Requests a second of one caller.
    """

    body_bytes: int = 1_000_000
    body_seconds: float = 10.0
    per_second: float = 300.0


@dataclass
class Guard:
    """An ASGI application around another one.

    Attributes
    ----------
    app
        The application that answers.
    keys, limits, measures
        Who may ask, how much, and what is counted.
    """

    app: App
    keys: ApiKeys
    limits: Limits
    measures: Measures
    _rate: RateLimit = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the buckets."""
        self._rate = RateLimit(self.limits.per_second)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or pass on the messages of the server's life."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        route = _route(scope["path"])
        try:
            self._admit(scope)
            body = await self._body(scope, receive)
            await self.app(scope, _with_body(body, receive), note_status)
        except Refusal as refusal:
            await refusal.response()(scope, receive, note_status)
        except Exception as error:
            _log.error("%s %s failed: %s", scope["method"], route, _where(error))
            if not status:
                await defect().response()(scope, receive, note_status)
        finally:
            self.measures.requests.labels(route, status).inc()
            self.measures.seconds.labels(route).observe(time.perf_counter() - began)

    def _admit(self, scope: MutableMapping[str, Any]) -> None:
        """Refuse callers without an accepted key, and those who ask too often."""
        if scope["path"] in OPEN_PATHS:
            return
        if scope["path"] == PAGES or scope["path"].startswith(f"{PAGES}/"):
            self._limit_rate(f"{PAGES} {(scope.get('client') or ('',))[0]}")
            return
        host = dict(scope["headers"]).get(b"host", b"localhost").decode("latin-1")
        if not self.keys.digests and not is_loopback(_without_port(host)):
            # A page of another site that names this machine must not read what it answers.
            raise Refusal(421, "Host", "another name", "localhost, or keys of the service")
        caller = self.keys.caller(_key(scope["headers"]))
        if caller is None:
            raise Refusal(
                401, "API key", "none that is accepted",
                "the header Authorization: Bearer KEY, or X-API-Key: KEY",
            )  # fmt: skip
        if scope["path"].startswith(_WEBHOOKS) and not self.keys.may_register(
            _key(scope["headers"])
        ):
            raise Refusal(
                403, "API key", "one that may not register webhooks",
                f"a key of {WEBHOOK_VARIABLE}",
            )  # fmt: skip
        self._limit_rate(caller)

    def _limit_rate(self, caller: str) -> None:
        """Refuse a caller who asks too often."""
        if seconds := self._rate.wait(caller):
            raise Refusal(
                429, "rate", "too many requests",
                f"at most {self.limits.per_second:g} a second", retry_after=seconds,
            )  # fmt: skip

    async def _body(self, scope: MutableMapping[str, Any], receive: Receive) -> bytes:
        """The whole body, within the limits of size and time.

        What is too large is read to its end and dropped, up to `_MOST_DROPPED` times the limit: a
        client that is still sending would see a reset connection instead of the refusal.
        """
        most = self.limits.body_bytes
        too_large = Refusal(413, "body", "too large", f"at most {most:,} bytes", "ask in parts")
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        size = int(declared[:20]) if declared.isdigit() else 0
        if size > _MOST_DROPPED * most:
            raise too_large
        is_too_large, received, body = size > most, 0, bytearray()
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "body", "an end in the middle", "a whole body")
                    chunk = message.get("body", b"")
                    received += len(chunk)
                    is_too_large |= received > most
                    if received > _MOST_DROPPED * most:
                        raise too_large
                    if not is_too_large:
                        body += chunk
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            expected = f"a whole body within {self.limits.body_seconds:g} seconds"
            raise Refusal(408, "body", "a client that sends too slowly", expected) from None
        if is_too_large:
            raise too_large
        return bytes(body)


def _with_body(body: bytes, receive: Receive) -> Receive:
    """Receive a body that has been read already, then what else the server says."""
    is_read = False

    async def receive_again() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _route(path: str) -> str:
    for route in _ROUTES[:-1]:
        if path == route:
            return route
        if route.endswith("/") and path.startswith(route):
            return f"{route}..."
    return "/" if path == "/" else "other"


def _without_port(host: str) -> str:
    bracketed, _, _ = host.removeprefix("[").partition("]")
    return bracketed if host.startswith("[") else host.partition(":")[0]


def _key(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The API key of a request; None without one."""
    named = dict(headers)
    if b"x-api-key" in named:
        return named[b"x-api-key"].decode("latin-1")
    kind, _, key = named.get(b"authorization", b"").decode("latin-1").partition(" ")
    return key.strip() if kind.lower() == "bearer" else None


def _where(error: BaseException) -> str:
    """Kind of an error and the lines that led to it: its message may quote a row."""
    lines = [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)[-6:]
    ]
    return f"{type(error).__name__} at {' > '.join(lines)}"
