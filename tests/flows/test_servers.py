"""MLflow on PostgreSQL behind a server: the whole job, other consumers, the server going away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from features.storage.scores_store import read_current
from flows.services.workspace import Workspace
from models.registry import registry
from models.registry.registry import SCORER
from models.registry.tracking import Tracking
from models.serving.score import scoring_frame
from tests.flows.shop import another_champion, stagecast, write_shop
from tests.local_servers import LocalServer, local_server
from tests.pickle_scan import pickled_files
from tests.postgres_server import postgres_server

pytestmark = pytest.mark.services
QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """URI of a fresh PostgreSQL."""
    with postgres_server() as server:
        yield server.get_uri().replace("postgresql:", "postgresql+psycopg:", 1)


@dataclass(frozen=True)
class Served:
    """An MLflow server, and the shop that was run against it."""

    server: LocalServer
    output: Path
    environment: dict[str, str]

    @property
    def tracking(self) -> Tracking:
        """The store behind the server."""
        return Tracking(self.server.address, "0")


@pytest.fixture(scope="module")
def served(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    log = folder / "server.log"
    with local_server(
        "mlflow", "server", "--backend-store-uri", database,
        "--artifacts-destination", folder / "kept", "--workers", "1",
        health="/health", env=QUIET, folder=folder, log=log,
    ) as server:  # fmt: skip
        environment = {
            "MLFLOW_TRACKING_URI": server.address,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        }
        config, output = write_shop(folder), folder / "out"
        done = stagecast("run", "--config", config, "--output", output, env=environment)
        assert done.returncode == 0, done.stderr + log.read_text()[-3000:]
        yield Served(server, output, environment)


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
    assert pickled_files(folder) == []
    current = read_current(served.output)
    assert current.run.mlflow_run_id == version.run_id
    assert len(current.scores) == len(inputs(served))


def test_rolling_back_through_the_server(served: Served) -> None:
    first = registry.champion(served.tracking)
    another_champion(served.tracking)
    assert registry.champion(served.tracking) != first
    done = stagecast("rollback", "--output", served.output, env=served.environment)
    assert done.returncode == 0, done.stderr
    champion = registry.champion(served.tracking)
    assert champion is not None
    assert first is not None
    assert champion.version == first.version


def test_a_server_that_goes_away_leaves_the_old_scores(served: Served) -> None:
    before = read_current(served.output)
    served.server.stop()
    done = stagecast("score", "--output", served.output, env=served.environment)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "hint:" in done.stderr
    after = read_current(served.output)
    assert after.run == before.run
    pd.testing.assert_frame_equal(after.scores, before.scores)
