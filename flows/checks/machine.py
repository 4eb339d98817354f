"""What a run needs of the machine: a folder to write to, disk, the store, MLflow, Prefect."""

from __future__ import annotations

import os
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from features.config import config as configs
from features.config.config import Config
from features.config.sources import DatasetTable, Location
from features.errors import UserError
from features.sources.files import existing_files

WAIT_SECONDS = 5
# What a run writes, from runs of the example data sets: tallies and features about as large as the
# uncompressed events, and as much again while they are replaced.
NEED_TIMES, NEED_BYTES = 2.0, 50_000_000
_EXPANSION = {".gz": 8, ".parquet": 4}


def check_writable(output: Path) -> str:
    """The folder in which results will be written.

    Raises
    ------
    UserError
        Where nothing can be written there.
    """
    folder = existing(output)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".stagecast-check-") as file:
            file.write(b"x" * 4096)
            file.flush()
        for name in ("config.yaml", "stagecast.duckdb", "mlflow.db", ".stagecast.lock"):
            if (output / name).exists() and not os.access(output / name, os.W_OK):
                raise PermissionError(13, f"{name} is read-only")
    except OSError as error:
        raise UserError(
            "--output",
            found=f"{folder}: {error.strerror}",
            expected="a folder that can be written to",
            hint="give another --output, or the rights to write there",
        ) from error
    return str(folder)


def existing(output: Path) -> Path:
    """A folder, or the nearest one above it that exists.

    Raises
    ------
    UserError
        Where a file stands in its place.
    """
    folder = next(path for path in (output, *output.parents) if path.exists())
    if not folder.is_dir():
        raise UserError(
            "--output",
            found=f"{folder}, which is a file",
            expected="a folder",
            hint="give another --output",
        )
    return folder


def check_disk(config: Config, output: Path) -> str:
    """Free space, and the rough need of a run.

    Raises
    ------
    UserError
        Where there is less than that.
    """
    need = NEED_BYTES + NEED_TIMES * sum(_bytes(source.events) for source in config.sources)
    free = shutil.disk_usage(existing(output)).free
    if free < need:
        raise UserError(
            "disk",
            found=f"{_gigabytes(free)} free where {output} is",
            expected=f"about {_gigabytes(need)} for these event files",
            hint="make room (old runs under runs/ may go), or give another --output",
        )
    return f"{_gigabytes(free)} free, about {_gigabytes(need)} needed"


def _bytes(location: Location) -> float:
    if isinstance(location, DatasetTable):
        return 50_000_000
    if not isinstance(location, str | tuple):
        return 0  # of a database nobody knows before it is read
    try:
        files = existing_files(location)
    except UserError:
        return 0  # told where the table is opened
    return sum(os.path.getsize(f) * _EXPANSION.get(Path(f).suffix.lower(), 1) for f in files)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.2f} GB"


def check_store(config: Config, output: Path) -> str:
    """The scores store, once it has answered.

    Raises
    ------
    UserError
        Where it cannot be reached or read; without user and password.
    """
    from features.storage import scores_store
    from features.storage.duckdb_store import DuckDBStore

    # The store is found by the config in the folder, which may not have been written yet.
    with tempfile.TemporaryDirectory() as folder:
        configs.dump(config, Path(folder) / "config.yaml")
        place: Any = scores_store.store_of(Path(folder))
    if isinstance(place, DuckDBStore):
        place = DuckDBStore(output)
        if place.there():
            place.runs()
            return f"{scores_store.STORE_FILE} opens"
        return f"{scores_store.STORE_FILE} will be made"
    place.there()
    return "PostgreSQL answers"


def check_tracking(output: Path) -> str:
    """The MLflow tracking store and registry, once they have answered; MLflow is not imported.

    Raises
    ------
    UserError
        Where one is out of reach; without user and password.
    """
    found = {}
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        uri = os.environ.get(variable)
        if uri:
            found[variable] = _answer(uri, variable)
    if not found:
        database = output / "mlflow.db"
        if not database.is_file():
            return "mlflow.db will be made"
        return _answer(f"sqlite:///{database}", "MLflow tracking store")
    return "; ".join(dict.fromkeys(found.values()))


def _answer(uri: str, where: str) -> str:
    """What an MLflow URI answers."""
    scheme = uri.split(":", 1)[0].lower()
    if scheme in ("http", "https"):
        return _web_answer(uri, "/health", where, "an MLflow server")
    if scheme.split("+")[0] not in ("sqlite", "postgresql", "mysql", "mssql"):
        return f"{scheme}: not asked"
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    try:
        waits = {"connect_timeout": WAIT_SECONDS} if scheme.startswith("postgresql") else {}
        engine = create_engine(uri, connect_args=waits)
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
                if scheme.startswith("sqlite"):
                    connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError, ValueError, OSError) as error:
        # The driver's own words may repeat user and password.
        raise _unreachable(where, f"a {scheme} database", error) from error
    return f"{scheme} database answers"


def check_prefect() -> str:
    """The Prefect server that is asked for, once it has answered.

    Raises
    ------
    UserError
        Where it is out of reach; without user and password.
    """
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        return "none asked for: each run brings its own"
    return _web_answer(address, "/health", "PREFECT_API_URL", "a Prefect server")


def _web_answer(address: str, path: str, where: str, what: str) -> str:
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        plain = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        with urllib.request.urlopen(f"{plain}{path}", timeout=WAIT_SECONDS):
            return f"{plain} answers"
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):  # it wants a login, which the run will bring
            return f"{plain} answers"
        raise _unreachable(where, plain, error) from error
    except (OSError, ValueError) as error:
        raise _unreachable(where, what, error) from error


def _unreachable(where: str, what: str, error: Exception) -> UserError:
    code = f" {error.code}" if isinstance(error, urllib.error.HTTPError) else ""
    return UserError(
        where,
        found=f"{what} that does not answer ({type(error).__name__}{code})",
        expected="a server or database that can be reached",
        hint=f"start it, correct {where}, or unset it to use the output folder's own",
    )
