"""What stands before the service: size, time, and errors that say nothing of a row."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from flows.serving.access import ApiKeys
from flows.serving.answers import Refusal, json_response, read_json
from flows.serving.guard import Guard, Limits, Message, Receive, Send
from flows.serving.measures import Measures

SECRET = "Anna-Secret-77"


async def echo(scope: Any, receive: Receive, send: Send) -> None:
    message = await receive()
    await json_response({"length": len(message["body"])})(scope, receive, send)


async def broken(scope: Any, receive: Receive, send: Send) -> None:
    raise ValueError(f"could not convert {SECRET}")


def ask(
    app: Any, chunks: list[bytes], *, headers: dict[str, str] | None = None, pause: float = 0.0
) -> tuple[int, dict[str, Any]]:
    """Status and content of the answer to a body that comes in chunks."""
    sent: list[Message] = []
    left = list(chunks)

    async def receive() -> Message:
        await asyncio.sleep(pause)
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message: Message) -> None:
        sent.append(message)

    limits = Limits(body_bytes=10, body_seconds=0.05)
    guard = Guard(app, ApiKeys(()), limits, Measures())
    named = [(k.encode(), v.encode()) for k, v in (headers or {}).items()]
    scope = {"type": "http", "method": "POST", "path": f"/scores/{SECRET}", "headers": named}
    asyncio.run(guard(scope, receive, send))
    assert SECRET.encode() not in guard.measures.text()
    return sent[0]["status"], json.loads(b"".join(m.get("body", b"") for m in sent))


def test_a_body_is_passed_on_whole() -> None:
    assert ask(echo, [b"12345", b"", b"67890"]) == (200, {"length": 10})


@pytest.mark.parametrize(
    ("chunks", "headers"),
    [
        ([b"12345678901"], {}),
        ([b"123456", b"123456"], {}),
        ([b"1"], {"content-length": "11"}),
        ([], {"content-length": "1000"}),  # far too large: refused before it is read
        ([b"1" * 100] * 9, {}),  # and while it is read
    ],
)
def test_a_large_body_is_refused(chunks: list[bytes], headers: dict[str, str]) -> None:
    status, content = ask(echo, chunks, headers=headers)
    assert (status, content["error"]["where"]) == (413, "body")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("evil.example:8080", 421),
        ("localhost.evil.example", 421),
        ("10.0.0.7", 421),
    ],
)
def test_without_keys_only_names_of_this_machine_are_answered(host: str, status: int) -> None:
    assert ask(echo, [b"1"], headers={"host": host})[0] == status


def test_a_slow_body_is_refused() -> None:
    status, content = ask(echo, [b"1"] * 9, pause=0.02)
    assert (status, content["error"]["where"]) == (408, "body")


def test_an_error_of_ours_shows_no_value(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        status, content = ask(broken, [b"1"])
    assert status == 500
    assert set(content["error"]) == {"where", "found", "expected", "hint"}
    assert SECRET not in json.dumps(content)
    assert "ValueError" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1,", b"NaN", b'{"a": Infinity}', b"[" * 100_000, b"\xff\xfe", b"9" * 5000],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        read_json(body)
    assert caught.value.status == 400


def test_numbers_that_are_not_finite_become_null() -> None:
    content = {"a": float("inf"), "b": [float("nan"), 1.5], "c": "NaN"}
    assert json.loads(bytes(json_response(content).body)) == {
        "a": None,
        "b": [None, 1.5],
        "c": "NaN",
    }
