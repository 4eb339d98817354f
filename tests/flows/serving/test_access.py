"""Keys and rates: who may ask, and how often."""

from __future__ import annotations

import socket

import pytest

from features.errors import UserError
from flows.serving.access import (
    VARIABLE,
    ApiKeys,
    RateLimit,
    refuse_open_address,
    refuse_taken_port,
)

KEY, OTHER = "k" * 16, "another key of 24 signs!"


def test_keys_of_the_environment_are_accepted_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, f" {KEY}, {OTHER},")
    keys = ApiKeys.from_environment()
    assert keys.caller(KEY) is not None
    assert keys.caller(OTHER) not in (None, keys.caller(KEY))
    for wrong in (None, "", KEY[:-1], KEY + "k", KEY.upper(), "\udc80"):
        assert keys.caller(wrong) is None
    assert KEY not in repr(keys)
    assert KEY not in str(keys.caller(KEY))


def test_without_keys_everyone_on_this_machine_may_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert ApiKeys.from_environment().caller(None) is not None


def test_short_keys_are_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"{KEY},short-key")
    with pytest.raises(UserError, match="16") as caught:
        ApiKeys.from_environment()
    assert "short-key" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_loopback_address_needs_no_key(host: str) -> None:
    refuse_open_address(host, ApiKeys(()))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org", "localhost.example"])
def test_another_address_needs_a_key(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=VARIABLE):
        refuse_open_address(host, ApiKeys(()))
    monkeypatch.setenv(VARIABLE, KEY)
    refuse_open_address(host, ApiKeys.from_environment())


def test_a_burst_of_two_seconds_then_the_rate() -> None:
    now = 0.0
    limit = RateLimit(5.0, clock=lambda: now)
    assert [limit.wait("a") for _ in range(10)] == [0.0] * 10
    assert limit.wait("a") == pytest.approx(0.2)
    assert limit.wait("b") == 0.0
    now = 0.2
    assert limit.wait("a") == 0.0
    assert limit.wait("a") > 0.0
    now = 1000.0
    assert [limit.wait("a") > 0 for _ in range(11)] == [False] * 10 + [True]


def test_callers_beyond_a_number_are_forgotten() -> None:
    limit = RateLimit(1.0, clock=lambda: 0.0)
    for number in range(12_000):
        limit.wait(str(number))
    assert len(limit._buckets) == 10_000


@pytest.mark.parametrize("text", [",", " , ", " "])
def test_a_variable_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UserError, match="found no key"):
        ApiKeys.from_environment()


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match="an address of this machine at which no other"):
            refuse_taken_port("127.0.0.1", port)
    refuse_taken_port("127.0.0.1", port)
    with pytest.raises(UserError, match=f"--port {port}"):
        refuse_taken_port("no.such.host.invalid", port)
