"""An output folder and what lies where in it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import secrets
import shutil
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaigns.playbook import load_playbooks
from features.aggregates.manifest import current_manifest
from features.calendar import day_number
from features.config import config as configs
from features.config.config import Config
from features.errors import UserError
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.storage.atomic_write import finish_replacement
from features.storage.fault_injection import boundary
from features.storage.output_lock import exclusive

if TYPE_CHECKING:
    from features.table.feature_store import Archive
    from models.registry.tracking import Tracking

TRAINED = "training.json"  # written last by the training step
TALLY_FORMAT = 6  # raised when stored tallies of before can no longer be read
# Config keys that change nothing of what the features step stores.
_NOT_IN_FEATURES = {
    "backtest",
    "campaigns",
    "consent",
    "consents",
    "contact_policy",
    "customers",
    "experiments",
    "exports",
    "export_mode",
    "products",
    "suppressions",
    "churn",
    "clv",
    "stage",
    "seed",
    "spend",
    "retention",
    "store",
    "threads",
    "memory_limit",
    "monitoring",
    "engine",
    "spark",
    "description",
    "notice",
    "snapshots",
    "settle_days",
    "truth",
}


@dataclass(frozen=True)
class Workspace:
    """An output folder.

    Attributes
    ----------
    output
        Absolute path.
    """

    output: Path

    @property
    def config_file(self) -> Path:
        """The resolved config that every step reads."""
        return self.output / "config.yaml"

    @property
    def training(self) -> Path:
        """What the training step leaves for promotion and the report."""
        return finish_replacement(self.output / "training", whole=TRAINED)

    def config(self) -> Config:
        """The resolved config of this folder.

        Raises
        ------
        UserError
            Where no step has run here yet.
        """
        if not self.config_file.is_file():
            raise UserError(
                str(self.config_file),
                found="no such file",
                expected="the config that `stagecast run` or `stagecast features` writes there",
                hint="give --config FILE, or the --output folder of an earlier run",
            )
        return configs.load(self.config_file)

    def archive(self) -> Archive:
        """Stored tallies and features."""
        from features.table.feature_store import open_archive

        return open_archive(self.output, self.config())

    def tracking(self) -> Tracking:
        """The MLflow store of this folder, or of ``MLFLOW_TRACKING_URI``."""
        from models.registry import tracking

        return tracking.start(self.output, experiment=self.config().name)

    def read(self, name: str) -> dict[str, Any]:
        """JSON that the training step left.

        Raises
        ------
        UserError
            Where it has not run.
        """
        path = self.training / name
        if not path.is_file():
            raise UserError(
                str(path),
                found="no such file",
                expected="what `stagecast train` leaves",
                hint="run `stagecast train` with this output folder first",
            )
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content


def prepare(output: Path, config: str | None, settings: tuple[str, ...]) -> Workspace:
    """Resolve a config (given, else the folder's own) with overrides into ``OUTPUT/config.yaml``.

    Raises
    ------
    UserError
        As `features.config.config.load`.
    """
    space = Workspace(output.absolute())
    if config is None and not settings:
        _undo_interrupted(space)
        space.config()
        return space
    source = configs.find(config) if config is not None else space.config_file
    if config is None:
        _undo_interrupted(space)
        space.config()
    resolved = configs.load(source, settings)
    # Slips in the taxonomy or a playbook should show at once, not in the middle of a run.
    load_taxonomy(resolved)
    load_playbooks([Path(path) for path in resolved.campaigns])
    try:
        space.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            "--output", found=f"{output}: {error.strerror}", expected="a folder to write to"
        ) from error
    _write_config(space, resolved)
    return space


# The locks under which configs were written; held until the step that asked for it is over.
_writing: dict[Path, ExitStack] = {}


def _write_config(space: Workspace, resolved: Config) -> None:
    """Replace the folder's config, and keep the one before until `settle_config`."""
    with ExitStack() as held:
        # A run that goes on must not find another config under its feet.
        held.enter_context(exclusive(space.output, "settings"))
        _undo_interrupted(space)
        partial = space.config_file.with_suffix(".yaml.tmp")
        configs.dump(resolved, partial)
        boundary("config written")
        if space.config_file.is_file():
            kept = space.output / "config.yaml.before.tmp"
            shutil.copyfile(space.config_file, kept)
            os.replace(kept, _before(space))
            boundary("config before kept")
        os.replace(partial, space.config_file)
        boundary("config replaced")
        _writing[space.output] = held.pop_all()


def _before(space: Workspace) -> Path:
    return space.output / "config.yaml.before"


def _undo_interrupted(space: Workspace) -> None:
    """Put the config back that a killed step has replaced; not while a step still runs."""
    if not _before(space).is_file():
        return
    with suppress(UserError), exclusive(space.output, "settings"):
        if space.output not in _writing and _before(space).is_file():
            os.replace(_before(space), space.config_file)


def settle_config(output: Path, *, keep: bool) -> None:
    """After a step: keep the config that `prepare` wrote, or put the one before it back."""
    held, before = _writing.pop(output, None), _before(Workspace(output))
    if held is None:
        return  # another process may be at work with a config of its own
    with held:
        if before.is_file():
            if keep:
                before.unlink()
            else:
                os.replace(before, Workspace(output).config_file)


def keep_config(output: Path) -> None:
    """Once results are published, the config they were made with stays, whatever comes after."""
    if output in _writing:
        _before(Workspace(output)).unlink(missing_ok=True)


def today() -> int:
    """Day number of tomorrow in the easternmost zone: no genuine event can be later."""
    return day_number((dt.datetime.now(dt.UTC) + dt.timedelta(hours=14)).date())


def new_run_id(kind: str) -> str:
    """A run's name: what it is, when it began (UTC), and a few random letters."""
    return f"{kind}-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def recipe(config: Config) -> str:
    """Hash of the config keys that stored tallies and features depend on."""
    content = config.model_dump(mode="json", by_alias=True, exclude=_NOT_IN_FEATURES)
    if config.stage.truth != "history":
        content.pop("stage_history")  # it is not read
    stages = content["stages"]
    rules = ""
    if isinstance(stages, dict) and "file" in stages:
        rules = Path(stages["file"]).read_text(encoding="utf-8")
    text = json.dumps([TALLY_FORMAT, content, rules], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(config: Config) -> str:
    """Hash of the config keys and source files that stored tallies and features depend on."""
    now = current_manifest(config, recipe(config), 0)
    text = json.dumps([now.recipe, now.files, now.others], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def backtest_origins(output: Path, given: str | None) -> list[str]:
    """ISO dates of the back-test: as given (``DATE,DATE,...``), else the config's.

    Raises
    ------
    UserError
        Where a date cannot be read, or there are none.
    """
    if given is None:
        dates = [str(day) for day in Workspace(output).config().backtest.origins]
    else:
        dates = [text.strip() for text in given.split(",") if text.strip()]
    for text in dates:
        try:
            dt.date.fromisoformat(text)
        except ValueError as error:
            raise UserError("--origins", found=text, expected="dates like 2017-10-01") from error
    if not dates:
        raise UserError(
            "backtest.origins",
            found="no origins",
            expected="dates under `backtest: {origins: [...]}`, or --origins DATE,DATE,...",
        )
    return dates


def backtest_models(given: str | None) -> list[str]:
    """Models of the back-test: as given (``NAME,NAME,...``), else all.

    Raises
    ------
    UserError
        For a name that is no model.
    """
    from features.table.snapshot_builder import TASKS

    names: list[str] = list(TASKS)
    if given is not None:
        names = [text.strip() for text in given.split(",") if text.strip()]
    unknown = [name for name in names if name not in TASKS]
    if unknown or not names:
        raise UserError(
            "--models",
            found=unknown[0] if unknown else "none",
            expected=f"one or more of {','.join(TASKS)}",
        )
    return names
