"""MLflow on PostgreSQL behind a server: the whole job, other consumers, the server going away."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from features.store import read_current
from flows.workspace import Workspace
from models import registry
from models.registry import SCORER
from models.scoring import scoring_frame
from models.tracking import Tracking
from tests.flows.shop import stagecast, write_shop
from tests.postgres_server import postgres_server

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """URI of a fresh PostgreSQL."""
    with postgres_server() as server:
        yield server.get_uri().replace("postgresql:", "postgresql+psycopg:", 1)


@dataclass(frozen=True)
class Served:
    """An MLflow server, and the shop that was run against it."""

    address: str
    process: subprocess.Popen[bytes]
    output: Path
    environment: dict[str, str]

    @property
    def tracking(self) -> Tracking:
        """The store behind the server."""
        return Tracking(self.address, "0")


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def served(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database,
         "--artifacts-destination", folder / "kept", "--port", str(port), "--workers", "1"],
        env={**os.environ, **quiet},
        cwd=folder,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 300
    try:
        while not answers(address):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.3)
        environment = {"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
        config, output = write_shop(folder), folder / "out"
        done = stagecast("run", "--config", config, "--output", output, env=environment)
        assert done.returncode == 0, done.stderr + (folder / "server.log").read_text()[-3000:]
        yield Served(address, process, output, environment)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 15)
            process.wait()
        log.close()


def inputs(served: Served) -> pd.DataFrame:
    archive = Workspace(served.output).archive()
    return scoring_frame(archive, archive.builder.last_snapshot)


def test_the_whole_job_runs_against_a_server_on_postgresql(served: Served) -> None:
    assert not (served.output / "mlflow.db").exists()
    (version,) = registry.versions(served.tracking, SCORER)
    assert version.aliases == ("champion",)
    assert {"config", "data", "snapshots", "commit", "promoted_because"} <= set(version.tags)
    for part in ("stage", "transition", "churn", "clv"):
        assert len(registry.versions(served.tracking, f"stagecast-{part}")) == 1
    folder = registry.artifacts(served.tracking, SCORER, 1)
    assert registry.pickled_files(folder) == []
    current = read_current(served.output)
    assert current.run.mlflow_run_id == version.run_id
    assert len(current.scores) == len(inputs(served))


def test_rolling_back_through_the_server(served: Served) -> None:
    loaded = registry.load(served.tracking)
    with served.tracking.run("another scorer") as run:
        made = registry.log_version(
            run, SCORER, loaded.scorer.parts, head=loaded.scorer.head, description="", tags={}
        )
    registry.set_champion(served.tracking, SCORER, made.version, reason="a test")
    done = stagecast("rollback", "--output", served.output, env=served.environment)
    assert done.returncode == 0, done.stderr
    champion = registry.champion(served.tracking)
    assert champion is not None
    assert champion.version == loaded.version.version


def test_a_server_that_goes_away_leaves_the_old_scores(served: Served) -> None:
    before = read_current(served.output)
    os.killpg(served.process.pid, 15)
    served.process.wait()
    done = stagecast("score", "--output", served.output, env=served.environment)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "to mend:" in done.stderr
    after = read_current(served.output)
    assert after.run == before.run
    pd.testing.assert_frame_equal(after.scores, before.scores)
