"""Check the machine: writable output folder, disk space, scores store, MLflow, Prefect."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from features.config.config import Config
from features.config.sources import DatasetTable, Location
from features.errors import UserError
from features.servers import without_login
from features.sources.locations import existing_files
from flows.services.output_folder import require_writable
from flows.services.prefect_server import require_named_server
from models.registry.tracking_server import _DATABASES, _SERVERS, _VARIABLES, check_tracking_server

# What a run writes, from runs of the example data sets: tallies and features about as large as the
# uncompressed events, and as much again while they are replaced.
_NEED_TIMES, _NEED_BYTES = 2.0, 50_000_000
_EXPANSION = {".gz": 8, ".parquet": 4}


def check_writable(output: Path) -> str:
    """Check that results can be written; return the existing folder nearest to `output`.

    Raises
    ------
    UserError
        If the folder cannot be written to.
    """
    folder = _existing_folder(output)
    require_writable(folder)
    for name in ("config.yaml", "stagecast.duckdb", "mlflow.db", ".stagecast.lock"):
        if (output / name).exists() and not os.access(output / name, os.W_OK):
            raise UserError(
                "--output",
                found=f"{folder}: {name} is read-only",
                expected="a folder with writable files",
                hint="give another --output, or the rights to write there",
            )
    return str(folder)


def _existing_folder(output: Path) -> Path:
    """A folder, or its nearest existing parent.

    Raises
    ------
    UserError
        If a file has that path.
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
    """Describe free space and the estimated need of a run.

    Raises
    ------
    UserError
        If free space is less than the estimate.
    """
    needed_bytes = _NEED_BYTES + _NEED_TIMES * sum(
        _bytes(source.events) for source in config.sources
    )
    free_bytes = shutil.disk_usage(_existing_folder(output)).free
    if free_bytes < needed_bytes:
        raise UserError(
            "disk",
            found=f"{_gigabytes(free_bytes)} free where {output} is",
            expected=f"about {_gigabytes(needed_bytes)} for these event files",
            hint="free space (old runs under runs/ can be deleted), or give another --output",
        )
    return f"{_gigabytes(free_bytes)} free, about {_gigabytes(needed_bytes)} needed"


def _bytes(location: Location) -> float:
    if isinstance(location, DatasetTable):
        return 50_000_000
    if not isinstance(location, str | tuple):
        return 0  # the size of a database table is unknown
    try:
        files = existing_files(location)
    except UserError:
        return 0  # reported when the table is opened
    return sum(os.path.getsize(f) * _EXPANSION.get(Path(f).suffix.lower(), 1) for f in files)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.2f} GB"


def check_store(config: Config, output: Path) -> str:
    """Describe the scores store, once it has answered.

    Raises
    ------
    UserError
        If it cannot be reached or read; the message contains no user and password.
    """
    from features.config.store_location import named_store_url
    from features.storage import scores_store
    from features.storage.duckdb_store import DuckDBStore

    # The folder's own config, by which the store is found later, may not have been written yet.
    scores_database = scores_store.store_at(output, named_store_url(output, config.store))
    if isinstance(scores_database, DuckDBStore):
        if scores_database.there():
            scores_database.runs()
            return f"{scores_store.STORE_FILE} opens"
        return f"{scores_store.STORE_FILE} will be created"
    scores_database.there()
    return "PostgreSQL answers"


def check_tracking(output: Path) -> str:
    """Describe the MLflow tracking store and registry, once they have answered.

    MLflow is not imported.

    Raises
    ------
    UserError
        If one cannot be reached; the message contains no user and password.
    """
    check_tracking_server()
    answers = []
    for variable in _VARIABLES:
        uri = os.environ.get(variable, "")
        if uri.startswith("sqlite:"):
            _open_sqlite(uri, variable)
        if uri:
            asked = uri.startswith((*_SERVERS, *_DATABASES, "sqlite:"))
            answers.append(f"{variable} answers" if asked else f"{variable}: not checked")
    if answers:
        return "; ".join(answers)
    database = output / "mlflow.db"
    if not database.is_file():
        return f"{database.name} will be created"
    _open_sqlite(f"sqlite:///{database}", "MLflow tracking store")
    return f"{database.name} opens"


def _open_sqlite(uri: str, where: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(uri)
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
        finally:
            engine.dispose()
    except (SQLAlchemyError, ValueError, OSError) as error:
        raise UserError(
            where,
            found=f"an SQLite database that does not open ({type(error).__name__})",
            expected="a database that can be read",
            hint=f"correct {where}, or unset it to use the output folder's own",
        ) from error


def check_prefect() -> str:
    """Describe the Prefect server in ``PREFECT_API_URL``, once it has answered.

    A server of the user's Prefect profile is not checked: reading it imports Prefect.

    Raises
    ------
    UserError
        If it cannot be reached; the message contains no user and password.
    """
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        return "none named: each run starts its own"
    require_named_server()
    return f"{without_login(address)} answers"
