"""Write runs with parameters, figures and tables to MLflow, without its global state."""

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
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.types import ColSpec, DataType, Schema
from sqlalchemy.exc import SQLAlchemyError

from features.config.secret_values import hidden
from features.errors import UserError
from features.servers import without_login
from features.storage.csv_files import csv_content
from models.registry.logged_data import LoggedData
from models.registry.tracking_server import check_tracking_server

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DATABASE = "mlflow.db"
_ARTIFACTS = "mlartifacts"
# For experiments of this kind MLflow shows its pages on models, not those on language models.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
_EXPERIMENT_DESCRIPTION = """\
Trainings, back-tests and monitoring of **{name}**. Compare trainings in the chart view: \
`task/served/...` is the recipe that the scorer uses, \
`task/best_baseline/...` the best simple method. The alias `champion` of the registered model \
`stagecast-scorer` is the version that scores.
"""
# Limits of MLflow: entries in a batch, length of a parameter.
_BATCH = 100
_PARAM_LENGTH = 6000

# Without this, the migrations of a new database are logged line by line.
logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Run:
    """An open MLflow run; created by `Tracking.run`.

    Attributes
    ----------
    tracking
        Tracking store of the run.
    run_id
        MLflow's identifier of the run.
    started
        Milliseconds since 1970, by MLflow's clock; the time stamp of all figures.
    """

    tracking: Tracking
    run_id: str
    started: int

    def params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; texts longer than MLflow's limit are cut."""
        parameters = [Param(key, str(value)[:_PARAM_LENGTH]) for key, value in params.items()]
        for first in range(0, len(parameters), _BATCH):
            self.tracking.client.log_batch(self.run_id, params=parameters[first : first + _BATCH])

    def metrics(
        self, metrics: Mapping[str, float], step: int = 0, *, data: LoggedData | None = None
    ) -> None:
        """Log finite figures; databases reject others.

        Parameters
        ----------
        metrics
            Values by name.
        step
            Place on the axis of a metric with several values.
        data
            What the model that this run logged was measured on: MLflow shows the figures with the
            model and the data set, too.
        """
        model_id = None if data is None else self._model_id()
        measured_on = (None, None) if data is None else (data.name, data.digest)
        finite_metrics = [
            Metric(key, float(value), self.started, step, model_id, *measured_on)
            for key, value in metrics.items()
            if _is_finite(value)
        ]
        for first in range(0, len(finite_metrics), _BATCH):
            self.tracking.client.log_batch(
                self.run_id, metrics=finite_metrics[first : first + _BATCH]
            )

    def _model_id(self) -> str | None:
        """Id of the model that was logged last with the run; None without one."""
        outputs = self.tracking.client.get_run(self.run_id).outputs
        models = [] if outputs is None else outputs.model_outputs
        return models[-1].model_id if models else None

    def tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags of the run."""
        run_tags = [RunTag(key, str(value)) for key, value in tags.items()]
        self.tracking.client.log_batch(self.run_id, tags=run_tags)

    def describe(self, markdown: str) -> None:
        """Set the description that MLflow shows on top of the run's page."""
        self.tags({"mlflow.note.content": markdown})

    def data(self, *data_sets: LoggedData) -> None:
        """Name data sets that the run used: digest, columns and counts, no place and no row."""
        inputs = [
            DatasetInput(_dataset(each), [InputTag("mlflow.data.context", each.context)])
            for each in data_sets
        ]
        self.tracking.client.log_inputs(self.run_id, inputs)

    def figure(self, figure: Figure, name: str) -> None:
        """Store `figure` as ``figures/NAME.png``."""
        self.tracking.client.log_figure(self.run_id, figure, f"figures/{name}.png")

    def table(self, frame: pd.DataFrame, name: str) -> None:
        """Store aggregated numbers as ``tables/NAME.csv``; never customer rows."""
        self.text(csv_content(frame).content.decode(), f"tables/{name}.csv")

    def evaluation_table(self, frame: pd.DataFrame, name: str) -> None:
        """Store aggregated numbers as ``tables/NAME.json``, which MLflow compares between runs."""
        self.tracking.client.log_table(self.run_id, frame, f"tables/{name}.json")

    def text(self, text: str, path: str) -> None:
        """Store a text under `path` among the run's artifacts."""
        self.tracking.client.log_text(self.run_id, text, path)

    def mapping(self, content: Mapping[str, Any], path: str) -> None:
        """Store JSON or YAML, by the suffix of `path`, among the run's artifacts."""
        self.tracking.client.log_dict(self.run_id, dict(content), path)

    def folder(self, path: Path, name: str) -> None:
        """Store a folder's files under `name` among the run's artifacts."""
        self.tracking.client.log_artifacts(self.run_id, str(path), name)


