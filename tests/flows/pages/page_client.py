"""A browser without a screen: asks the service's application, keeps cookies, sends forms."""

from __future__ import annotations

import html
import json
import re
import time
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from features.config.pages import Pages
from flows.pages.accounts import add_account, read_accounts
from flows.pages.action_log import LOG_FILE
from flows.pages.app import mount_pages
from flows.pages.sessions import COOKIE, Sessions, signed_in
from flows.serving.access import ApiKeys
from flows.serving.app import create_app

PASSWORD = "four words of no use"
ROLES = ("read", "approve", "operate")


def add_accounts(output: Path) -> None:
    """One account of each role, named by it."""
    for role in ROLES:
        add_account(output, role, role, PASSWORD)


def client(output: Path, peer: str = "127.0.0.1") -> TestClient:
    """A client of the service; used as a context, so that the run is loaded."""
    app = create_app(output, keys=ApiKeys(()), extensions=(mount_pages,), reload_seconds=3600)
    return TestClient(app, base_url="http://localhost", client=(peer, 50_000))


def token(text: str) -> str:
    """The token of a page's first form."""
    match = re.search(r'name="token" value="([^"]+)"', text)
    assert match, text
    return match[1]


def sign_in(browser: TestClient, name: str, password: str = PASSWORD) -> Any:
    """Fill in the form of the sign-in page; returns the answer."""
    browser.cookies.clear()
    form = {"name": name, "password": password, "token": token(browser.get("/pages/sign-in").text)}
    return browser.post("/pages/sign-in", data=form, follow_redirects=False)


def enter(browser: TestClient, output: Path, name: str) -> None:
    """Begin a session as the sign-in page does, without computing a hash."""
    mine = Sessions(output, Pages)
    browser.cookies.clear()
    browser.cookies.set(COOKIE, mine.cookie(signed_in(read_accounts(output)[name])), path="/pages")


def words(text: str) -> str:
    """What a page says, without its marks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def actions(output: Path) -> list[dict[str, str]]:
    """Lines of the log."""
    text = (output / "pages" / LOG_FILE).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def ended(output: Path, what: str, seconds: float = 300) -> dict[str, str]:
    """Wait until an action that a page has started ends; returns its last line in the log."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        mine = [line for line in actions(output) if line["what"] == what]
        if mine and mine[-1]["outcome"] != "started":
            return mine[-1]
        time.sleep(0.3)
    raise AssertionError(f"{what} did not end")
