"""What a command cannot do without is asked for before the work: a folder, servers that answer."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import UserError
from features.servers import NO_ADDRESS, trouble, without_login
from flows.commands.cli import app
from flows.services import prefect_server
from flows.services.output_folder import require_writable
from flows.services.workspace import prepare_workspace, settle_config
from models.registry.tracking_server import check_tracking_server
from tests.disks import Disk, small_disk
from tests.flows.shop import stagecast, write_shop
from tests.tries import tries

DATES = ("--from", "2020-12-01", "--to", "2021-01-01")
# Commands that write into an output folder, and what each needs to get as far as that.
WRITING: dict[str, tuple[str, ...]] = {
    "run": (), "features": (), "train": (), "promote": (), "rollback": (), "score": (),
    "backtest": (), "target": (), "measure": (), "monitor": (), "backfill": DATES, "report": (),
    "schedule": (), "erase": ("c0001", "--yes"), "uplift": ("none.yaml",),
    "accounts": ("add", "anna", "--role", "read"), "simulate": ("--customers", "10"),
}  # fmt: skip
READING = {
    "score-events", "leads", "explain", "models", "catalog", "stages", "doctor", "why",
    "export-person", "metrics", "horizons", "init", "check", "runs", "presets", "bench", "policy",
    "serve", "mcp", "campaign",
    "webhooks",  # sends what waits, and writes nothing where nothing does
}  # fmt: skip


def test_every_command_is_known_to_write_or_to_read() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(commands) == set(WRITING) | READING


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """A read-only disk with an output folder that has a config."""
    folder = tmp_path_factory.mktemp("machine")
    with small_disk(folder / "disk", megabytes=32) as small:
        output = small.folder / "out"
        settle_config(
            prepare_workspace(output, str(write_shop(folder, customers=2)), ()).output, keep=True
        )
        small.read_only()
        yield small


def refused(*arguments: str | Path, env: dict[str, str] | None = None) -> str:
    """The one message of a command that refuses."""
    done = stagecast("--quiet", *arguments, env=env or {})
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("command", WRITING)
def test_a_read_only_folder_is_refused(disk: Disk, command: str) -> None:
    outputs = [disk.folder / "out"]
    if command in ("run", "simulate"):
        outputs.append(disk.folder / "new")
    for output in outputs:
        message = refused(command, *WRITING[command], "--output", output)
        assert f"--output: found {output}: read-only file system" in message


@pytest.mark.parametrize("command", ["score", "erase"])
def test_a_full_folder_is_refused_and_as_it_was(tmp_path: Path, command: str) -> None:
    with small_disk(tmp_path / "disk", megabytes=32) as small:
        output = small.folder / "out"
        config = write_shop(tmp_path, customers=2)
        settle_config(prepare_workspace(output, str(config), ()).output, keep=True)
        small.fill(spare=1 << 20)
        before = sorted(path.name for path in output.iterdir())
        message = refused(command, *WRITING[command], "--output", output)
        assert "no space left on device" in message
        assert sorted(path.name for path in output.iterdir()) == before


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="not a directory"):
        require_writable(tmp_path / "file" / "out")
    require_writable(tmp_path / "new" / "out")
    assert list((tmp_path / "new" / "out").iterdir()) == []


NOBODY = "127.0.0.1:9"
AWAY = {
    "PREFECT_API_URL": f"http://me:hunter2@{NOBODY}/api",
    "MLFLOW_TRACKING_URI": f"http://me:hunter2@{NOBODY}",
    "MLFLOW_REGISTRY_URI": f"postgresql+psycopg://me:hunter2@{NOBODY}/x?password=hunter2",
}


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        *(("run", variable) for variable in AWAY),
        *(("target", variable) for variable in AWAY),
        ("score", "PREFECT_API_URL"),
        ("monitor", "PREFECT_API_URL"),
        ("backfill", "PREFECT_API_URL"),
    ],
)
def test_a_server_that_is_away_is_told_before_the_work(
    tmp_path: Path, command: str, variable: str
) -> None:
    output = prepare_workspace(tmp_path / "out", str(write_shop(tmp_path, customers=2)), ()).output
    settle_config(output, keep=True)
    asked = ("--config", str(tmp_path / "shop.yaml")) if command == "run" else ()
    message = refused(
        command, *WRITING[command], *asked, "--output", output, env={variable: AWAY[variable]}
    )
    assert NOBODY in message or "port 9" in message
    assert "hunter2" not in message
    assert variable in message
    assert not (output / "prefect.db").exists()


SECRET = "s3cret-phrase"


@given(
    st.sampled_from(["http", "https", "postgresql", "postgresql+psycopg", "ftp", "", "HTTP"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8),
    st.sampled_from(["127.0.0.1:9", "[::1]:9", "[::1", "", "127.0.0.1:99999", "a b", ":x"]),
    st.sampled_from(["", "/api", "/\x7f", "?q=1", "#"]),
)
@settings(max_examples=tries(200))
def test_no_address_breaks_the_question_or_shows_its_password(
    scheme: str, user: str, host: str, path: str
) -> None:
    """Addresses nobody answers at, well formed or not: one message, without the password."""
    address = f"{scheme}://{user}:{SECRET}@{host}{path}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", address)
        patch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(UserError) as prefect:
            prefect_server.require_named_server()
        assert SECRET not in str(prefect.value)
        if not scheme.startswith(("http", "postgresql")):
            check_tracking_server()  # what MLflow takes for no server is not asked
            return
        with pytest.raises(UserError) as mlflow:
            check_tracking_server()
        assert SECRET not in str(mlflow.value)


class Answers(BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(int(self.path.split("/")[1]))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("status", "found"), [(200, None), (401, None), (404, "answer 404"), (503, "answer 503")]
)
def test_whoever_asks_for_a_password_is_there(status: int, found: str | None) -> None:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{status}"
        assert trouble(address, refused=range(404, 600)) == found
        server.shutdown()


def test_a_server_that_takes_calls_and_says_nothing_is_left_after_seconds() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        begun = time.monotonic()
        found = trouble(f"http://127.0.0.1:{mute.getsockname()[1]}/api")
        assert found is not None
        assert "no answer within" in found
        assert time.monotonic() - begun < 60  # and not for minutes, on a busy machine neither


def test_an_address_is_shown_without_what_is_secret() -> None:
    assert without_login("https://me:a/b#c@host:1/api?password=x") == NO_ADDRESS
    assert without_login("https://me:pw@host:1/api?password=x") == "https://host:1/api"


def test_no_server_is_asked_for_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in AWAY:
        monkeypatch.delenv(variable, raising=False)
    check_tracking_server()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///somewhere.db")
    check_tracking_server()
    assert "PREFECT_API_URL" not in os.environ
