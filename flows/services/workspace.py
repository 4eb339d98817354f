"""The output folder: its config, archive, tracking store and training files."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import secrets
import shutil
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.calendar import day_number
from features.config import config as configs
from features.config.config import Config
from features.errors import UserError
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.storage.atomic_write import finish_replacement
from features.storage.fault_injection import boundary
from features.storage.output_lock import exclusive
from flows.services.config_changes import changed_origin, config_changes, origin_line
from flows.services.console import step, warn
from models.registry.local_registry import local_versions
from models.registry.version import SCORER, Version

if TYPE_CHECKING:
    from features.table.feature_store import Archive
    from models.registry.local_scorer import ScorerParts
    from models.registry.registry import Loaded
    from models.registry.tracking import Tracking

TRAINED_FILE = "training.json"  # written last by the training step
_TALLY_FORMAT = 6  # incremented when earlier stored tallies become unreadable


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
        """The resolved config, read by every step."""
        return self.output / "config.yaml"

    @property
    def training(self) -> Path:
        """Folder that the training step writes for promotion and the report."""
        return finish_replacement(self.output / "training", whole=TRAINED_FILE)

    def config(self) -> Config:
        """The resolved config of this folder.

        Raises
        ------
        UserError
            If no step has run in this folder yet.
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

        return tracking.open_tracking(self.output, experiment=self.config().name)

    def registered_versions(self, name: str = SCORER) -> list[Version]:
        """Versions of a registered model, newest first; a local registry is read without MLflow."""
        local = local_versions(self.output, name)
        if local is not None:
            return local
        from models.registry import registry

        return registry.versions(self.tracking(), name)

    def scorer(self, version: int) -> ScorerParts:
        """Parts of a registered scorer, from a local registry without importing MLflow.

        Where MLflow is imported anyway, the model is the one that it has loaded already.

        Raises
        ------
        UserError
            As `models.registry.registry.load`, and if a package that it learned from is missing.
        """
        from models.registry.local_scorer import ScorerParts, local_scorer
        from models.serving.plugin_families import require_plugins

        is_local = "mlflow" not in sys.modules
        scorer = local_scorer(self.output, SCORER, version) if is_local else None
        if scorer is None:
            from models.registry import registry

            loaded = registry.load(self.tracking(), version=version)
            scorer = ScorerParts(
                loaded.scorer.parts,
                loaded.scorer.head,
                loaded.folder,
                loaded.version.version,
                loaded.predict,
                getattr(loaded.scorer, "score_columns", None),
            )
        require_plugins(scorer.head, f"{SCORER} version {version}")
        return scorer

    def champion(self) -> Loaded:
        """The scorer that is champion; warns of packages in another version than it learned from.

        Call it before `archive`, which builds features anew for the packages that are installed.

        Raises
        ------
        UserError
            As `models.registry.registry.load`, and if a package that it learned from is missing.
        """
        from models.registry import registry
        from models.serving.plugin_families import require_plugins

        loaded = registry.load(self.tracking())
        label = f"{SCORER} version {loaded.version.version}"
        for sentence in require_plugins(loaded.scorer.head, label):
            warn(sentence)
        return loaded

    def read(self, name: str) -> dict[str, Any]:
        """Content of a JSON file of the training step.

        Raises
        ------
        UserError
            If the training step has not run.
        """
        path = self.training / name
        if not path.is_file():
            raise UserError(
                str(path),
                found="no such file",
                expected="a file that `stagecast train` writes",
                hint="run `stagecast train` with this output folder first",
            )
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content


def prepare_workspace(output: Path, config: str | None, settings: tuple[str, ...]) -> Workspace:
    """Resolve a config (default: the folder's own) with overrides into ``OUTPUT/config.yaml``.

    Raises
    ------
    UserError
        As `features.config.config.load`.
    """
    space = Workspace(output.absolute())
    if config is None and not settings:
        _undo_interrupted(space)
        space.config()
        if (origin := changed_origin(space.config_file)) is not None:
            warn(
                f"{origin} has changed since; this step uses the copy in {space.config_file}. "
                f"To use the file, give it with --config to `stagecast run` or `stagecast score`"
            )
        return space
    source = configs.find(config) if config is not None else space.config_file
    if config is None:
        _undo_interrupted(space)
        space.config()
    resolved = configs.load(source, settings)
    # Imports pandas, which commands without a new config may not need.
    from campaigns.candidates import campaign_names
    from campaigns.playbook_loading import load_playbooks
    from flows.services.webhooks import refuse_unknown_campaigns

    # Raise for errors in the taxonomy or a playbook now, not in the middle of a run.
    load_taxonomy(resolved)
    playbooks = load_playbooks([Path(path) for path in resolved.campaigns])
    refuse_unknown_campaigns(space.output, resolved.webhooks, campaign_names(playbooks))
    try:
        space.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            "--output", found=f"{output}: {error.strerror}", expected="a writable folder"
        ) from error
    _write_config(space, resolved, source)
    return space


# By output folder: the lock under which its config was written, held until the step ends.
_writing: dict[Path, ExitStack] = {}


