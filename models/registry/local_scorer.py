"""The parts of a registered scorer, read from a local registry without importing MLflow."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.registry.artifact_integrity import MANIFEST_TAG, check_seal
from models.registry.local_registry import local_artifacts, local_versions
from models.registry.logged_code import importable_folders

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ScorerParts:
    """What explains and describes scores: a scorer without MLflow's model around it.

    Attributes
    ----------
    parts
        The scorer's parts, by name of their task.
    head
        Facts of the whole scorer (see `models.scorer.artifacts`).
    folder
        Its artifacts on this machine.
    version
        Its number in the registry.
    predict
        Scored rows of a feature frame, with a scoring context.
    score_columns
        The same of columns without a frame, as plain values (`models.scorer.row_scoring`); None in
        scorers of earlier versions.
    """

    parts: Mapping[str, Any]
    head: Mapping[str, Any]
    folder: Path
    version: int
    predict: Callable[[pd.DataFrame, Mapping[str, Any]], pd.DataFrame]
    score_columns: Callable[[Mapping[str, Any], Mapping[str, Any]], list[dict[str, Any]]] | None


def local_scorer(output: Path, name: str, version: int) -> ScorerParts | None:
    """Parts of a version, by the code that was logged with it.

    Returns
    -------
    ScorerParts or None
        None if registry or artifacts are elsewhere, or do not load: MLflow has to be asked, and
        says why.
    """
    tags = [row.tags for row in local_versions(output, name) or () if row.version == version]
    folder = local_artifacts(output, name, version)
    if not tags or MANIFEST_TAG not in tags[0] or folder is None:
        return None
    try:
        check_seal(folder, tags[0][MANIFEST_TAG])
        (package,) = (path.name for path in (folder / "code").iterdir() if path.is_dir())
        with importable_folders(folder / "code"):
            logged_code = importlib.import_module(f"{package}.artifacts")
            frames = importlib.import_module(f"{package}.predict")
            has_rows = (folder / "code" / package / "row_scoring.py").is_file()
            rows = importlib.import_module(f"{package}.row_scoring") if has_rows else None
        parts, head = logged_code.load_scorer(folder / "artifacts" / "scorer")
    except (OSError, ValueError, KeyError, ImportError):
        return None

    def predict(frame: pd.DataFrame, context: Mapping[str, Any]) -> pd.DataFrame:
        return frames.predict_scores(parts, frame, context, head)

    def score_columns(
        columns: Mapping[str, Any], context: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        assert rows is not None
        scored: list[dict[str, Any]] = rows.score_columns(parts, columns, context, head)
        return scored

    return ScorerParts(
        parts, head, folder, version, predict, None if rows is None else score_columns
    )
