"""Scoring: the head of a scorer, the scoring context, and the scored rows of one snapshot."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from features.calendar import day_date
from features.contracts import CUSTOMER, KEY, SCORED_ROW
from features.lifecycle.definition_changes import caused_by_definition
from features.lifecycle.taxonomy_parser import Taxonomy
from features.progress import Told, unheard
from features.table.families import catalogue
from features.table.feature_store import Archive
from features.table.snapshot_builder import Builder
from models.registry.registry import Loaded
from models.scorer.derived_features import model_columns
from models.scorer.part import Part
from models.scorer.scoring_context import LATE, scorer_context, scorer_sums
from models.serving.batches import context_of, pieces, population_sums, predicted

_DTYPES = {"O": "string", "U": "string", "f": "double", "b": "bool", "M": "date"}


def _lapsed_stage(taxonomy: Taxonomy) -> str | None:
    """The stage that a buyer's silence leads to; None where the taxonomy has none."""
    names = [stage.name for stage in taxonomy.stages if stage.silent == "purchase"]
    return names[0] if names else None


def scorer_head(
    archive: Archive, parts: Mapping[str, Part], origin: int, *, versions: Mapping[str, int]
) -> dict[str, Any]:
    """Content of ``scorer.json``: what a scorer needs beside its parts.

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
    late_days = late_days_of(parts)
    features = with_late(archive, archive.features(origin), origin, late_days)
    nulls = {feature.name: feature.null for feature in catalogue(builder.spec)}
    columns = model_columns(features)
    profile = builder.profile(origin)
    return {
        "dataset": builder.config.name,
        "stages": builder.taxonomy.names,
        "lapsed_stage": _lapsed_stage(builder.taxonomy),
        "features": [
            {
                "name": name,
                "dtype": "double",
                "null": nulls.get(name.removeprefix(LATE), ""),
            }
            for name in columns
        ],
        "pass_through": [
            {"name": name, "dtype": _dtype(profile[name])}
            for name in profile.columns
            if name not in KEY
        ],
        "training_context": scorer_context(parts, scorer_sums(parts, features)),
        "trained_at": str(day_date(origin)),
        "part_versions": dict(versions),
        "late_days": late_days,
    }


def late_days_of(parts: Mapping[str, Part]) -> int:
    """Days by which the data of the current-stage model run behind; 0 where they do not."""
    return int(parts["stage"].parameters.get("late_days", 0)) if "stage" in parts else 0


class _Features(Protocol):
    """Whatever gives feature frames of snapshots, and the builder behind them."""

    @property
    def builder(self) -> Builder:
        """Builds what is asked for."""

    def features(self, at: int) -> pd.DataFrame:
        """Feature frame of a snapshot."""

    def delayed(self, at: int, delay: int) -> pd.DataFrame:
        """Feature frame of a snapshot from data that run some days behind."""


@dataclass(frozen=True)
class Unstored:
    """Features of a few customers, built when asked for and stored nowhere."""

    builder: Builder

    def features(self, at: int) -> pd.DataFrame:
        """Feature frame of a snapshot."""
        return self.builder.features(at)

    def delayed(self, at: int, delay: int) -> pd.DataFrame:
        """Feature frame of a snapshot from data that run some days behind."""
        return self.builder.features(at, delay=delay)


def with_late(archive: _Features, features: pd.DataFrame, at: int, late_days: int) -> pd.DataFrame:
    """Features with those of a current-stage model of late data beside them, marked as such."""
    if late_days == 0:
        return features
    late = archive.delayed(at, late_days)  # of the same customers, in the same order
    own = late[model_columns(late)].add_prefix(LATE)
    return pd.concat([features, own], axis=1)


def _dtype(column: pd.Series) -> str:
    declared = {c.name: c.dtype for c in SCORED_ROW}
    if column.name in declared:
        return declared[str(column.name)]
    return _DTYPES.get(column.dtype.kind, "string")


@dataclass(frozen=True)
class Stamp:
    """Who scored and when: the columns of the scored row that are the same for all customers.

    Attributes
    ----------
    run_id
        The scoring run.
    scored_at
        UTC moment, given by the flow.
    """

    run_id: str
    scored_at: dt.datetime


@dataclass(frozen=True)
class Before:
    """Scores published under other rules.

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
class Finish:
    """What scored rows say beside the scores.

    Attributes
    ----------
    stamp
        Who scores, and when.
    before
        Scores last published under other rules, to tell changes of stage that only these made.
    margins
        Share of each customer's spend that is earned, by id in rising order; None where products
        have no margins.
    usual_margin
        Of those who are not among them.
    """

    stamp: Stamp
    before: Before | None = None
    margins: pd.Series[Any] | None = None
    usual_margin: float = np.nan

    @classmethod
    def of(cls, stamp: Stamp, before: Before | None, margins: pd.Series[Any] | None) -> Finish:
        """With the mean margin as the usual one."""
        return cls(stamp, before, margins, np.nan if margins is None else float(margins.mean()))

    def among(self, first: str, end: str | None) -> Finish:
        """The same for customers with ids from one to before another (None: to the last)."""
        if self.margins is None:
            return self
        ids = self.margins.index
        last = None if end is None else int(ids.searchsorted(end))
        return replace(self, margins=self.margins.iloc[int(ids.searchsorted(first)) : last])

    def __call__(self, rows: pd.DataFrame, loaded: Loaded) -> pd.DataFrame:
        """The rows, stamped, with the cause of each change of stage and the margin in each CLV."""
        rows = stamped(rows, loaded, self.stamp)
        if self.before is not None:
            published = pd.read_parquet(self.before.folder, columns=[CUSTOMER, "stage"])
            rows = caused_by_definition(rows, published, self.before.snapshot_at)
        if self.margins is not None:
            share = self.margins.reindex(rows[CUSTOMER]).fillna(self.usual_margin)
            rows = rows.assign(clv_margin=rows["clv"] * share.to_numpy(dtype=float))
        return rows


