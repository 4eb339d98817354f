"""A local registry is read without MLflow, and gives what MLflow gives."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from models.registry import registry
from models.registry.local_registry import local_versions
from models.registry.tracking import open_tracking
from models.registry.version import SCORER


def test_versions_are_those_that_mlflow_lists(tmp_path: Path) -> None:
    tracking = open_tracking(tmp_path)
    assert local_versions(tmp_path, SCORER) == registry.versions(tracking, SCORER) == []
    client = tracking.client
    for name in (SCORER, "another"):
        client.create_registered_model(name)
        for number in range(1, 12):  # ten comes after nine
            client.create_model_version(
                name, source=str(tmp_path), tags={"number": str(number)}, description=f"no {number}"
            )
    client.set_registered_model_alias(SCORER, "champion", "10")
    client.set_registered_model_alias(SCORER, "best", "10")
    client.set_registered_model_alias("another", "champion", "2")
    client.set_model_version_tag(SCORER, "10", "promoted_because", "it's better")
    client.delete_model_version(SCORER, "4")
    versions = local_versions(tmp_path, SCORER)
    assert versions == registry.versions(tracking, SCORER)
    assert [version.version for version in versions or []] == [11, 10, 9, 8, 7, 6, 5, 3, 2, 1]


def test_a_registry_that_is_elsewhere_or_not_readable_is_left_to_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert local_versions(tmp_path, SCORER) is None
    (tmp_path / "mlflow.db").write_text("no database")
    assert local_versions(tmp_path, SCORER) is None
    (tmp_path / "mlflow.db").unlink()
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as other_schema:
        other_schema.execute("create table model_versions (name text)")
    assert local_versions(tmp_path, SCORER) is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    assert local_versions(tmp_path, SCORER) is None
