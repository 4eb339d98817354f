"""Pages of MLflow and Prefect in a browser, on real servers: what their users look for is there.

``STAGECAST_SCREENSHOTS=FOLDER`` keeps a picture of each page.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest

from flows.services.prefect_server import server_with_page
from tests.flows.report.conftest import browser as browser
from tests.flows.shop import Shop, stagecast
from tests.local_servers import local_server

pytestmark = pytest.mark.browser
MINUTE = 60_000
QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
NOWHERE = "postgresql://u@127.0.0.1:9/nothing"
# One part after the other, as a worker runs them.
NIGHT = "import sys; from flows.deployments import nightly_scoring as f; f(sys.argv[1], 1.0)"


class Site:
    """Pages of one server, in a browser that reaches nothing else."""

    def __init__(self, browser: Any, address: str) -> None:
        self.address = address
        self.context = browser.new_context(viewport={"width": 1500, "height": 1000})
        self.context.route("**/*", self._only_this_server)
        self.page = self.context.new_page()
        self.page.set_default_timeout(2 * MINUTE)

    def _only_this_server(self, route: Any) -> None:
        if route.request.url.startswith((self.address, "data:", "blob:")):
            route.continue_()
        else:
            route.abort()

    def shows(self, path: str, *texts: str, name: str) -> None:
        """Wait until a page shows all texts; each that never comes fails the test by itself."""
        self.page.goto(self.address + path)
        for text in texts:
            self.page.wait_for_function(
                # Some signs between words are spaces at which no line breaks.
                "text => document.body.innerText.replace(/\\s/g, ' ').toLowerCase().includes(text)",
                arg=text.lower(),
            )
        if folder := os.environ.get("STAGECAST_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.wait_for_timeout(1500)  # pictures and charts move into their places
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.fixture(scope="module")
def output(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "out"
    shutil.copytree(shop.output, folder)
    return folder


@pytest.fixture(scope="module")
def registry(browser: Any, output: Path) -> Iterator[Site]:
    """MLflow's pages of the shop."""
    store = f"sqlite:///{output / 'mlflow.db'}"
    with local_server(
        "mlflow", "server", "--backend-store-uri", store, "--workers", "1",
        health="/health", env=QUIET, folder=output.parent,
    ) as server:  # fmt: skip
        yield Site(browser, server.address)


def training(site: Site) -> tuple[str, str]:
    """Experiment and run of the shop's training."""
    client = mlflow.MlflowClient(site.address)
    experiment = client.get_experiment_by_name("shop")
    assert experiment is not None
    (run,) = client.search_runs(
        [experiment.experiment_id], "tags.kind = 'train' and tags.promotion != ''"
    )
    return experiment.experiment_id, run.info.run_id


def test_mlflow_lists_the_training_with_its_headline_metrics(registry: Site) -> None:
    experiment, _ = training(registry)
    registry.shows(
        f"/#/experiments/{experiment}/runs?workflowType=machine_learning&compareRunsMode=CHART",
        "Trainings, back-tests and monitoring of shop", "train shop 2021-03-01",
        "churn/best_baseline", "churn/served", "churn/served/auc",
        name="mlflow-runs",
    )  # fmt: skip


def test_mlflow_shows_the_run_with_parameters_metrics_data_and_artifacts(registry: Site) -> None:
    experiment, run = training(registry)
    page = f"/#/experiments/{experiment}/runs/{run}"
    registry.shows(
        page,
        "train shop 2021-03-01", "stagecast scorer", "kind", "promoted", "shop transition (",
        "Training", "stagecast-scorer", "stage", "clv/served/mae", "churn.recipe", "seed",
        name="mlflow-run",
    )  # fmt: skip
    registry.shows(
        f"{page}/system-metrics", "peak_memory_megabytes", "processor_seconds", name="mlflow-system"
    )
    registry.shows(
        f"{page}/artifacts", "tables", "monitoring", "promotion.json", "config.json", "runs",
        name="mlflow-artifacts",
    )  # fmt: skip


