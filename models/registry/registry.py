"""Registered models: versions with all they need to load anywhere, and the champion alias."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models.signature import ModelSignature
from mlflow.pyfunc import PyFuncModel
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from features.config.secret_values import hidden
from features.errors import UserError
from features.storage.fault_injection import boundary
from models.registry import champion_history
from models.registry.artifact_integrity import (
    MANIFEST_TAG,
    check_seal,
    seal_artifacts,
)
from models.registry.logged_code import (
    copy_code,
    importable_folders,
    other_requirements,
    pinned_requirements,
    synthetic_example,
)
from models.registry.tracking import Run, Tracking
from models.registry.version import CHAMPION as CHAMPION
from models.registry.version import CHAMPION_SINCE as CHAMPION_SINCE
from models.registry.version import PREVIOUS_CHAMPION, Version
from models.registry.version import SCORER as SCORER
from models.scorer.artifacts import save_scorer
from models.scorer.manifest import manifest_hash
from models.scorer.part import Part
from models.scorer.scored_row import scored_names

# The name of the folder among the artifacts that `Scorer` reads.
ARTIFACT = "scorer"
PARAMS = ParamSchema([ParamSpec("scoring_context", DataType.string, "")])
_TYPES = {
    "string": DataType.string,
    "double": DataType.double,
    "int64": DataType.long,
    "date": DataType.datetime,
    "bool": DataType.boolean,
    "timestamp": DataType.datetime,
}

# What it says of pip and of the example is no news to the user of the flows.
logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A registered scorer, loaded back.

    Attributes
    ----------
    model
        What MLflow loaded; `predict` scores with it.
    version
        Which version it is.
    folder
        Its artifacts on this machine.
    """

    model: PyFuncModel
    version: Version
    folder: Path

    @property
    def scorer(self) -> Any:
        """The logged code's own ``Scorer`` object, with ``parts`` and ``head``."""
        return self.model.unwrap_python_model()  # type: ignore[no-untyped-call]

    def predict(
        self, frame: pd.DataFrame, context: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Scored rows of a feature frame, by default with the training's scoring context.

        Raises
        ------
        ValueError
            The frame does not fit the signature: the message names the columns.
        """
        told = "" if context is None else json.dumps(context)
        known = set(self.model.metadata.signature.inputs.input_names())
        columns = [name for name in frame.columns if name in known]  # MLflow warns of the rest
        try:
            return self.model.predict(frame[columns], params={"scoring_context": told})
        except MlflowException as error:
            # MLflow's message begins with the frame itself: no customer's row may get into a log.
            reason = str(error).rpartition("Error: ")[2]
            raise ValueError(f"the frame does not fit the signature: {reason}") from None


def log_version(
    run: Run,
    name: str,
    parts: Mapping[str, Part],
    *,
    head: Mapping[str, Any],
    description: str,
    tags: Mapping[str, Any],
    summary: str = "",
) -> Version:
    """Log a part or the scorer with `run` and register it as the next version of `name`.

    The artifacts are a copy of `models.scorer`, JSON, and LightGBM text models: the version loads
    where nobody has heard of this project. All of them are sealed (`artifact_integrity`).

    Parameters
    ----------
    run
        The run that fitted it.
    name
        Registered model: `SCORER`, or one a part.
    parts
        One part for a model of its own, all of them for the scorer.
    head
        Content of ``scorer.json`` (see `models.scorer.artifacts`).
    description
        The model card, Markdown.
    tags
        Config hash, data fingerprint, snapshot range, commit.
    summary
        One sentence for the registered model itself; a description that it has already stays.
    """
    example = synthetic_example(head)
    client = run.tracking.client
    with tempfile.TemporaryDirectory() as folder, _current(run.tracking):
        path = Path(folder) / ARTIFACT
        save_scorer(path, parts, head)
        code = copy_code(Path(folder))
        with importable_folders(Path(folder)), mlflow.start_run(run_id=run.run_id):
            info = mlflow.pyfunc.log_model(
                name=name,
                python_model=str(code.entry),
                code_paths=[str(code.package)],
                artifacts={ARTIFACT: str(path)},
                signature=signature(parts, head),
                input_example=(example, {"scoring_context": ""}),
                pip_requirements=pinned_requirements(),
                tags={key: str(value)[:500] for key, value in tags.items()},
            )
        copy = Path(folder) / "logged"
        copy.mkdir()
        mlflow.artifacts.download_artifacts(info.model_uri, dst_path=str(copy))
        digest, sealed = seal_artifacts(copy)
        for file in sealed:
            client.log_model_artifact(info.model_id, str(file))
        boundary("model logged")
        client.update_run(run.run_id, status="RUNNING")  # leaving the block above ended it
        _ensure_registered(client, name, summary)
        made = client.create_model_version(
            name,
            source=info.model_uri,
            run_id=run.run_id,
            tags={**{key: str(value) for key, value in tags.items()}, MANIFEST_TAG: digest},
            description=description,
            model_id=info.model_id,
        )
    return _version(made)


def signature(parts: Mapping[str, Part], head: Mapping[str, Any]) -> ModelSignature:
    """Inputs, outputs and the parameter ``scoring_context``; pass-through columns are optional."""
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, "customer_id"),
        ColSpec(DataType.datetime, "snapshot_at"),
    ]
    inputs += [ColSpec(DataType.double, feature["name"]) for feature in head["features"]]
    inputs += [
        ColSpec(_TYPES[column["dtype"]], column["name"], required=False)
        for column in head["pass_through"]
    ]
    names = scored_names(parts, head)
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(_TYPES[dtype], name) for name, dtype in names.items()
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs), params=PARAMS)


def versions(tracking: Tracking, name: str) -> list[Version]:
    """All versions of a registered model, the newest first; empty where there is no such model.

    Raises
    ------
    UserError
        Where the registry does not answer.
    """
    client = tracking.client
    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise away(tracking, error) from error
    by_version: dict[str, list[str]] = {}
    for alias, version in aliases.items():
        by_version.setdefault(str(version), []).append(alias)
    found = client.search_model_versions(f"name = '{name}'", max_results=1000)
    rows = [_version(each, by_version.get(str(each.version), [])) for each in found]
    return sorted(rows, key=lambda row: row.version, reverse=True)


def away(tracking: Tracking, error: Exception) -> UserError:
    """The message for a registry that does not answer, or whose database is locked."""
    told = str(error).splitlines()[0].replace(tracking.uri, "the registry")
    return UserError(
        "MLflow registry",
        found=f"no answer: {told[:300]}",
        expected="a registry that answers, and a database that nobody else holds",
        hint="start the server, or wait until the other program has ended; published scores stay "
        "as they are",
    )


def champion(tracking: Tracking, name: str = SCORER) -> Version | None:
    """The version that the alias ``champion`` points to, or None."""
    rows = [row for row in versions(tracking, name) if CHAMPION in row.aliases]
    return rows[0] if rows else None


def set_champion(
    tracking: Tracking, name: str, version: int, *, reason: str, at: dt.datetime | None = None
) -> None:
    """Point the alias ``champion`` at a version: this one act is the promotion.

    The version it takes over from is noted on the new one before, so that an interruption
    leaves either the old champion or the new one with its way back.
    """
    client = tracking.client
    before = champion(tracking, name)
    if before is not None and before.version != version:
        client.set_model_version_tag(name, str(version), PREVIOUS_CHAMPION, str(before.version))
    client.set_model_version_tag(name, str(version), "promoted_because", reason)
    _since(tracking, name, str(version), at)
    boundary("promotion noted")
    client.set_registered_model_alias(name, CHAMPION, str(version))


def _since(tracking: Tracking, name: str, version: str, at: dt.datetime | None) -> None:
    if at is not None:
        moment = at.astimezone(dt.UTC).isoformat(timespec="seconds")
        tags = dict(tracking.client.get_model_version(name, version).tags)
        tracking.client.set_model_version_tag(
            name,
            version,
            champion_history.CHAMPION_FROM_TAG,
            champion_history.add_champion_moment(tags, moment),
        )
        tracking.client.set_model_version_tag(name, version, CHAMPION_SINCE, moment)


def roll_back(tracking: Tracking, name: str = SCORER, *, at: dt.datetime | None = None) -> Version:
    """Give the alias ``champion`` back to the version that had it before.

    Raises
    ------
    UserError
        Where there is no champion, or none before it.
    """
    now = champion(tracking, name)
    if now is None or PREVIOUS_CHAMPION not in now.tags:
        raise UserError(
            f"{name}@{CHAMPION}",
            found="no champion" if now is None else f"version {now.version}, with none before it",
            expected="a champion that took over from another version",
            hint="a newer version becomes champion by `stagecast promote`, where it earned it",
        )
    _since(tracking, name, now.tags[PREVIOUS_CHAMPION], at)
    tracking.client.set_registered_model_alias(name, CHAMPION, now.tags[PREVIOUS_CHAMPION])
    back = champion(tracking, name)
    assert back is not None
    return back


def load(tracking: Tracking, name: str = SCORER, *, version: int | None = None) -> Loaded:
    """Load a registered model: by default the version that is champion at this moment.

    Raises
    ------
    UserError
        Where there is no such version, or its artifacts are missing or damaged.
    """
    rows = versions(tracking, name)
    if version is None:
        wanted = [row for row in rows if CHAMPION in row.aliases]
    else:
        wanted = [row for row in rows if row.version == version]
    label = f"{name}@{CHAMPION}" if version is None else f"{name} version {version}"
    if not wanted:
        raise UserError(
            label,
            found=f"{len(rows)} versions, none of them it" if rows else "no such registered model",
            expected="a version in the registry",
            hint="train and promote first: stagecast train, stagecast promote",
        )
    row = wanted[0]
    if MANIFEST_TAG not in row.tags:
        raise UserError(
            f"{name} version {row.version}",
            found="artifacts of an earlier version of stagecast, without check sums",
            expected="artifacts that this version has logged",
            hint="train again: stagecast train, stagecast promote",
        )
    try:
        with _current(tracking):
            return load_folder(artifacts(tracking, name, row.version), row)
    except (MlflowException, OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{name} version {row.version}",
            found=f"artifacts that do not load: {hidden((str(error).splitlines() or [''])[0])}",
            expected="complete artifacts as they were logged",
            hint="roll back to the version before (stagecast rollback), or train again",
        ) from error


def load_folder(folder: Path, version: Version) -> Loaded:
    """Load a version from a copy of its artifacts, where no registry can be reached.

    Raises
    ------
    DamagedArtifact
        Before anything of it is parsed or run.
    """
    check_seal(folder, version.tags.get(MANIFEST_TAG))
    return Loaded(_opened(folder, manifest_hash(folder)), version, folder)


@lru_cache(maxsize=2)  # champion and challenger: a flow asks for them in several of its steps
def _opened(folder: Path, _manifest: str) -> PyFuncModel:
    """Model in a folder that was compared with its manifest, parsed once while that stays."""
    if differing := other_requirements(folder):
        _log.warning("the scorer was logged with %s", ", ".join(differing))
    with importable_folders():
        # Its own comparison of packages looks at all that are installed, which takes seconds.
        return mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)


def artifacts(tracking: Tracking, name: str, version: int) -> Path:
    """Local folder of a version's artifacts, downloaded where the store keeps them elsewhere."""
    with _current(tracking):
        return Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}"))


@contextmanager
def _current(tracking: Tracking) -> Iterator[None]:
    """MLflow's fluent functions work on this store meanwhile: logging a model has no other way."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(tracking.uri)  # the registry's follows, unless MLFLOW_REGISTRY_URI
    try:
        yield
    finally:
        # MLflow sets the variable too: left behind, it would redirect whoever opens a store next.
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]


def _ensure_registered(client: mlflow.MlflowClient, name: str, summary: str) -> None:
    try:
        client.create_registered_model(name, description=summary)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        if summary and not client.get_registered_model(name).description:
            client.update_registered_model(name, summary)


def _version(made: ModelVersion, aliases: list[str] | None = None) -> Version:
    return Version(
        name=made.name,
        version=int(made.version),
        run_id=made.run_id or "",
        aliases=tuple(sorted(aliases if aliases is not None else made.aliases or [])),
        tags=dict(made.tags or {}),
        description=made.description or "",
        created_at=int(made.creation_timestamp),
    )
