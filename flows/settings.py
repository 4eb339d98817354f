"""Environment defaults, set before Prefect or MLflow is imported: local, quiet, no telemetry."""

from __future__ import annotations

import os
from pathlib import Path

# Each is a default: what the user has set in the environment stays.
DEFAULTS = {
    "DO_NOT_TRACK": "1",
    # The linear algebra here is many tiny problems, on which more threads only wait for another:
    # measured on two cores, eight times the processor time for the same result.
    "OPENBLAS_NUM_THREADS": "1",
    # LightGBM's threads otherwise spin while they wait, which on a shared machine costs more
    # than it saves.
    "OMP_WAIT_POLICY": "passive",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    # Prefect would print the traceback of a user error (a defect keeps its own), and its server one
    # when the process ends before the last batch of its records is written.
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_CLI_PROMPT": "false",
    # The recorder writes to SQLite; in batches it does not slow the tasks down.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}


def apply_defaults() -> None:
    """Set the defaults alone, for commands that fit without a flow."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def speak() -> None:
    """Let Prefect log what flows and tasks do; to be called before the defaults are set."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")


def apply(output: Path) -> None:
    """Set the defaults; without a Prefect server, its database lies in the output folder."""
    apply_defaults()
    if "PREFECT_API_URL" not in os.environ:
        output.mkdir(parents=True, exist_ok=True)
        database = f"sqlite+aiosqlite:///{(output / 'prefect.db').resolve()}"
        os.environ.setdefault("PREFECT_API_DATABASE_CONNECTION_URL", database)
