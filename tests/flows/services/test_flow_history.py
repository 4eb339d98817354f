"""Flows without a server are noted, and Prefect takes the notes over."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from flows.services import flow_history
from flows.services.flow_history import history_kept, noted_runs
from flows.services.prefect_artifacts import link_to_mlflow, show_page, show_table
from flows.services.prefect_history import hand_to_prefect
from flows.services.prefect_server import named_server, server_with_page
from flows.services.steps import flow, task
from models.registry.tracking import Tracking


@task(name="divide")
def divide(output: str, number: int) -> float:
    show_table("parts", ["number"], [(number,)], about="what is divided")
    return 1 / number


@flow(name="inner")
def inner_flow(output: str, number: int) -> float:
    show_page("a page", f"# {number}", about="of the inner flow")
    link_to_mlflow("link", Tracking("http://server", "3"), "abc", about="Training.")
    return divide(output, number)


@flow(name="outer")
def outer_flow(output: str, number: int = 2) -> float:
    return inner_flow(output, number)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output folder with a run that succeeded and one that failed."""
    with history_kept(tmp_path):
        assert outer_flow(str(tmp_path)) == 0.5
    with pytest.raises(ZeroDivisionError), history_kept(tmp_path):
        outer_flow(str(tmp_path), number=0)
    return tmp_path


def test_runs_are_noted_with_states_callers_and_artifacts(output: Path) -> None:
    first, second = noted_runs(output)[:3], noted_runs(output)[3:]
    for outer, inner, part in (first, second):
        assert [outer.name, inner.name, part.name] == ["outer", "inner", "divide"]
        assert [outer.parent, inner.parent, part.parent] == [None, outer.id, inner.id]
        assert outer.started <= inner.started <= part.started
        assert [shown["key"] for shown in inner.artifacts] == ["a-page", "link"]
        assert json.loads(part.artifacts[0]["data"]) == [{"number": inner.parameters["number"]}]
    assert {run.state for run in first} == {"COMPLETED"}
    assert {(run.state, run.message) for run in second} == {
        ("FAILED", "ZeroDivisionError: division by zero")
    }
    assert second[0].parameters == {"output": str(output), "number": 0}


def test_outside_of_a_command_nothing_is_noted(tmp_path: Path) -> None:
    assert outer_flow(str(tmp_path)) == 0.5
    assert noted_runs(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_stops_no_flow(tmp_path: Path) -> None:
    (tmp_path / flow_history.FOLDER).write_text("a file in its place")
    with history_kept(tmp_path):
        assert outer_flow(str(tmp_path)) == 0.5


def test_a_run_that_goes_on_is_running_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    with history_kept(tmp_path), flow_history.noted("flow", "long", {}):
        (run,) = noted_runs(tmp_path)
        assert (run.state, run.ended) == ("RUNNING", None)
    (path,) = (tmp_path / flow_history.FOLDER).iterdir()
    text = path.read_text()
    path.write_text(text[: text.index('"COMPLETED"')])
    (run,) = noted_runs(tmp_path)
    assert run.state == "CRASHED"


def test_the_oldest_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_history, "_MOST_FILES", 3)
    for number in range(1, 6):
        with history_kept(tmp_path):
            outer_flow(str(tmp_path), number=number)
    flows = [run for run in noted_runs(tmp_path) if run.name == "outer"]
    assert [run.parameters["number"] for run in flows] == [3, 4, 5]


@pytest.mark.slow
def test_prefect_takes_the_runs_over_once(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = output / "prefect.db"
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{database}")
    noted = {run.id: run for run in noted_runs(output)}
    for _ in range(2):
        hand_to_prefect(output)
        with closing(sqlite3.connect(database)) as connection:
            runs = connection.execute(
                "select id, state_type, start_time, end_time from flow_run union all "
                "select id, state_type, start_time, end_time from task_run "
                "where task_key = 'divide'"
            ).fetchall()
            artifacts = connection.execute("select key, flow_run_id from artifact").fetchall()
            calls = connection.execute(
                "select caller.name, flow_run.name, call.end_time = flow_run.end_time "
                "from flow_run join task_run as call "
                "on flow_run.parent_task_run_id = call.id join flow_run as caller "
                "on call.flow_run_id = caller.id"
            ).fetchall()
        assert {run[0]: run[1] for run in runs} == {i: run.state for i, run in noted.items()}
        for run_id, _, started, ended in runs:
            assert started[:19] == f"{noted[run_id].started:%Y-%m-%d %H:%M:%S}"
            assert ended[:19] == f"{noted[run_id].ended:%Y-%m-%d %H:%M:%S}"
        assert sorted(key for key, _ in artifacts) == ["a-page"] * 2 + ["link"] * 2 + ["parts"] * 2
        assert len(calls) == 2
        assert all(a.startswith("outer ") and b.startswith("inner ") and c for a, b, c in calls)


@pytest.mark.slow
def test_the_page_of_a_server_of_its_own_asks_that_server(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = f"sqlite+aiosqlite:///{output / 'prefect.db'}"
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", database)
    monkeypatch.setenv("PREFECT_API_URL", "")  # restored at the end: the server sets it
    with server_with_page(output) as page:
        assert httpx.get(f"{page}/ui-settings").json()["api_url"] == f"{page}/api"
        names = {run["name"] for run in httpx.post(f"{page}/api/flow_runs/filter", json={}).json()}
    assert any(name.startswith(f"outer {output.name} 20") for name in names)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("profiles.toml", '[profiles.mine]\nPREFECT_API_URL = "http://mine/api"\n'),
        (".env", "PREFECT_API_URL=http://mine/api\n"),
        ("prefect.toml", '[api]\nurl = "http://mine/api"\n'),
        ("pyproject.toml", '[tool.prefect.api]\nurl = "http://mine/api"\n'),
    ],
)
def test_only_files_that_may_name_a_server_are_left_to_prefect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str
) -> None:
    from flows.services import prefect_server

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(tmp_path / "profiles.toml"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / file).write_text("[unrelated]\n")
    assert not any(map(prefect_server._may_name_server, prefect_server._settings_files()))
    assert named_server() is None
    (tmp_path / file).write_text(text)
    assert any(map(prefect_server._may_name_server, prefect_server._settings_files()))
