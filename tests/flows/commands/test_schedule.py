"""prefect.yaml on a real Prefect server: deployed to a worker, and served by one process."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from features.errors import UserError
from features.storage.output_lock import exclusive
from features.storage.scores_store import published_runs, read_current
from flows.commands.schedule import deployments_file, read_deployments
from tests.flows.shop import Shop, shared_prefect, stagecast

ROOT = Path(__file__).parents[3]
NIGHTLY = "nightly scoring/nightly"
# So that a worker and a serving process look for runs at once.
EAGER = {
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    "PREFECT_LOGGING_TO_API_ENABLED": "true",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}


def environment() -> dict[str, str]:
    return {**os.environ, **EAGER, **shared_prefect(), "PYTHONPATH": str(ROOT)}


def ask(path: str, **content: Any) -> Any:
    """What the Prefect server answers to a question."""
    address = f"{shared_prefect()['PREFECT_API_URL']}/{path}"
    for _ in range(60):
        method = "POST" if content else "GET"
        answer = httpx.request(method, address, json=content or None, timeout=120)
        if answer.status_code != 503:  # its database is locked at this moment
            break
        time.sleep(1)
    answer.raise_for_status()
    return answer.json()


def prefect(*arguments: str, folder: Path) -> str:
    command = [sys.executable, "-m", "prefect", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that stays up while the block runs, and is ended as a service manager does it."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment(),
        stdout=(folder / "service.log").open("wb"),
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:  # Prefect's worker may wait for itself for ever
            process.kill()
            process.wait()


def wait_for(what: str, found: Any, *, seconds: float = 600) -> Any:
    end = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.5)
    return answer


def started(deployment: str) -> str:
    """Id of a run that is asked for now."""
    found = ask(f"deployments/name/{deployment.replace(' ', '%20')}")
    made = ask(f"deployments/{found['id']}/create_flow_run", state={"type": "SCHEDULED"})
    return str(made["id"])


def finished(run_id: str) -> dict[str, Any]:
    """The run, once it has ended."""

    def ended() -> dict[str, Any] | None:
        run: dict[str, Any] = ask(f"flow_runs/{run_id}")
        return run if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

    return dict(wait_for("end of the run", ended))


@pytest.fixture
def place(shop: Shop, tmp_path: Path) -> Path:
    """A working directory with prefect.yaml and the output folder of a finished run."""
    shutil.copyfile(ROOT / "prefect.yaml", tmp_path / "prefect.yaml")
    shutil.copytree(shop.output, tmp_path / "outputs")
    return tmp_path


@pytest.mark.services
def test_the_file_is_deployed_and_a_worker_runs_it(place: Path) -> None:
    prefect("work-pool", "create", "stagecast", "--type", "process", "--overwrite", folder=place)
    told = prefect("--no-prompt", "deploy", "--all", folder=place)
    for one in yaml.safe_load((place / "prefect.yaml").read_text())["deployments"]:
        assert one["name"] in told
    deployment = ask(f"deployments/name/{NIGHTLY.replace(' ', '%20')}")
    assert deployment["schedules"][0]["schedule"]["cron"] == "30 3 * * *"
    assert deployment["schedules"][0]["schedule"]["timezone"] == "UTC"
    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    before = read_current(place / "outputs").run
    with running("prefect", "worker", "start", "--pool", "stagecast", folder=place):
        # Asked for twice at once: the second waits for the first, and both get to their end.
        runs = [started(NIGHTLY), started(NIGHTLY)]
        ended = [finished(run) for run in runs]
    log = (place / "service.log").read_text(errors="replace")
    assert [run["state_type"] for run in ended] == ["COMPLETED", "COMPLETED"], log
    first, second = sorted(ended, key=lambda run: str(run["start_time"]))
    assert first["end_time"] <= second["start_time"]
    after = read_current(place / "outputs")
    assert after.run.run_id != before.run_id
    assert after.run.customers == after.scores["customer_id"].nunique() == before.customers
    assert len(published_runs(place / "outputs")) == 3
    shown = artifacts_of(runs[0])
    assert {"summary", "audiences", "scorer-in-mlflow"} <= set(shown)
    assert shown["summary"]["type"] == "markdown"
    assert shown["audiences"]["type"] == "table"
    assert "/runs/" + str(after.run.mlflow_run_id) in shown["scorer-in-mlflow"]["data"]
    logs = ask("logs/filter", logs={"flow_run_id": {"any_": [runs[0]]}})
    assert any("published" in each["message"] for each in logs)
    # Whole words: the ids of artifacts, hexadecimal, may hold the signs of a customer's id.
    customers = "|".join(after.scores["customer_id"])
    assert re.search(rf"\b(?:{customers})\b", json.dumps(shown)) is None


def artifacts_of(run_id: str) -> dict[str, Any]:
    """Artifacts of a run and of the flows and tasks within it, by key."""
    own = [run_id, *inner(run_id)]
    found = ask("artifacts/filter", artifacts={"flow_run_id": {"any_": own}})
    return {each["key"]: each for each in found}


def inner(run_id: str) -> set[str]:
    """Flow runs within a run, at any depth."""
    tasks = ask("task_runs/filter", task_runs={"flow_run_id": {"any_": [run_id]}})
    ids = [t["id"] for t in tasks]
    flows = ask("flow_runs/filter", flow_runs={"parent_task_run_id": {"any_": ids}}) if ids else []
    found = {f["id"] for f in flows}
    return found.union(*(inner(each) for each in found)) if found else found


@pytest.mark.services
def test_one_process_serves_the_file(place: Path) -> None:
    arguments = ("flows.commands.cli", "schedule", "--output", "outputs", "--only", "nightly")
    before = read_current(place / "outputs").run
    with running(*arguments, folder=place) as process:
        log = place / "service.log"
        wait_for(
            "service",
            lambda: process.poll() is not None or b"waiting" in log.read_bytes(),
        )
        assert process.poll() is None, log.read_text(errors="replace")
        wait_for("deployment", lambda: _served(place))
        run = finished(started(NIGHTLY))
    assert run["state_type"] == "COMPLETED", log.read_text(errors="replace")
    assert run["parameters"]["folder"] == str(place / "outputs")
    assert run["name"].startswith("nightly scoring shop 20")
    assert {"stagecast", "shop"} <= set(run["tags"])
    assert read_current(place / "outputs").run.run_id != before.run_id


def _served(place: Path) -> bool:
    try:
        found = ask(f"deployments/name/{NIGHTLY.replace(' ', '%20')}")
    except httpx.HTTPStatusError:
        return False
    return bool(found["parameters"].get("folder") == str(place / "outputs"))


def test_every_deployment_names_a_flow_and_parameters_that_it_takes() -> None:
    from prefect.flows import load_flow_from_entrypoint

    declared = read_deployments(deployments_file())
    assert [one["name"] for one in declared] == sorted(
        {one["name"] for one in declared}, key=[one["name"] for one in declared].index
    )
    for one in declared:
        flow = load_flow_from_entrypoint(one["entrypoint"], use_placeholder_flow=False)
        flow.validate_parameters(one["parameters"])
        assert one["schedules"]
        assert all({"cron", "timezone"} <= set(each) for each in one["schedules"])
        assert one["concurrency_limit"]["limit"] == 1


def test_an_unknown_deployment_and_a_folder_without_a_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nightly"):
        read_deployments(deployments_file(), ["weekly"])
    done = stagecast("schedule", "--output", tmp_path)
    assert done.returncode == 2
    assert "stagecast run" in done.stderr


def test_one_who_waits_gets_the_folder_when_it_is_free(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from features.storage.output_lock import exclusive\n"
        "with exclusive(Path(sys.argv[1]), 'first'):\n"
        "    print('held', flush=True); sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="first"), exclusive(tmp_path, "b", wait_seconds=0.6):
            pass
        assert holder.stdin is not None
        holder.stdin.write("\n")
        holder.stdin.flush()
        with exclusive(tmp_path, "second", wait_seconds=60):
            assert "second" in (tmp_path / ".stagecast.lock").read_text()
