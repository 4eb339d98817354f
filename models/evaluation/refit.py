"""The recipe of an earlier scorer, fitted on the data of today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from features.config.config import Config, StagesFile, key_effects
from features.table.build_fingerprint import column_names
from features.table.feature_store import Archive
from features.table.prediction_targets import TaskName
from models.evaluation.fit_and_test import fit_before
from models.scorer.part import Part


@dataclass(frozen=True)
class NarrowedArchive(Archive):
    """An archive without some of its feature columns, as an earlier recipe knew it.

    Attributes
    ----------
    source
        The archive of today, which builds and stores snapshots.
    left_out
        Columns that the recipe did not ask for.
    """

    source: Archive
    left_out: frozenset[str]

    def delayed(self, at: int, delay: int) -> pd.DataFrame:
        """Feature frame of a snapshot, without the columns left out."""
        frame = self.source.delayed(at, delay)
        return frame.drop(columns=[name for name in frame if name in self.left_out])


@dataclass(frozen=True)
class EarlierRecipe:
    """How an earlier scorer learned, on the data of today.

    Attributes
    ----------
    config
        The config of today with all that decides how the earlier models learned.
    left_out
        Feature columns of today that the earlier recipe did not have.
    """

    config: Config
    left_out: frozenset[str]


def earlier_recipe(
    content: Mapping[str, Any] | None, columns: Sequence[str] | None, now: Config
) -> EarlierRecipe | str:
    """The recipe of an earlier training, or why it cannot be fitted today.

    Parameters
    ----------
    content, columns
        Config and feature columns as the training stored them; None where it did not.
    now
        The config of today's archive, which says where the data lie and how far they reach.
    """
    try:
        then = Config.model_validate(content or {})
    except ValidationError:
        return "its config is not stored in a form that this version reads"
    if columns is None:
        return "the names of its features are not stored"
    effects = key_effects()
    meaning = [key for key, affects in effects.items() if affects.recipe and affects.features]
    changed = [
        key
        for key in meaning
        if key != "windows" and _unplaced(getattr(then, key)) != _unplaced(getattr(now, key))
    ]
    if then.churn.by != now.churn.by:
        changed.append("churn.by")
    if changed:
        return f"{', '.join(changed)} changed, so that today's features mean something else"
    built = set(column_names(now))
    if missing := sorted(set(columns) - built):
        return f"{len(missing)} of its features are not built any more ({missing[0]})"
    learning = [key for key, affects in effects.items() if affects.recipe]
    settings = {key: getattr(then, key) for key in learning} | {"stages": now.stages}
    config = now.model_copy(update=settings)
    return EarlierRecipe(config, frozenset(built - set(columns)))


def refit(archive: Archive, recipe: EarlierRecipe, task: TaskName, origin: int) -> Part:
    """Fit a task by an earlier recipe on what had matured by an origin (day number)."""
    builder = replace(archive.builder, config=recipe.config)
    narrowed = NarrowedArchive(archive.folder, builder, archive, recipe.left_out)
    _, part, _ = fit_before(narrowed, task, origin)
    return part


def _unplaced(value: Any) -> Any:
    """A value of the config; of a taxonomy's file its name alone.

    A shipped taxonomy lies in another folder in every installation.
    """
    if isinstance(value, StagesFile):
        return value.model_copy(update={"file": Path(value.file).name})
    return value
