"""One run of the made-up shop, shared by the tests that look at its results, and an inbox."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.flows.shop import Shop, stagecast, write_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop after `stagecast run`."""
    folder = tmp_path_factory.mktemp("shop")
    config, output = write_shop(folder), folder / "out"
    # This one as a user has it: no server, Prefect's own little one for the time of the run.
    done = stagecast("run", "--config", config, "--output", output, env={})
    assert done.returncode == 0, done.stderr
    return Shop(config, output, done.stdout)


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
