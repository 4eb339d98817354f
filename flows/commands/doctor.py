"""The command `stagecast doctor`: is everything here that a run needs, and does it answer."""

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
from flows.commands.options import OUTPUTS, JsonFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from features.config.sources import Location

PACKAGES = (
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
State = Literal["ok", "look", "bad"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: in order, worth a look, or in the way."""

    what: str
    state: State
    found: str
    hint: str = ""


def doctor(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of results to look at.", file_okay=False)
    ] = OUTPUTS,
    json_file: JsonFile = None,
) -> None:
    """Look at versions, disk, config, scores and registry; exit code 2 where something is broken.

    No result is changed.
    """
    from flows.services.console import deliver_result, print_table
    from flows.services.settings import apply_defaults

    apply_defaults()
    findings = list(examine(output.absolute()))
    rows = [(f.what, f.state, f.found, f.hint or None) for f in findings]
    header = ["what", "state", "found", "hint"]
    deliver_result(
        [asdict(finding) for finding in findings],
        json_file,
        lambda: print_table("stagecast doctor", header, rows),
    )
    for finding in findings:
        if finding.state == "bad":
            raise UserError(
                finding.what, found=finding.found, expected="what a run needs", hint=finding.hint
            )


def examine(output: Path) -> Iterator[Finding]:
    """Findings about this installation and an output folder."""
    yield from _versions()
    yield _disk(output)
    yield _prefect()
    for what, look in (("config", _config), ("scores", _scores), ("registry", _registry)):
        yield _guarded(what, look, output)


def _versions() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    def there(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    python = platform.python_version()
    yield Finding("python", "ok", f"{python}, {sys.platform}, {os.cpu_count()} processors")
    ours = there("stagecast")
    yield Finding("stagecast", "ok" if ours else "look", ours or "not installed as a package")
    wanted = {r.name: r.specifier for r in map(Requirement, (requires("stagecast") or []))}
    for name in PACKAGES:
        found, asked = there(name), wanted.get(name)
        if found is None:
            yield Finding(name, "bad", "not installed", "uv sync")
        elif asked is not None and found not in asked:
            yield Finding(name, "bad", f"{found}, while {asked} is needed", "uv sync")
        else:
            yield Finding(name, "ok", found)


def _disk(output: Path) -> Finding:
    folder = next(p for p in (output, *output.parents) if p.exists())
    free = shutil.disk_usage(folder).free / 1e9
    if not os.access(folder, os.W_OK):
        return Finding("disk", "bad", f"{folder} is read-only", "give another --output")
    if free < LEAST_SPACE:
        return Finding("disk", "bad", f"{free:.1f} GB free at {folder}", "make room")
    state: State = "ok" if free >= GOOD_SPACE else "look"
    return Finding("disk", state, f"{free:.1f} GB free at {folder}")


def _prefect() -> Finding:
    from features.servers import without_password
    from flows.services import prefect_server

    address = prefect_server.named_server()
    if address is None:
        return Finding("prefect server", "ok", "no server asked for: each run brings its own")
    try:
        prefect_server.require_named_server()
    except UserError as error:
        return Finding("prefect server", "bad", str(error.found), error.hint)
    return Finding("prefect server", "ok", f"{without_password(address)} answers")


def _guarded(what: str, look: Callable[[Path], Finding], output: Path) -> Finding:
    """A look that meets a broken file finds it broken."""
    try:
        return look(output)
    except UserError as error:
        return Finding(what, "bad", f"{error.where}: {error.found}", error.hint)
    except Exception as error:
        return Finding(
            what, "bad", f"{type(error).__name__} in {output}", "restore it, or run anew"
        )


def _config(output: Path) -> Finding:
    from flows.services.workspace import Workspace

    space = Workspace(output)
    if not space.config_file.is_file():
        return Finding("config", "look", f"none in {output}", "stagecast run")
    config = space.config()
    gone = [
        name
        for source in config.sources
        for name in _files(source.events)
        if not any(Path(name).parent.glob(Path(name).name))
    ]
    if gone:
        return Finding("config", "bad", f"no such source: {gone[0]}", "put it back, or --config")
    return Finding("config", "ok", f"{config.name}: {len(config.sources)} source(s)")


def _files(location: Location) -> tuple[str, ...]:
    """Names or patterns of the files of a source."""
    if isinstance(location, str):
        return (location,)
    return location if isinstance(location, tuple) else ()


def _scores(output: Path) -> Finding:
    from features.storage import scores_store

    place = scores_store.store_of(output.absolute())
    if not place.there():
        return Finding("scores", "look", f"none in {place.name}", "stagecast run")
    run = scores_store.read_current(output).run
    return Finding("scores", "ok", f"run {run.run_id}: {run.customers:,} at {run.snapshot_at}")


def _registry(output: Path) -> Finding:
    from flows.services.workspace import Workspace
    from models.registry import registry

    elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
    if elsewhere is None and not (output / "mlflow.db").is_file():
        return Finding("registry", "look", f"none in {output}", "stagecast run")
    if not Workspace(output).config_file.is_file():
        return Finding("registry", "look", "not asked: there is no config here", "stagecast run")
    versions = registry.versions(Workspace(output).tracking(), registry.SCORER)
    champion = [v.version for v in versions if "champion" in v.aliases]
    if not champion:
        return Finding("registry", "look", f"{len(versions)} scorers, no champion", "stagecast run")
    return Finding("registry", "ok", f"champion is version {champion[0]} of {len(versions)}")
