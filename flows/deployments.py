"""Deployed flows: each waits for its output folder, loads its secrets and logs every step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.services import settings

settings.apply_defaults()  # before numpy is imported: how many threads it may start

from prefect import flow, get_run_logger  # noqa: E402

from features.storage.output_lock import exclusive  # noqa: E402
from features.table.prediction_targets import TASK_NAMES  # noqa: E402
from flows.backtest import backtest_flow, rolling_origins  # noqa: E402
from flows.checks.check import refuse_problems  # noqa: E402
from flows.features import features_flow  # noqa: E402
from flows.monitor import monitor_flow  # noqa: E402
from flows.promote import promote_flow  # noqa: E402
from flows.score import nightly_flow  # noqa: E402
from flows.services import console  # noqa: E402
from flows.services.prefect_names import run_name  # noqa: E402
from flows.services.prefect_secrets import secret_variables  # noqa: E402
from flows.services.steps import task  # noqa: E402
from flows.services.workspace import prepare_workspace  # noqa: E402
from flows.train import train_flow  # noqa: E402

_WAIT_MINUTES = 360.0
# Names of Prefect's Secret blocks by environment variable: names only, never a value.
Secrets = dict[str, str] | None


@task(name="check what the config names")
def check_before(output: str) -> None:
    """Refuse all problems of data and services at once; a service that is away is asked again."""
    refuse_problems(Path(output))


@contextmanager
def _unattended(
    folder: str,
    name: str,
    wait_minutes: float,
    secrets: Mapping[str, str] | None,
    *,
    check: bool = False,
) -> Iterator[str]:
    """Lock the output folder, load secrets from Prefect; send console lines to the run's log.

    With `check`, check everything that the config names before the step begins.
    """
    logger = get_run_logger()
    output = Path(folder).absolute()
    console.listeners.append(logger.info)
    try:
        prepare_workspace(output, None, ())  # refuses a folder that nothing was ever run in
        with (
            exclusive(output, name, wait_seconds=60 * wait_minutes),
            secret_variables(secrets or {}),
        ):
            if check:
                check_before(str(output))
            yield str(output)
    finally:
        console.listeners.remove(logger.info)


@flow(name="nightly scoring", flow_run_name=run_name)
def nightly_scoring(
    folder: str, wait_minutes: float = _WAIT_MINUTES, secrets: Secrets = None
) -> dict[str, Any]:
    """Read new data, score all customers, plan audiences, publish both atomically."""
    with _unattended(folder, "nightly scoring", wait_minutes, secrets, check=True) as output:
        return nightly_flow(output)


@flow(name="weekly training", flow_run_name=run_name)
def weekly_training(
    folder: str, wait_minutes: float = _WAIT_MINUTES, secrets: Secrets = None
) -> dict[str, Any]:
    """Update features, train, and promote the scorer if it passes."""
    with _unattended(folder, "weekly training", wait_minutes, secrets, check=True) as output:
        counts = features_flow(output)
        return {"features": counts, "training": train_flow(output), **promote_flow(output)}


@flow(name="daily monitoring", flow_run_name=run_name)
def daily_monitoring(
    folder: str, wait_minutes: float = _WAIT_MINUTES, secrets: Secrets = None
) -> dict[str, Any]:
    """Monitor the published run; notify of alarms, also as a Prefect event."""
    with _unattended(folder, "daily monitoring", wait_minutes, secrets) as output:
        monitor_result = monitor_flow(output)
        return {name: monitor_result[name] for name in ("snapshot_at", "summary", "alarms", "told")}


@flow(name="monthly back-test", flow_run_name=run_name)
def monthly_backtest(
    folder: str,
    wait_minutes: float = _WAIT_MINUTES,
    origins: int = 3,
    secrets: Secrets = None,
) -> dict[str, Any]:
    """Measure every model and baseline at the latest `origins` dates whose labels have matured."""
    with _unattended(folder, "monthly back-test", wait_minutes, secrets) as output:
        features_flow(output)
        return backtest_flow(output, rolling_origins(output, origins), list(TASK_NAMES))
