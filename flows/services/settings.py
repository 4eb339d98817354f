"""Set environment defaults before Prefect or MLflow is imported: local, quiet, no telemetry."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

from flows.services.output_folder import require_writable

# Defaults only: variables that the user has set stay as they are.
_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    # The linear algebra here consists of many tiny problems, in which threads mostly wait for each
    # other: measured on two cores, eight times the processor time for the same result.
    "OPENBLAS_NUM_THREADS": "1",
    # LightGBM's threads spin while they wait by default, which costs more than it saves on a
    # shared machine.
    "OMP_WAIT_POLICY": "passive",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # If a server disappears during a run, wait 15 seconds for it instead of four minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "PREFECT_CLIENT_MAX_RETRIES": "3",
    # If packets are dropped silently, PostgreSQL's driver waits two minutes by default.
    "PGCONNECT_TIMEOUT": "10",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    # Else Prefect prints the traceback of a user error (a defect still shows its own), and its
    # server prints one if the process ends before the last batch of records is written.
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_CLI_PROMPT": "false",
    # The recorder writes to SQLite; batches keep it from slowing the tasks down.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}


def apply_defaults() -> None:
    """Set the defaults only, for commands without an output folder to write to."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    move_logins_to_variables()


def move_logins_to_variables() -> None:
    """Move user and password from server addresses to the variables made for them.

    Errors, logs and run records that print the address then contain no password.
    """
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        address, login = _without_login(os.environ.get(variable, ""))
        if login is not None:
            user, _, password = login.partition(":")
            os.environ[variable] = address
            os.environ.setdefault("MLFLOW_TRACKING_USERNAME", unquote(user))
            os.environ.setdefault("MLFLOW_TRACKING_PASSWORD", unquote(password))
    address, login = _without_login(os.environ.get("PREFECT_API_URL", ""))
    if login is not None:
        os.environ["PREFECT_API_URL"] = address
        os.environ.setdefault("PREFECT_API_AUTH_STRING", unquote(login))


def _without_login(address: str) -> tuple[str, str | None]:
    """An http address without its login, and the login (None without one)."""
    scheme, separator, remainder = address.strip().partition("://")
    # The login ends at the last @: a password that is not encoded may contain a slash.
    login, at_sign, location = remainder.rpartition("@")
    if scheme not in ("http", "https") or not at_sign:
        return address, None
    return f"{scheme}{separator}{location}", login


def enable_prefect_logging() -> None:
    """Let Prefect log flows and tasks; call this before the defaults are set."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")


def apply_settings(output: Path) -> None:
    """Set the defaults for commands that write into an output folder.

    Unless a Prefect server is named, Prefect's database lies in that folder.

    Raises
    ------
    UserError
        If the folder cannot be written to.
    """
    apply_defaults()
    require_writable(output)
    if "PREFECT_API_URL" not in os.environ:
        database = f"sqlite+aiosqlite:///{(output / 'prefect.db').resolve()}"
        os.environ.setdefault("PREFECT_API_DATABASE_CONNECTION_URL", database)
