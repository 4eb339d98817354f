"""Webhooks registered with the running service: who may, what is refused, what is shown."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.config.store_location import VARIABLE as STORE
from flows.serving.access import VARIABLE, WEBHOOK_VARIABLE
from tests.flows.serving.test_serve import ask, strict
from tests.flows.shop import Shop
from tests.local_servers import local_server

KEY, OTHER = "a key that may register", "a key that may only read"
TOKEN = "path-that-is-a-password"


@pytest.fixture(scope="module")
def output(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(shop.output, tmp_path_factory.mktemp("webhooks") / "out"))


@pytest.fixture(scope="module")
def address(output: Path) -> Iterator[str]:
    log = output.parent / "log.txt"
    env = {VARIABLE: OTHER, WEBHOOK_VARIABLE: KEY, STORE: ""}
    command = ("flows.commands.cli", "serve", "--output", str(output))
    with local_server(*command, health="/ready", env=env, log=log) as server:
        yield server.address
    text = log.read_text(encoding="utf-8")
    for private in (TOKEN, KEY, "whsec_", "Traceback"):
        assert private not in text


def removed(address: str, name: str) -> int:
    request = urllib.request.Request(
        f"{address}/webhooks/{name}", headers={"X-API-Key": KEY}, method="DELETE"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert strict(answer.read()) == {"removed": True}
        return int(answer.status)


def test_a_webhook_is_registered_listed_and_removed(address: str, output: Path) -> None:
    body = {"url": f"https://hooks.example:8443/{TOKEN}?k={TOKEN}", "campaigns": ["win_back"]}
    status, row = ask(address, "/webhooks", body, X_API_Key=KEY)
    assert status == 201, row
    assert row.pop("signing_key").startswith("whsec_")
    assert row["host"] == "https://hooks.example:8443"
    status, listed = ask(address, "/webhooks", X_API_Key=KEY)
    assert (status, listed) == (200, {"webhooks": [row]})
    assert removed(address, row["id"]) == 200
    assert ask(address, "/webhooks", X_API_Key=KEY)[1] == {"webhooks": []}
    assert not list((output / "webhooks" / "subscriptions").iterdir())


@pytest.mark.parametrize(("key", "status"), [(OTHER, 403), ("", 401), (KEY + "x", 401)])
def test_only_keys_that_may_are_admitted(address: str, key: str, status: int) -> None:
    body = {"url": "https://hooks.example/"}
    assert ask(address, "/webhooks", body, X_API_Key=key)[0] == status
    assert ask(address, "/webhooks", X_API_Key=key)[0] == status
    assert ask(address, "/webhooks/sub_1", X_API_Key=key)[0] == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"url": "http://hooks.example/"}, 422),
        ({"url": f"https://user:{TOKEN}@hooks.example/"}, 422),
        ({"url": "https://127.0.0.1/"}, 422),
        ({"url": "https://169.254.169.254/latest"}, 422),
        ({"url": "https://[::ffff:8.8.8.8]/"}, 422),
        ({"url": "https://[fd00::1]/"}, 422),
        ({"url": "https://h/" + "x" * 3000}, 422),
        ({"url": 1}, 422),
        ({"url": "https://h/", "campaigns": [TOKEN]}, 422),
        ({"url": "https://h/", "campaigns": "win_back"}, 422),
        ({"url": "https://h/", "allow_private": True}, 422),
        ({}, 422),
        (b"{", 400),
    ],
)
def test_what_is_not_registered_is_not_repeated(
    address: str, output: Path, body: dict[str, object] | bytes, status: int
) -> None:
    found, content = ask(address, "/webhooks", body, X_API_Key=KEY)
    assert found == status
    assert set(content["error"]) == {"where", "found", "expected", "hint"}
    assert TOKEN not in str(content)
    assert not list((output / "webhooks").glob("subscriptions/*.json"))


def test_metrics_name_no_id_of_a_webhook(address: str) -> None:
    ask(address, "/webhooks/sub_" + "5" * 32, X_API_Key=KEY)
    request = urllib.request.Request(f"{address}/metrics", headers={"X-API-Key": OTHER})
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read().decode()
    assert "5" * 32 not in text
    assert 'route="/webhooks"' in text
