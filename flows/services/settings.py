"""Environment defaults, set before Prefect or MLflow is imported: local, quiet, no telemetry."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

from flows.services.output_folder import require_writable

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
    # A server that goes away in the middle is waited for a quarter of a minute, not for four.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "PREFECT_CLIENT_MAX_RETRIES": "3",
    # Where nobody refuses a connection and nobody answers, PostgreSQL's driver waits two minutes.
    "PGCONNECT_TIMEOUT": "10",
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
    take_logins_out()


def take_logins_out() -> None:
    """Give user and password of a server's address to the variables that are made for them.

    Whoever prints the address, in an error, a log or a record of a run, prints no password then.
    """
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        address, login = _without_login(os.environ.get(name, ""))
        if login is not None:
            user, _, password = login.partition(":")
            os.environ[name] = address
            os.environ.setdefault("MLFLOW_TRACKING_USERNAME", unquote(user))
            os.environ.setdefault("MLFLOW_TRACKING_PASSWORD", unquote(password))
    address, login = _without_login(os.environ.get("PREFECT_API_URL", ""))
    if login is not None:
        os.environ["PREFECT_API_URL"] = address
        os.environ.setdefault("PREFECT_API_AUTH_STRING", unquote(login))


def _without_login(address: str) -> tuple[str, str | None]:
    """An http address without its login, and the login; None where there is none."""
    scheme, sign, rest = address.strip().partition("://")
    # All before the last @: a password that is not encoded may hold a slash.
    login, at, place = rest.rpartition("@")
    if scheme not in ("http", "https") or not at:
        return address, None
    return f"{scheme}{sign}{place}", login


def speak() -> None:
    """Let Prefect log what flows and tasks do; to be called before the defaults are set."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")


def apply(output: Path) -> None:
    """Set the defaults, for commands that write into an output folder.

    Without a Prefect server, its database lies in there.

    Raises
    ------
    UserError
        Where the folder cannot be written to.
    """
    apply_defaults()
    require_writable(output)
    if "PREFECT_API_URL" not in os.environ:
        database = f"sqlite+aiosqlite:///{(output / 'prefect.db').resolve()}"
        os.environ.setdefault("PREFECT_API_DATABASE_CONNECTION_URL", database)
