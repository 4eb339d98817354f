"""`stagecast doctor` finds what is broken, changes nothing, and says how to fix it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from features.errors import UserError
from flows.commands.cli import app
from flows.services.console import progress_console
from tests.flows.shop import write_shop


def findings(output: Path) -> tuple[dict[str, dict[str, Any]], BaseException | None]:
    done = CliRunner().invoke(app, ["doctor", "--output", str(output), "--json", "-"])
    found = {each["what"]: each for each in json.loads(done.stdout)}
    return found, done.exception


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """An output folder in which nothing but the config was made."""
    from flows.services.workspace import prepare_workspace

    config = write_shop(tmp_path, customers=3)
    return prepare_workspace(tmp_path / "out", str(config), ()).output


def test_an_installation_in_order_is_fine_and_a_new_folder_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    found, error = findings(tmp_path / "out")
    assert error is None
    assert found["mlflow"]["state"] == found["disk"]["state"] == "ok"
    assert {found[what]["state"] for what in ("config", "scores", "registry")} == {"look"}
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_gone(prepared: Path) -> None:
    assert findings(prepared)[0]["config"]["state"] == "ok"
    (prepared.parent / "orders.csv").unlink()
    found, error = findings(prepared)
    assert found["config"]["state"] == "bad"
    assert isinstance(error, UserError)
    assert "orders.csv" in str(error)


def test_broken_stores(prepared: Path) -> None:
    (prepared / "stagecast.duckdb").write_bytes(b"not a database")
    (prepared / "mlflow.db").write_bytes(b"not a database either")
    found, error = findings(prepared)
    assert found["scores"]["state"] == found["registry"]["state"] == "bad"
    assert isinstance(error, UserError)


def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://me:hunter2@127.0.0.1:9/api")
    found, error = findings(tmp_path)
    assert found["prefect server"]["state"] == "bad"
    assert "unset PREFECT_API_URL" in str(error)
    assert "hunter2" not in str(error)


def test_quiet_leaves_results_and_errors(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_console, "quiet", False)
    data = str(prepared.parent / "orders.csv")
    told = ["init", data, "--force", "--output", str(prepared.parent / "shop.yaml")]
    loud = CliRunner().invoke(app, told)
    quiet = CliRunner().invoke(app, ["--quiet", *told])
    assert "reading all rows" in loud.stderr
    assert quiet.stderr == ""
    assert quiet.stdout == loud.stdout != ""


def test_quiet_and_verbose_exclude_each_other(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--quiet", "--verbose", "doctor", "--output", str(tmp_path)])
    assert isinstance(done.exception, UserError)


def test_completion_is_offered_for_the_commands() -> None:
    words = {"COMP_WORDS": "stagecast do", "COMP_CWORD": "1"}
    asked = {**words, "_STAGECAST_COMPLETE": "complete_bash"}
    done = CliRunner().invoke(app, [], prog_name="stagecast", env=asked)
    assert done.stdout.split() == ["doctor"]
