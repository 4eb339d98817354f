"""The command `stagecast doctor`: check that everything a run needs exists and answers."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from features.errors import UserError
from flows.commands.options import DEFAULT_OUTPUT, JsonFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from features.config.sources import Location

_PACKAGES = (
    "lightgbm",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "duckdb",
    "ibis-framework",
    "pyarrow",
    "mlflow",
    "prefect",
    "sqlalchemy",
    "pydantic",
)
LEAST_SPACE, GOOD_SPACE = 0.5, 5.0  # GB
_State = Literal["ok", "look", "bad"]


@dataclass(frozen=True)
class _Finding:
    """Result of one check: ok, worth a look, or bad."""

    what: str
    state: _State
    found: str
    hint: str = ""


def doctor(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of results to check.", file_okay=False)
    ] = DEFAULT_OUTPUT,
    json_file: JsonFile = None,
) -> None:
    """Check versions, disk, config, scores and registry; exit code 2 if something is broken.

    No result is changed.
    """
    from flows.services.console import deliver_result, print_table
    from flows.services.settings import apply_defaults

    apply_defaults()
    findings = list(_examine(output.absolute()))
    finding_rows = [(f.what, f.state, f.found, f.hint or None) for f in findings]
    header = ["what", "state", "found", "hint"]
    deliver_result(
        [asdict(finding) for finding in findings],
        json_file,
        lambda: print_table("stagecast doctor", header, finding_rows),
    )
    for finding in findings:
        if finding.state == "bad":
            raise UserError(
                finding.what, found=finding.found, expected="what a run needs", hint=finding.hint
            )


def _examine(output: Path) -> Iterator[_Finding]:
    """Check this installation and an output folder."""
    yield from _versions()
    yield _disk(output)
    yield _prefect()
    for subject, examine_part in (
        ("config", _config),
        ("scores", _scores),
        ("registry", _registry),
    ):
        yield _guarded(subject, examine_part, output)


def _versions() -> Iterator[_Finding]:
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    def there(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    python = platform.python_version()
    yield _Finding("python", "ok", f"{python}, {sys.platform}, {os.cpu_count()} processors")
    own_version = there("stagecast")
    yield _Finding(
        "stagecast", "ok" if own_version else "look", own_version or "not installed as a package"
    )
    requirements = {r.name: r.specifier for r in map(Requirement, (requires("stagecast") or []))}
    for name in _PACKAGES:
        installed, required = there(name), requirements.get(name)
        if installed is None:
            yield _Finding(name, "bad", "not installed", "uv sync")
        elif required is not None and installed not in required:
            yield _Finding(name, "bad", f"{installed}, while {required} is needed", "uv sync")
        else:
            yield _Finding(name, "ok", installed)


def _disk(output: Path) -> _Finding:
    folder = next(p for p in (output, *output.parents) if p.exists())
    free_gigabytes = shutil.disk_usage(folder).free / 1e9
    if not os.access(folder, os.W_OK):
        return _Finding("disk", "bad", f"{folder} is read-only", "give another --output")
    if free_gigabytes < LEAST_SPACE:
        return _Finding("disk", "bad", f"{free_gigabytes:.1f} GB free at {folder}", "make room")
    state: _State = "ok" if free_gigabytes >= GOOD_SPACE else "look"
    return _Finding("disk", state, f"{free_gigabytes:.1f} GB free at {folder}")


def _prefect() -> _Finding:
    from features.servers import without_login
    from flows.services import prefect_server

    address = prefect_server.named_server()
    if address is None:
        return _Finding("prefect server", "ok", "none named: runs are noted in their folder")
    try:
        prefect_server.require_named_server()
    except UserError as error:
        return _Finding("prefect server", "bad", str(error.found), error.hint)
    return _Finding("prefect server", "ok", f"{without_login(address)} answers")


def _guarded(subject: str, examine_part: Callable[[Path], _Finding], output: Path) -> _Finding:
    """Run a check; report an exception as a bad finding."""
    try:
        return examine_part(output)
    except UserError as error:
        return _Finding(subject, "bad", f"{error.where}: {error.found}", error.hint)
    except Exception as error:
        return _Finding(
            subject, "bad", f"{type(error).__name__} in {output}", "restore it, or run anew"
        )


def _config(output: Path) -> _Finding:
    from flows.services.workspace import Workspace

    workspace = Workspace(output)
    if not workspace.config_file.is_file():
        return _Finding("config", "look", f"none in {output}", "stagecast run")
    config = workspace.config()
    missing_files = [
        name
        for source in config.sources
        for name in _files(source.events)
        if not any(Path(name).parent.glob(Path(name).name))
    ]
    if missing_files:
        return _Finding(
            "config", "bad", f"no such source: {missing_files[0]}", "put it back, or --config"
        )
    return _Finding("config", "ok", f"{config.name}: {len(config.sources)} source(s)")


def _files(location: Location) -> tuple[str, ...]:
    """File names or patterns of a source."""
    if isinstance(location, str):
        return (location,)
    return location if isinstance(location, tuple) else ()


def _scores(output: Path) -> _Finding:
    from features.storage import scores_store

    scores_database = scores_store.store_of(output.absolute())
    if not scores_database.there():
        return _Finding("scores", "look", f"none in {scores_database.name}", "stagecast run")
    current_run = scores_store.read_current(output).run
    return _Finding(
        "scores",
        "ok",
        f"run {current_run.run_id}: {current_run.customers:,} at {current_run.snapshot_at}",
    )


def _registry(output: Path) -> _Finding:
    from flows.services.workspace import Workspace

    elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
    if elsewhere is None and not (output / "mlflow.db").is_file():
        return _Finding("registry", "look", f"none in {output}", "stagecast run")
    if not Workspace(output).config_file.is_file():
        return _Finding("registry", "look", "not asked: there is no config here", "stagecast run")
    versions = Workspace(output).registered_versions()
    champion = [v.version for v in versions if "champion" in v.aliases]
    if not champion:
        return _Finding(
            "registry", "look", f"{len(versions)} scorers, no champion", "stagecast run"
        )
    return _Finding("registry", "ok", f"champion is version {champion[0]} of {len(versions)}")