def test_mlflow_shows_the_registered_models_with_descriptions_and_the_champion(
    registry: Site,
) -> None:
    registry.shows(
        "/#/models",
        "stagecast-scorer", "@ champion", "stagecast-churn", "stagecast-clv", "stagecast-stage",
        name="mlflow-models",
    )  # fmt: skip
    registry.shows(
        "/#/models/stagecast-scorer",
        "Predicts the whole scored row of a customer", "Version 1", "promoted_because",
        "@ champion",
        name="mlflow-model",
    )  # fmt: skip
    registry.shows(
        "/#/models/stagecast-scorer/versions/1",
        "Tested on the gate", "champion", "customer_id", "config",
        name="mlflow-version",
    )  # fmt: skip


@pytest.fixture(scope="module")
def nights(browser: Any, output: Path) -> Iterator[tuple[Site, dict[str, Any], dict[str, Any]]]:
    """Prefect's pages, a training by command, a night that worked and one without a database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        database = f"sqlite+aiosqlite:///{output / 'prefect.db'}"
        patch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", database)
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        patch.setenv("PREFECT_LOGGING_TO_API_ENABLED", "true")
        patch.setenv("PREFECT_LOGGING_LEVEL", "INFO")
        patch.setenv("PREFECT_TASKS_DEFAULT_RETRY_DELAY_SECONDS", "1")
        with server_with_page(output) as address:
            assert stagecast("features", "--output", output).returncode == 0
            command = [sys.executable, "-c", NIGHT, str(output)]
            assert subprocess.run(command, timeout=600, check=False).returncode == 0
            patch.setenv("STAGECAST_STORE_URL", NOWHERE)
            assert subprocess.run(command, timeout=600, check=False).returncode == 1
            runs = httpx.post(f"{address}/api/flow_runs/filter", json={}).json()
            named = {(run["name"].split(" shop ")[0], run["state_type"]): run for run in runs}
            yield (
                Site(browser, address),
                named["nightly scoring", "COMPLETED"],
                named["nightly scoring", "FAILED"],
            )


def test_prefect_lists_runs_by_data_set_and_date_with_tags(
    nights: tuple[Site, dict[str, Any], dict[str, Any]],
) -> None:
    site, worked, failed = nights
    site.shows(
        "/runs",
        worked["name"], failed["name"], "score shop 20", "target shop 20", "features shop 20",
        "stagecast", "Failed", "Completed",
        name="prefect-runs",
    )  # fmt: skip
    assert worked["name"].startswith("nightly scoring shop 20")


def test_prefect_shows_a_run_with_its_log_and_artifacts(
    nights: tuple[Site, dict[str, Any], dict[str, Any]],
) -> None:
    site, worked, _ = nights
    site.shows(
        f"/runs/flow-run/{worked['id']}", "published 2", "audience members", name="prefect-run"
    )
    site.shows(
        "/artifacts", "summary", "audiences", "scorer-in-mlflow", "customers-scored", "progress",
        name="prefect-artifacts",
    )  # fmt: skip
    artifacts = httpx.post(f"{site.address}/api/artifacts/filter", json={}).json()
    shares = [float(each["data"]) for each in artifacts if each["key"] == "customers-scored"]
    assert set(shares) == {100.0}


def test_prefect_shows_the_retries_and_the_error_of_a_failed_run(
    nights: tuple[Site, dict[str, Any], dict[str, Any]],
) -> None:
    site, _, failed = nights
    site.shows(
        f"/runs/flow-run/{failed['id']}",
        "Failed", "Retry 1/2", "Retry 2/2", "a PostgreSQL server that can be reached",
        name="prefect-failed",
    )  # fmt: skip
    (part,) = httpx.post(
        f"{site.address}/api/task_runs/filter",
        json={"task_runs": {"flow_run_id": {"any_": [failed["id"]]}}},
    ).json()
    assert part["run_count"] == 3
    site.shows(
        f"/runs/task-run/{part['id']}", "check what the config names", "Run Count", "Retries",
        name="prefect-retries",
    )  # fmt: skip