def _write_config(space: Workspace, resolved: Config, source: Path) -> None:
    """Replace the folder's config, and keep the one before until `settle_config`."""
    with ExitStack() as locks:
        # The lock keeps the config of a running step from being replaced.
        locks.enter_context(exclusive(space.output, "settings"))
        _undo_interrupted(space)
        partial = space.config_file.with_suffix(".yaml.tmp")
        configs.dump(resolved, partial)
        _add_origin(space, partial, source)
        _show_changes(space, resolved)
        boundary("config written")
        if space.config_file.is_file():
            previous_copy = space.output / "config.yaml.before.tmp"
            shutil.copyfile(space.config_file, previous_copy)
            os.replace(previous_copy, _before(space))
            boundary("config before kept")
        os.replace(partial, space.config_file)
        boundary("config replaced")
        _writing[space.output] = locks.pop_all()


def _add_origin(space: Workspace, partial: Path, source: Path) -> None:
    """Name the config's file in its first line; overrides of the copy keep the line it has."""
    if source == space.config_file:
        first, _, _ = source.read_text(encoding="utf-8").partition("\n")
        line = f"{first}\n" if first.startswith("#") else ""
    else:
        line = origin_line(source.absolute())
    partial.write_text(line + partial.read_text(encoding="utf-8"), encoding="utf-8")


def _show_changes(space: Workspace, resolved: Config) -> None:
    """Say in which keys a config differs from that of the folder's last step."""
    if not space.config_file.is_file():
        return
    with suppress(UserError):  # a copy of an earlier version may hold keys that are gone
        if changes := config_changes(configs.load(space.config_file), resolved):
            step(f"the config differs from the folder's copy: {changes}")


def _before(space: Workspace) -> Path:
    return space.output / "config.yaml.before"


def _undo_interrupted(space: Workspace) -> None:
    """Restore the config that a killed step replaced, unless a step is running."""
    if not _before(space).is_file():
        return
    with suppress(UserError), exclusive(space.output, "settings"):
        if space.output not in _writing and _before(space).is_file():
            os.replace(_before(space), space.config_file)


def settle_config(output: Path, *, keep: bool) -> None:
    """After a step: keep the config that `prepare_workspace` wrote, or restore the previous one."""
    locks, previous_config = _writing.pop(output, None), _before(Workspace(output))
    if locks is None:
        return  # the config belongs to another process
    with locks:
        if previous_config.is_file():
            if keep:
                previous_config.unlink()
            else:
                os.replace(previous_config, Workspace(output).config_file)


def keep_config(output: Path) -> None:
    """Keep the config of published results, even if the step fails later."""
    if output in _writing:
        _before(Workspace(output)).unlink(missing_ok=True)


def latest_event_day() -> int:
    """Day number of tomorrow in the easternmost time zone; later events are invalid."""
    return day_number((dt.datetime.now(dt.UTC) + dt.timedelta(hours=14)).date())


def new_run_id(kind: str) -> str:
    """A run id: kind, UTC start time and six random hex digits."""
    return f"{kind}-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def tally_recipe(config: Config) -> str:
    """Hash of the config keys that stored tallies and features depend on."""
    content = config.content_for("features")
    stages = content["stages"]
    taxonomy_text = ""
    if isinstance(stages, dict) and "file" in stages:
        taxonomy_text = Path(stages["file"]).read_text(encoding="utf-8")
    hashed_text = json.dumps([_TALLY_FORMAT, content, taxonomy_text], sort_keys=True)
    return hashlib.sha256(hashed_text.encode()).hexdigest()


def tally_fingerprint(config: Config) -> str:
    """Hash of the config keys and source files that stored tallies and features depend on."""
    # Imports Ibis, which commands that only look do not need.
    from features.aggregates.manifest import current_manifest

    manifest = current_manifest(config, tally_recipe(config), 0)
    hashed_text = json.dumps([manifest.recipe, manifest.files, manifest.others], sort_keys=True)
    return hashlib.sha256(hashed_text.encode()).hexdigest()


def backtest_origins(output: Path, requested: str | None) -> list[str]:
    """ISO dates of the back-test: as requested (``DATE,DATE,...``), else the config's.

    Raises
    ------
    UserError
        If a date cannot be read, or there is none.
    """
    if requested is None:
        dates = [str(day) for day in Workspace(output).config().backtest.origins]
    else:
        dates = [text.strip() for text in requested.split(",") if text.strip()]
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


def backtest_models(requested: str | None) -> list[str]:
    """Models of the back-test: as requested (``NAME,NAME,...``), else all.

    Raises
    ------
    UserError
        For an unknown model name.
    """
    from features.table.prediction_targets import TASK_NAMES

    model_names: list[str] = list(TASK_NAMES)
    if requested is not None:
        model_names = [text.strip() for text in requested.split(",") if text.strip()]
    unknown = [name for name in model_names if name not in TASK_NAMES]
    if unknown or not model_names:
        raise UserError(
            "--models",
            found=unknown[0] if unknown else "none",
            expected=f"one or more of {','.join(TASK_NAMES)}",
        )
    return model_names
