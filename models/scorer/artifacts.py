"""Write and read the folder of a scorer.

``scorer.json`` (the head), one folder per part, and ``manifest.json`` with the hashes of all of
them. The head: format, stages (names by code), lapsed_stage, features [{name, null}], pass_through
[{name, dtype}], training_context, lead {p, score, bands} or null, part_versions, and notes of the
trainer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .manifest import check_manifest, write_manifest
from .part import Part, read_artifact_json, write_artifact_json

_HEAD = "scorer.json"


def save_scorer(folder: Path, parts: Mapping[str, Part], head: Mapping[str, Any]) -> None:
    """Write parts and head into `folder`, as `load_scorer` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        part.save(folder / name)
    write_artifact_json(folder / _HEAD, {**head, "parts": sorted(parts)})
    write_manifest(folder)


def load_scorer(folder: Path) -> tuple[dict[str, Part], dict[str, Any]]:
    """Parts by name, and the head, of a folder written by `save_scorer`.

    Raises
    ------
    ValueError
        If the folder is damaged (`manifest.DamagedArtifact`), or written by another version of
        stagecast (`part.ForeignFormat`).
    """
    check_manifest(folder)
    head = read_artifact_json(folder / _HEAD)
    return {name: Part.load(folder / name) for name in head["parts"]}, head
