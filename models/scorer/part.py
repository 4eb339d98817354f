"""One fitted model as data: JSON parameters and LightGBM boosters, no code and no pickle."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from .tree_text import check_tree_text

FORMAT = 5  # raised when the layout of the artifacts changes
Array = np.ndarray[Any, Any]


class ForeignFormat(ValueError):
    """Artifacts of another version of stagecast."""


@dataclass(frozen=True)
class Part:
    """One fitted model as data: JSON parameters and LightGBM boosters, no code and no pickle.

    Attributes
    ----------
    name
        ``stage``, ``transition``, ``churn``, ``clv`` or ``uplift``.
    parameters
        JSON-able: feature lists, coefficients, means, knots, edges, horizons.
    boosters
        LightGBM boosters by a short name.
    """

    name: str
    parameters: dict[str, Any]
    boosters: dict[str, lgb.Booster] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write ``part.json`` and one text model per booster into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        head = {"name": self.name, "boosters": sorted(self.boosters)}
        write_artifact_json(folder / "part.json", {**head, "parameters": self.parameters})
        for name, booster in self.boosters.items():
            (folder / f"{name}.txt").write_text(booster.model_to_string(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Part:
        """Read a folder written by `save`.

        Raises
        ------
        ValueError
            If a file is not as `save` writes it; the message names the file.
        """
        head = read_artifact_json(folder / "part.json")
        boosters = {name: _booster(folder / f"{name}.txt") for name in head["boosters"]}
        return cls(name=head["name"], parameters=head["parameters"], boosters=boosters)


def write_artifact_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object as JSON, with the format of the artifacts.

    Raises
    ------
    ValueError
        If a number is not finite, which JSON cannot hold.
    """
    text = json.dumps({**content, "format": FORMAT}, indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text, encoding="utf-8")


def read_artifact_json(path: Path) -> dict[str, Any]:
    """Read a file written by `write_artifact_json`.

    Raises
    ------
    ForeignFormat
        If the file has another format.
    ValueError
        If it is not a JSON object, or holds a number that is not finite.
    """
    text = path.read_text(encoding="utf-8")
    try:
        content = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        raise ValueError(f"{path.name}: not JSON of finite numbers") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path.name}: not a JSON object")
    if content.get("format") != FORMAT:
        raise ForeignFormat(
            f"artifacts of format {content.get('format')}, this code reads format {FORMAT}: "
            "train again with this version (stagecast train)"
        )
    return content


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _booster(path: Path) -> lgb.Booster:
    """Check a LightGBM text model and load it."""
    try:
        text = check_tree_text(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    return lgb.Booster(model_str=text)
