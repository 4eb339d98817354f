"""What is logged with a model beside its parts: a copy of `models.scorer`, packages, an example."""

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
ENTRY = "stagecast_model.py"
REQUIREMENTS = ("mlflow", "lightgbm", "numpy", "pandas")


@dataclass(frozen=True)
class LoggedCode:
    """Where the copy lies: the package, and the file that MLflow runs to find the model."""

    package: Path
    entry: Path


def package_name() -> str:
    """``stagecast_scorer_<hash>``: equal code has one name, so versions never share by chance."""
    content = hashlib.sha256()
    for path in sorted(PACKAGE.glob("*.py")):
        text = path.read_bytes()
        content.update(f"{path.name} {len(text)}\n".encode() + text)
    return f"stagecast_scorer_{content.hexdigest()[:16]}"


def copied_code(folder: Path) -> LoggedCode:
    """Copy the package into `folder` under its unique name, with MLflow's entry beside it."""
    name = package_name()
    shutil.copytree(PACKAGE, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    entry = folder / ENTRY
    entry.write_text(
        f"from mlflow.models import set_model\nfrom {name}.pyfunc import Scorer\n\n"
        "set_model(Scorer())\n",
        encoding="utf-8",
    )
    return LoggedCode(folder / name, entry)


@contextmanager
def importable(*folders: Path) -> Iterator[None]:
    """Modules in these folders can be imported meanwhile, from their sources alone.

    Compiled copies are neither written beside the sources, where they would be files that nobody
    listed, nor read from there, where nothing says that they were made from these sources. What is
    on the import path at the end is what was there before.
    """
    before = list(sys.path), sys.dont_write_bytecode, sys.pycache_prefix
    sys.path[:0] = map(str, folders)
    # A place that does not exist: a file is no folder.
    sys.dont_write_bytecode, sys.pycache_prefix = True, str(PACKAGE / "__init__.py" / "none")
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode, sys.pycache_prefix = before


def requirements() -> list[str]:
    """The four packages that a registered model needs, pinned to those of the training."""
    return [f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS]


def synthetic_example(head: Mapping[str, Any]) -> pd.DataFrame:
    """Two invented rows in the shape of the input: no customer's data goes into an artifact."""
    names = [feature["name"] for feature in head["features"]]
    values = np.tile([[1.0], [2.0]], (1, len(names)))
    frame = pd.DataFrame(values, columns=names)
    for name in names:
        if name.removeprefix(LATE).startswith("stage__") and name.endswith("code"):
            frame[name] = 0.0  # the first stage of any taxonomy
    keys = pd.DataFrame({"customer_id": ["example-1", "example-2"]})
    keys["snapshot_at"] = pd.Series(["2020-01-01"] * 2).astype("datetime64[s]")
    return pd.concat([keys, frame], axis=1)
