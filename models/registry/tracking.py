"""Runs, their parameters, figures and tables in MLflow, through its client and without globals."""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from matplotlib.figure import Figure
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from features.config.secret_values import hidden
from features.errors import UserError
from features.servers import without_login
from features.storage.csv_files import csv_content
from models.registry.tracking_server import check_tracking_server

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
# MLflow's own limits: a batch, and a parameter's text.
_BATCH = 100
_PARAM_LENGTH = 6000

# The migrations of a new database are told line by line otherwise.
logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Run:
    """An MLflow run that is being written; made by `Tracking.run`.

    Attributes
    ----------
    tracking
        Where the run is kept.
    run_id
        MLflow's identifier of the run.
    started
        Milliseconds since 1970, by MLflow's clock; the time stamp of every figure.
    """

    tracking: Tracking
    run_id: str
    started: int

    def params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; a text longer than MLflow keeps is cut."""
        rows = [Param(key, str(value)[:_PARAM_LENGTH]) for key, value in params.items()]
        for first in range(0, len(rows), _BATCH):
            self.tracking.client.log_batch(self.run_id, params=rows[first : first + _BATCH])

    def metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log figures; a figure that is not finite is left out, since databases refuse it."""
        finite = {key: float(value) for key, value in metrics.items() if _is_finite(value)}
        rows = [Metric(key, value, self.started, step) for key, value in finite.items()]
        for first in range(0, len(rows), _BATCH):
            self.tracking.client.log_batch(self.run_id, metrics=rows[first : first + _BATCH])

    def tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags of the run."""
        rows = [RunTag(key, str(value)) for key, value in tags.items()]
        self.tracking.client.log_batch(self.run_id, tags=rows)

    def figure(self, figure: Figure, name: str) -> None:
        """Store `figure` as ``figures/NAME.png``."""
        self.tracking.client.log_figure(self.run_id, figure, f"figures/{name}.png")

    def table(self, frame: pd.DataFrame, name: str) -> None:
        """Store aggregated numbers as ``tables/NAME.csv``; never rows of customers."""
        self.text(csv_content(frame).content.decode(), f"tables/{name}.csv")

    def text(self, text: str, path: str) -> None:
        """Store a text under `path` among the run's artifacts."""
        self.tracking.client.log_text(self.run_id, text, path)

    def mapping(self, content: Mapping[str, Any], path: str) -> None:
        """Store JSON or YAML, by the ending of `path`, among the run's artifacts."""
        self.tracking.client.log_dict(self.run_id, dict(content), path)

    def folder(self, path: Path, name: str) -> None:
        """Store a folder's files under `name` among the run's artifacts."""
        self.tracking.client.log_artifacts(self.run_id, str(path), name)


@dataclass(frozen=True)
class Tracking:
    """A tracking store and an experiment in it; made by `start`.

    Attributes
    ----------
    uri
        Tracking URI; the registry's too, unless ``MLFLOW_REGISTRY_URI`` names another. That of a
        database may hold a password, and is never told.
    experiment_id
        The experiment that new runs belong to.
    """

    uri: str = field(repr=False)
    experiment_id: str

    @property
    def client(self) -> mlflow.MlflowClient:
        """MLflow's client of this store."""
        return mlflow.MlflowClient(tracking_uri=self.uri)

    def existing(self, run_id: str) -> Run:
        """A run that was made before, to write more to it or to nest under it."""
        return Run(self, run_id, self.client.get_run(run_id).info.start_time)

    def download(self, run_id: str, name: str, folder: Path) -> Path:
        """Copy a run's artifacts under `name` into `folder`; returns where they lie."""
        folder.mkdir(parents=True, exist_ok=True)
        return Path(self.client.download_artifacts(run_id, name, str(folder)))

    def stored_json(self, run_id: str, name: str) -> dict[str, Any] | None:
        """JSON among a run's artifacts; None where there is none of that name."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = self.download(run_id, name, Path(folder))
                content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            except (MlflowException, OSError):
                return None
        return content

    def page(self, run_id: str) -> tuple[str, str]:
        """Address of a run's page, and what must be started for it to answer (or nothing)."""
        path = f"#/experiments/{self.experiment_id}/runs/{run_id}"
        if self.uri.startswith(("http:", "https:")):
            return f"{without_login(self.uri).rstrip('/')}/{path}", ""
        start = "mlflow ui --backend-store-uri"
        shown = self.uri if self.uri.startswith("sqlite:") else "the tracking database"
        return f"http://127.0.0.1:5000/{path}", f"Start `{start} {shown}` first."

    @contextmanager
    def run(
        self, name: str, *, parent: Run | None = None, tags: Mapping[str, Any] | None = None
    ) -> Iterator[Run]:
        """Open a run, nested under `parent` where given, and close it as finished or failed."""
        marks = {key: str(value) for key, value in (tags or {}).items()}
        if parent is not None:
            marks["mlflow.parentRunId"] = parent.run_id
        made = self.client.create_run(self.experiment_id, tags=marks, run_name=name)
        run = Run(self, made.info.run_id, made.info.start_time)
        try:
            yield run
        except BaseException as error:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            self.client.set_terminated(run.run_id, status)
            raise
        self.client.set_terminated(run.run_id, "FINISHED")


def start(output: Path, *, experiment: str = "stagecast") -> Tracking:
    """Open the tracking store, creating database and experiment where they do not exist.

    Parameters
    ----------
    output
        Folder of the project's results. Unless ``MLFLOW_TRACKING_URI`` names a store, it is
        ``mlflow.db`` in there; where no server keeps artifacts, they lie in ``mlartifacts``.
    experiment
        Name of the MLflow experiment, commonly the config's name.

    Raises
    ------
    UserError
        Where the store cannot be opened.
    """
    output = output.resolve()
    check_tracking_server()
    uri = tracking_uri(output)
    try:
        output.mkdir(parents=True, exist_ok=True)
        # Several processes that create one database at once corrupt it for good.
        with _created_once(output):
            client = mlflow.MlflowClient(tracking_uri=uri)
            found = client.get_experiment_by_name(experiment)
            if found is not None:
                return Tracking(uri, found.experiment_id)
            location = None if _is_server(uri) else str(output / ARTIFACTS)
            return Tracking(uri, client.create_experiment(experiment, artifact_location=location))
    except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
        raise UserError(
            "MLflow tracking store",
            found=f"{without_login(uri)}, which does not open: "
            f"{hidden((str(error).splitlines() or [''])[0])}",
            expected="a reachable server, or a database that MLflow can read and write",
            hint=f"check MLFLOW_TRACKING_URI, or unset it to use {output / DATABASE}",
        ) from error


def tracking_uri(output: Path) -> str:
    """Return the URI that ``MLFLOW_TRACKING_URI`` names, else the database in `output`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{output.resolve() / DATABASE}"


def _is_server(uri: str) -> bool:
    """Whether a server behind `uri` decides where artifacts are kept."""
    return not uri.startswith(("sqlite:", "postgresql", "mysql", "mssql"))


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


@contextmanager
def _created_once(output: Path) -> Iterator[None]:
    """Let one process at a time create or migrate the database."""
    if (output / DATABASE).is_file() and not os.access(output, os.W_OK):
        yield  # a folder that is read only: nobody creates or migrates anything there
        return
    with (output / ".mlflow.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # the lock goes with the file
