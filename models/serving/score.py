"""Score one snapshot: scorer head, scoring context and scored rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.calendar import day_date
from features.contracts import CUSTOMER, KEY, SCORED_ROW
from features.lifecycle.definition_changes import caused_by_definition
from features.lifecycle.taxonomy_parser import Taxonomy
from features.progress import Told, unheard
from features.table.families import catalogue
from features.table.feature_store import Archive
from models.registry.registry import Loaded
from models.scorer.derived_features import model_columns
from models.scorer.part import Part
from models.scorer.scoring_context import LATE, scorer_context, scorer_sums
from models.serving.batches import batch_sums, context_from_sums, predict_batches, split_batches
from models.serving.plugin_families import plugin_packages
from models.serving.scoring_input import add_late_features as add_late_features
from models.serving.scoring_input import scoring_frame as scoring_frame
from models.serving.scoring_input import stage_late_days as stage_late_days

_DTYPES = {"O": "string", "U": "string", "f": "double", "b": "bool", "M": "date"}


def _lapsed_stage(taxonomy: Taxonomy) -> str | None:
    """The stage that a buyer enters without further purchases; None if the taxonomy has none."""
    names = [stage.name for stage in taxonomy.stages if stage.silent == "purchase"]
    return names[0] if names else None


def scorer_head(
    archive: Archive, parts: Mapping[str, Part], origin: int, *, versions: Mapping[str, int]
) -> dict[str, Any]:
    """Content of ``scorer.json``: facts that a scorer needs beside its parts.

    Parameters
    ----------
    archive
        The data set it was trained on.
    parts
        Fitted parts.
    origin
        Day number of the training date, whose population is the default scoring context.
    versions
        Registered version of each part.
    """
    builder = archive.builder
    late_days = stage_late_days(parts)
    features = add_late_features(archive, archive.features(origin), origin, late_days)
    null_meanings = {feature.name: feature.null for feature in catalogue(builder.spec)}
    columns = model_columns(features)
    customer_facts = builder.profile(origin)
    return {
        "dataset": builder.config.name,
        "stages": builder.taxonomy.names,
        "lapsed_stage": _lapsed_stage(builder.taxonomy),
        "features": [
            {
                "name": name,
                "dtype": "double",
                "null": null_meanings.get(name.removeprefix(LATE), ""),
            }
            for name in columns
        ],
        "scored_row": {column.name: column.dtype for column in SCORED_ROW},
        "pass_through": [
            {"name": name, "dtype": _dtype(customer_facts[name])}
            for name in customer_facts.columns
            if name not in KEY
        ],
        "training_context": scorer_context(parts, scorer_sums(parts, features)),
        "trained_at": str(day_date(origin)),
        "part_versions": dict(versions),
        "late_days": late_days,
        "plugins": plugin_packages(columns),
    }


def _dtype(column: pd.Series) -> str:
    declared_types = {c.name: c.dtype for c in SCORED_ROW}
    if column.name in declared_types:
        return declared_types[str(column.name)]
    return _DTYPES.get(column.dtype.kind, "string")


@dataclass(frozen=True)
class ScoreStamp:
    """Columns of the scored row that are the same for all customers.

    Attributes
    ----------
    run_id
        The scoring run.
    scored_at
        UTC time of the run.
    """

    run_id: str
    scored_at: dt.datetime


@dataclass(frozen=True)
class PublishedScores:
    """Scores published under earlier stage rules.

    Attributes
    ----------
    folder
        Their parquet files.
    snapshot_at
        Their date.
    """

    folder: Path
    snapshot_at: dt.date


@dataclass(frozen=True)
class RowFinisher:
    """Complete scored rows with stamp, causes of stage changes and margins.

    Attributes
    ----------
    stamp
        Run id and time of scoring.
    before
        Scores last published under earlier rules, to mark stage changes caused by the new rules.
    margins
        Margin as a share of spend by customer id, in rising order; None if products have none.
    usual_margin
        Margin of customers who are not in `margins`.
    """

    stamp: ScoreStamp
    before: PublishedScores | None = None
    margins: pd.Series[Any] | None = None
    usual_margin: float = np.nan

    @classmethod
    def of(
        cls, stamp: ScoreStamp, before: PublishedScores | None, margins: pd.Series[Any] | None
    ) -> RowFinisher:
        """Use the mean of the margins as the usual margin."""
        return cls(stamp, before, margins, np.nan if margins is None else float(margins.mean()))

    def among(self, first: str, end: str | None) -> RowFinisher:
        """Restrict to ids from `first` to before `end` (None: to the last)."""
        if self.margins is None:
            return self
        ids = self.margins.index
        end_position = None if end is None else int(ids.searchsorted(end))
        return replace(self, margins=self.margins.iloc[int(ids.searchsorted(first)) : end_position])

    def __call__(self, rows: pd.DataFrame, loaded: Loaded) -> pd.DataFrame:
        """Add stamp, cause of each stage change, and margin of the CLV to the rows."""
        rows = stamp_rows(rows, loaded, self.stamp)
        if self.before is not None:
            published = pd.read_parquet(self.before.folder, columns=[CUSTOMER, "stage"])
            rows = caused_by_definition(rows, published, self.before.snapshot_at)
        if self.margins is not None:
            margin_share = self.margins.reindex(rows[CUSTOMER]).fillna(self.usual_margin)
            rows = rows.assign(clv_margin=rows["clv"] * margin_share.to_numpy(dtype=float))
        return rows


def snapshot_context(loaded: Loaded, features: pd.DataFrame) -> dict[str, Any]:
    """Scoring context of a snapshot, by one additive pass over its feature rows."""
    return context_from_sums(
        loaded, [batch_sums(loaded, batch) for batch in split_batches(features)]
    )


def score_snapshot(
    loaded: Loaded, archive: Archive, day: int, finish: RowFinisher, *, progress: Told = unheard
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Scored rows of all customers who exist at a snapshot, and the scoring context used.

    Calls `progress` with the number of customers done.

    Returns
    -------
    DataFrame
        The columns of `features.contracts.SCORED_ROW` and the preferred values of declared
        attributes; one row per customer, sorted by id.
    dict
        The scoring context, to be stored with the scores.
    """
    frame = scoring_frame(archive, day, late_days=stage_late_days(loaded.scorer.parts))
    rows, context = predict_batches(
        loaded, frame, threads=archive.builder.config.threads, progress=progress
    )
    return finish(rows, loaded), context


def stamp_rows(rows: pd.DataFrame, loaded: Loaded, stamp: ScoreStamp) -> pd.DataFrame:
    """Add scorer version, run id and time of scoring to scored rows."""
    rows["scorer_version"] = str(loaded.version.version)
    rows["run_id"] = stamp.run_id
    rows["scored_at"] = np.datetime64(stamp.scored_at.replace(tzinfo=None), "us")
    return rows
