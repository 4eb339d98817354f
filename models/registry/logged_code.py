"""Code logged with a model: a copy of `models.scorer`, package versions, an input example."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models import scorer
from models.scorer.scoring_context import LATE

PACKAGE = Path(scorer.__file__).parent
_ENTRY = "stagecast_model.py"
_REQUIRED_PACKAGES = ("mlflow", "lightgbm", "numpy", "pandas")


@dataclass(frozen=True)
class _LoggedCode:
    """Paths of the copy: the package, and the file that MLflow runs to load the model."""

    package: Path
    entry: Path


def package_name() -> str:
    """``stagecast_scorer_<hash>``: the name is unique to the code of the package."""
    content = hashlib.sha256()
    for path in sorted(PACKAGE.glob("*.py")):
        source = path.read_bytes()
        content.update(f"{path.name} {len(source)}\n".encode() + source)
    return f"stagecast_scorer_{content.hexdigest()[:16]}"


def copy_code(folder: Path) -> _LoggedCode:
    """Copy the package into `folder` under its unique name, with an entry file for MLflow."""
    name = package_name()
    shutil.copytree(PACKAGE, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    entry = folder / _ENTRY
    entry.write_text(
        f"from mlflow.models import set_model\nfrom {name}.pyfunc import Scorer\n\n"
        "set_model(Scorer())\n",
        encoding="utf-8",
    )
    return _LoggedCode(folder / name, entry)


@contextmanager
def importable_folders(*folders: Path) -> Iterator[None]:
    """Allow imports from these folders within the context, from source files only.

    Compiled files are neither written next to the sources, where the manifest does not list them,
    nor read from there, where they may not match the sources. The import path is restored at the
    end.
    """
    previous = list(sys.path), sys.dont_write_bytecode, sys.pycache_prefix
    sys.path[:0] = map(str, folders)
    # A path that cannot exist, since its parent is a file.
    sys.dont_write_bytecode, sys.pycache_prefix = True, str(PACKAGE / "__init__.py" / "none")
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode, sys.pycache_prefix = previous


def pinned_requirements() -> list[str]:
    """The four packages that a registered model needs, pinned to the installed versions."""
    return [f"{name}=={importlib.metadata.version(name)}" for name in _REQUIRED_PACKAGES]


def other_requirements(folder: Path) -> list[str]:
    """Pinned packages of a model's folder that are missing or of another version here."""
    pins = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [f"{pin} (here: {here})" for pin in pins if (here := _installed(pin)) != pin]


def _installed(pin: str) -> str:
    """A pin with the version that is installed, or "not installed"."""
    name = pin.partition("==")[0]
    try:
        return f"{name}=={importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def synthetic_example(head: Mapping[str, Any]) -> pd.DataFrame:
    """Two invented input rows, since artifacts must not contain customer data."""
    names = [feature["name"] for feature in head["features"]]
    values = np.tile([[1.0], [2.0]], (1, len(names)))
    frame = pd.DataFrame(values, columns=names)
    for name in names:
        if name.removeprefix(LATE).startswith("stage__") and name.endswith("code"):
            frame[name] = 0.0  # the first stage of any taxonomy
    key_columns = pd.DataFrame({"customer_id": ["example-1", "example-2"]})
    key_columns["snapshot_at"] = pd.Series(["2020-01-01"] * 2).astype("datetime64[s]")
    return pd.concat([key_columns, frame], axis=1)
