"""Every page in a real browser: from a segment to an approved export, axe, light, dark, a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from features.config.store_location import VARIABLE as STORE
from features.storage.scores_store import read_current
from flows.serving.access import VARIABLE
from tests.flows.pages.page_client import PASSWORD
from tests.local_servers import local_server

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[3]
AXE = ROOT / "build" / "node_modules" / "axe-core" / "axe.min.js"
MINUTE = 60_000
PAGES = (
    "/customers", "/customers/{customer}", "/draft?segment=Win+back", "/campaigns",
    "/campaigns/win_back", "/results", "/models", "/monitor", "/actions", "/campaigns/none",
)  # fmt: skip


@pytest.fixture(scope="module")
def address(output: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service, really started."""
    command = ("flows.commands.cli", "serve", "--output", str(output))
    log = tmp_path_factory.mktemp("log") / "log.txt"
    with local_server(*command, health="/ready", env={VARIABLE: "", STORE: ""}, log=log) as server:
        yield f"{server.address}/pages"


class Opened:
    """A signed-in browser, and all that it complained of."""

    def __init__(self, chromium: Any, address: str, name: str, **context: Any) -> None:
        """Sign in by the form."""
        # axe is put into the page, where the policy of the pages forbids every script.
        self.context = chromium.new_context(bypass_csp=True, **context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(2 * MINUTE)
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.address = address
        self.page.goto(f"{address}/customers")
        self.page.fill("#name", name)
        self.page.fill("#password", PASSWORD)
        self.page.click("main button")
        self.page.wait_for_selector("#count")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    import shutil

    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    assert program, "no chromium: apt-get install -y chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """The checker of accessibility."""
    assert AXE.is_file(), f"no {AXE}: npm install --prefix build axe-core"
    return AXE.read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1360, 390])
def test_every_page_is_accessible_and_fits(
    chromium: Any, address: str, output: Path, axe: str, scheme: str, width: int
) -> None:
    opened = Opened(
        chromium, address, "operate", viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    page, customer = opened.page, str(read_current(output).scores["customer_id"].iloc[0])
    for path in PAGES:
        page.goto(address + path.format(customer=customer))
        page.evaluate(axe)
        violations = page.evaluate("axe.run().then(r => r.violations)")
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in violations] == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    assert [text for text in opened.said if "404" not in text] == []
    opened.context.close()


def test_the_sign_in_page_is_accessible(chromium: Any, address: str, axe: str) -> None:
    page = chromium.new_context(bypass_csp=True).new_page()
    page.goto(f"{address}/sign-in")
    page.evaluate(axe)
    assert page.evaluate("axe.run().then(r => r.violations.map(v => v.id))") == []
    page.context.close()


def test_from_a_segment_to_a_list_and_an_approved_export(
    chromium: Any, address: str, output: Path, tmp_path: Path
) -> None:
    opened = Opened(chromium, address, "approve", viewport={"width": 1360, "height": 900})
    page = opened.page
    page.select_option("select[name=segment]", "Win back")
    page.click("text=Show")
    with page.expect_download() as download:
        page.click("text=Download as CSV")
    download.value.save_as(tmp_path / "customers.csv")
    assert (tmp_path / "customers.csv").stat().st_size > 1_000
    page.click("nav >> text=Campaigns")
    page.click("text=Win back lapsed customers")
    page.click("button.main")
    page.wait_for_selector(".files button")
    assert page.inner_text("#state") == "Ready."
    with page.expect_download() as download:
        page.click(".files button >> nth=0")
    download.value.save_as(tmp_path / "export.csv")
    assert (tmp_path / "export.csv").stat().st_size > 100
    page.click("nav >> text=Results")
    assert "Not yet measurable" in page.inner_text("main")
    assert opened.said == []
    opened.context.close()