@dataclass(frozen=True)
class Tracking:
    """A tracking store and an experiment in it; created by `open_tracking`.

    Attributes
    ----------
    uri
        Tracking URI; the registry's too, unless ``MLFLOW_REGISTRY_URI`` names another. It may
        contain a database password and must not be shown.
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
        """Reopen an existing run, to add to it or to nest runs under it."""
        return Run(self, run_id, self.client.get_run(run_id).info.start_time)

    def download(self, run_id: str, name: str, folder: Path) -> Path:
        """Copy a run's artifacts under `name` into `folder`; return their path."""
        folder.mkdir(parents=True, exist_ok=True)
        return Path(self.client.download_artifacts(run_id, name, str(folder)))

    def stored_json(self, run_id: str, name: str) -> dict[str, Any] | None:
        """Content of a JSON artifact; None if it does not exist."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = self.download(run_id, name, Path(folder))
                content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            except (MlflowException, OSError):
                return None
        return content

    def page(self, run_id: str) -> tuple[str, str]:
        """Address of a run's page, and a sentence on what must be started first (may be empty)."""
        path = f"#/experiments/{self.experiment_id}/runs/{run_id}"
        if self.uri.startswith(("http:", "https:")):
            return f"{without_login(self.uri).rstrip('/')}/{path}", ""
        command = "mlflow ui --backend-store-uri"
        shown = self.uri if self.uri.startswith("sqlite:") else "the tracking database"
        return f"http://127.0.0.1:5000/{path}", f"Start `{command} {shown}` first."

    @contextmanager
    def run(
        self, name: str, *, parent: Run | None = None, tags: Mapping[str, Any] | None = None
    ) -> Iterator[Run]:
        """Open a run, nested under `parent` if given, and close it as finished or failed."""
        run_tags = {key: str(value) for key, value in (tags or {}).items()}
        if parent is not None:
            run_tags["mlflow.parentRunId"] = parent.run_id
        created = self.client.create_run(self.experiment_id, tags=run_tags, run_name=name)
        run = Run(self, created.info.run_id, created.info.start_time)
        try:
            yield run
        except BaseException as error:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            self.client.set_terminated(run.run_id, status)
            raise
        self.client.set_terminated(run.run_id, "FINISHED")


def open_tracking(output: Path, *, experiment: str = "stagecast") -> Tracking:
    """Open the tracking store; create database and experiment if they do not exist.

    Parameters
    ----------
    output
        Folder of the project's results. Unless ``MLFLOW_TRACKING_URI`` names a store, the store is
        ``mlflow.db`` in this folder; artifacts are in ``mlartifacts`` unless a server keeps them.
    experiment
        Name of the MLflow experiment, usually the config's name.

    Raises
    ------
    UserError
        If the store cannot be opened.
    """
    output = output.resolve()
    check_tracking_server()
    store_uri = tracking_uri(output)
    try:
        output.mkdir(parents=True, exist_ok=True)
        # Several processes that create one database at once corrupt it.
        with _created_once(output):
            client = mlflow.MlflowClient(tracking_uri=store_uri)
            stored_experiment = client.get_experiment_by_name(experiment)
            if stored_experiment is not None:
                return Tracking(store_uri, stored_experiment.experiment_id)
            location = None if _is_server(store_uri) else str(output / _ARTIFACTS)
            description = _EXPERIMENT_DESCRIPTION.format(name=experiment)
            experiment_id = client.create_experiment(
                experiment,
                artifact_location=location,
                tags={**_EXPERIMENT_TAGS, "mlflow.note.content": description},
            )
            return Tracking(store_uri, experiment_id)
    except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
        raise UserError(
            "MLflow tracking store",
            found=f"{without_login(store_uri)}, which does not open: "
            f"{hidden((str(error).splitlines() or [''])[0])}",
            expected="a reachable server, or a database that MLflow can read and write",
            hint=f"check MLFLOW_TRACKING_URI, or unset it to use {output / _DATABASE}",
        ) from error


def tracking_uri(output: Path) -> str:
    """Return the URI that ``MLFLOW_TRACKING_URI`` names, else the database in `output`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{output.resolve() / _DATABASE}"


def _is_server(uri: str) -> bool:
    """True if `uri` is a server that decides where artifacts are kept."""
    return not uri.startswith(("sqlite:", "postgresql", "mysql", "mssql"))


def _dataset(data: LoggedData) -> Dataset:
    """MLflow's entity; its source is a digest, since a place may be private."""
    source = CodeDatasetSource({"stagecast.digest": data.digest})
    schema = Schema([ColSpec(DataType.double, column) for column in data.columns])
    return Dataset(
        name=data.name,
        digest=data.digest,
        source_type="code",
        source=source.to_json(),
        schema=json.dumps({"mlflow_colspec": schema.to_dict()}),
        profile=data.profile,
    )


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


@contextmanager
def _created_once(output: Path) -> Iterator[None]:
    """Let one process at a time create or migrate the database."""
    if (output / _DATABASE).is_file() and not os.access(output, os.W_OK):
        yield  # read-only folder: nothing to create or migrate
        return
    with (output / ".mlflow.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file releases the lock
