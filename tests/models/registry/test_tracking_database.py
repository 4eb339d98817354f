"""MLflow on a real PostgreSQL, without a server between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.registry import tracking
from tests.postgres_server import postgres_server

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """URI of a fresh PostgreSQL."""
    with postgres_server() as server:
        yield server.get_uri().replace("postgresql:", "postgresql+psycopg:", 1)


def test_a_database_without_a_server_will_do(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    store = tracking.start(tmp_path, experiment="direct")
    with store.run("one") as run:
        run.metrics({"auc": 0.75})
        run.text("card", "card.md")
    assert store.client.get_run(run.run_id).data.metrics == {"auc": 0.75}
    assert store.download(run.run_id, "card.md", tmp_path / "down").read_text() == "card"
    assert not (tmp_path / "mlflow.db").exists()