def scoring_context(loaded: Loaded, features: pd.DataFrame) -> dict[str, Any]:
    """Population statistics of a snapshot, by one additive pass over its feature rows."""
    return context_of(loaded, [population_sums(loaded, one) for one in pieces(features)])


def scoring_frame(archive: _Features, at: int, *, late_days: int = 0) -> pd.DataFrame:
    """Input of the scorer at a snapshot: features and facts, one row an existing customer.

    A scorer whose current-stage model learned from late data (``late_days`` of its head) also
    reads what was known so many days before.
    """
    features, facts = archive.features(at), archive.builder.profile(at)
    features = with_late(archive, features, at, late_days)
    # The rule stage and eligibility are told by codes among the features; the scorer names them.
    inputs = features.drop(columns=["stage", "churn_eligible"]).reset_index(drop=True)
    return pd.concat([inputs, facts.drop(columns=KEY).reset_index(drop=True)], axis=1)


def score(
    loaded: Loaded, archive: Archive, at: int, finish: Finish, *, told: Told = unheard
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Scored rows of everyone who exists at a snapshot, and the scoring context used.

    How far it has come is told to `told`.

    Returns
    -------
    DataFrame
        The columns of `features.contracts.SCORED_ROW` and the declared attributes' preferences;
        one row a customer, in the order of their ids.
    dict
        The scoring context, to be stored with the scores.
    """
    frame = scoring_frame(archive, at, late_days=late_days_of(loaded.scorer.parts))
    rows, context = predicted(loaded, frame, threads=archive.builder.config.threads, told=told)
    return finish(rows, loaded), context


def stamped(rows: pd.DataFrame, loaded: Loaded, stamp: Stamp) -> pd.DataFrame:
    """Scored rows that say who scored them."""
    rows["scorer_version"] = str(loaded.version.version)
    rows["run_id"] = stamp.run_id
    rows["scored_at"] = np.datetime64(stamp.scored_at.replace(tzinfo=None), "us")
    return rows
