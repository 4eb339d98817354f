"""One run of the made-up shop, shared by the tests that look at its results, and an inbox."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from filelock import FileLock

from tests.flows.shop import Shop, stagecast, write_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop after `stagecast run`: made once, and copied by each process of tests."""
    of_all = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        of_all = of_all.parent
    built = of_all / "shop-built"
    with FileLock(of_all / "shop.lock"):
        if not (built / "printed.txt").exists():
            done = stagecast("run", "--config", write_shop(built), "--output", built / "out")
            assert done.returncode == 0, done.stderr
            (built / "printed.txt").write_text(done.stdout, encoding="utf-8")
    folder = tmp_path_factory.mktemp("shop") / "copy"
    shutil.copytree(built, folder)
    printed = (built / "printed.txt").read_text(encoding="utf-8")
    return Shop(folder / "shop.yaml", folder / "out", printed)


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A local receiver of JSON notifications: its URL, and what came."""
    received: list[dict[str, str]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"json://someone:secretword@127.0.0.1:{server.server_port}/", received
    server.shutdown()
    server.server_close()
    thread.join()
