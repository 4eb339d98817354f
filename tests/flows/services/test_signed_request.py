"""Requests to webhooks: the signature of the specification, and no address of an inner network."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import UserError
from flows.services import signed_request
from flows.services.signed_request import (
    is_outside,
    new_secret,
    post,
    refuse_address,
    secret_bytes,
    signature,
)

INNER = (
    "https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "https://10.1.2.3/x",
    "https://192.168.0.1/", "https://172.16.0.9/", "https://169.254.169.254/latest/meta-data",
    "https://0.0.0.0/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::7f00:1]/", "https://[fd00::1]/", "https://[fe80::1]/", "https://2130706433/",
    "https://0x7f.1/", "https://127.1/", "https://100.64.0.1/", "https://224.0.0.1/",
    "https://[2002:7f00:1::]/", "https://[2002:808:808::]/", "https://[64:ff9b::808:808]/",
    "https://[64:ff9b:1::1]/", "https://[::ffff:8.8.8.8]/", "https://[::8.8.8.8]/",
    "https://[2001:0:808:808::1]/", "https://[2001:db8::1]/", "https://[fec0::1]/",
    "https://[ff0e::1]/", "https://[::]/",
)  # fmt: skip
OTHER_FORMS = (
    "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "https://", "example.com",
    "https://user:password-of-17@example.com/", "gopher://example.com", "",
)  # fmt: skip


@pytest.mark.parametrize("url", [*INNER, *OTHER_FORMS])
def test_no_request_leaves_for_an_inner_or_odd_address(url: str) -> None:
    with pytest.raises(UserError) as refused:
        post(url, b"{}", {}, allow_private=False)
    assert "password-of-17" not in str(refused.value)


@given(st.ip_addresses(v=4))
def test_an_address_of_the_old_internet_is_accepted_in_its_own_form_alone(
    ip: ipaddress.IPv4Address,
) -> None:
    number = int(ip)
    spellings = (
        ipaddress.IPv6Address(number),
        ipaddress.IPv6Address((0xFFFF << 32) | number),
        ipaddress.IPv6Address((0x64FF9B << 96) | number),
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),
    )
    assert not any(is_outside(str(spelling)) for spelling in spellings)
    assert is_outside(str(ip)) == (ip.is_global and not ip.is_multicast)


@given(st.ip_addresses(v=6))
def test_an_address_outside_the_routed_block_is_inner(ip: ipaddress.IPv6Address) -> None:
    assert not is_outside(str(ip)) or int(ip) >> 125 == 1
    assert is_outside("2606:4700::1111")


@pytest.mark.parametrize(
    "url", ["https://example.com/x", "https://8.8.8.8:8443/", "https://[2606:4700::1]/"]
)
def test_an_address_of_the_internet_may_be_registered(url: str) -> None:
    refuse_address(url, allow_private=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/", "https://[::1]/", "http://example.com/", "https://a b/", "https://\n/",
        "https://h:0/", "https://h:99999/", "https://[::1/", "https://u:password-of-17@h/",
    ],
)  # fmt: skip
def test_an_inner_or_odd_address_may_not_be_registered(url: str) -> None:
    with pytest.raises(UserError) as refused:
        refuse_address(url, allow_private=False)
    assert "password-of-17" not in str(refused.value)


def test_a_name_that_leads_inside_only_at_the_second_look_up_is_never_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter(["8.8.8.8", "127.0.0.1"])
    connected: list[str] = []

    def look_up(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 443))]

    def connect(address: tuple[str, int], *_: object) -> socket.socket:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(ConnectionRefusedError):
        post("https://rebinding.example/", b"{}", {}, allow_private=False)
    with pytest.raises(UserError):
        post("https://rebinding.example/", b"{}", {}, allow_private=False)
    assert connected == ["8.8.8.8"]


@given(st.binary(min_size=16, max_size=40), st.binary(max_size=200), st.integers(0, 2**40))
def test_the_signature_is_that_of_the_specification(key: bytes, body: bytes, moment: int) -> None:
    expected = hmac.new(key, f"msg_1.{moment}.".encode() + body, hashlib.sha256).digest()
    assert signature(key, "msg_1", moment, body) == "v1," + base64.b64encode(expected).decode()


def test_a_published_example_of_the_specification() -> None:
    key = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "SECRET")
    body = b'{"test": 2432232314}'
    assert signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """A receiver's check, written from the text of the standard alone."""
    key = base64.b64decode(secret.split("_", 1)[1])
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    versions = [part.split(",", 1) for part in headers["webhook-signature"].split(" ")]
    return any(v == "v1" and hmac.compare_digest(s, expected) for v, s in versions)


def test_a_new_key_is_one_that_receivers_verify_with() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    sent = signature(secret_bytes(first, "KEY"), "msg_1", 1_700_000_000, b"{}")
    headers = {
        "webhook-id": "msg_1", "webhook-timestamp": "1700000000", "webhook-signature": sent,
    }  # fmt: skip
    assert verified(first, headers, b"{}")
    assert not verified(second, headers, b"{}")
    assert not verified(first, headers, b"{ }")
    assert not verified(first, headers | {"webhook-timestamp": "1700000001"}, b"{}")


WEAK = (
    "", "secret-of-15-si", "a-plain-text-of-more-than-24-signs", "whsec_c2hvcnQ=",
    "whsec_!!!!!!!!!!!!!!", "whsec_" + base64.b64encode(b"x" * 23).decode(),
    "whsec_" + base64.b64encode(b"x" * 65).decode(),
    "whsec_" + base64.urlsafe_b64encode(b"\xff" * 32).decode(),
)  # fmt: skip


@pytest.mark.parametrize("text", WEAK)
def test_a_weak_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UserError) as refused:
        secret_bytes(text, "SECRET")
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_in_drops_is_given_up_as_a_whole(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_request, "_SECONDS", 0.5)
    is_left, is_over = threading.Event(), threading.Event()

    def drip(server: socket.socket) -> None:
        with server.accept()[0] as caller:
            # A status at once, and a header without an end; in TLS, the head of a long record.
            start = b"HTTP/1.1 200 OK\r\nX: " if scheme == "http" else b"\x16\x03\x03\x3f\xff"
            try:
                caller.sendall(start)
                while not is_over.wait(0.05):
                    caller.sendall(b"x")
            except OSError:
                is_left.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        dripping = threading.Thread(target=drip, args=(server,), daemon=True)
        dripping.start()
        url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/"
        try:
            with pytest.raises(TimeoutError):
                post(url, b"{}", {}, allow_private=True)
            assert is_left.wait(30)
        finally:
            is_over.set()
            dripping.join()
