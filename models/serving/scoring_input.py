"""Input of the scorer at a snapshot: feature and fact columns, as a frame or as arrays.

Without MLflow and the registry, which take seconds to import: single customers are scored with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from features.contracts import KEY
from features.table.snapshot_builder import Builder
from models.scorer.derived_features import model_columns
from models.scorer.part import Part
from models.scorer.scoring_context import LATE


def stage_late_days(parts: Mapping[str, Part]) -> int:
    """Reporting delay in days that the current-stage model was fitted for; 0 without one."""
    return int(parts["stage"].parameters.get("late_days", 0)) if "stage" in parts else 0


class _FeatureSource(Protocol):
    """Source of feature frames of snapshots, with its builder."""

    @property
    def builder(self) -> Builder:
        """The builder of features and facts."""

    def features(self, at: int) -> pd.DataFrame:
        """Feature frame of a snapshot."""

    def delayed(self, at: int, delay: int) -> pd.DataFrame:
        """Feature frame of a snapshot from data that run some days behind."""


@dataclass(frozen=True)
class UnstoredFeatures:
    """Features of some customers, built on request and not stored."""

    builder: Builder

    def features(self, at: int) -> pd.DataFrame:
        """Feature frame of a snapshot."""
        return self.builder.features(at)

    def delayed(self, at: int, delay: int) -> pd.DataFrame:
        """Feature frame of a snapshot from data that run some days behind."""
        return self.builder.features(at, delay=delay)


def add_late_features(
    archive: _FeatureSource, features: pd.DataFrame, day: int, late_days: int
) -> pd.DataFrame:
    """Add the features for a current-stage model of late data, with the prefix `LATE`."""
    if late_days == 0:
        return features
    late_frame = archive.delayed(day, late_days)  # of the same customers, in the same order
    late_columns = late_frame[model_columns(late_frame)].add_prefix(LATE)
    return pd.concat([features, late_columns], axis=1)


def scoring_frame(archive: _FeatureSource, day: int, *, late_days: int = 0) -> pd.DataFrame:
    """Input of the scorer at a snapshot: features and facts, one row per existing customer.

    With ``late_days`` (see the scorer's head) it also holds the features known so many days before.
    """
    features, facts = archive.features(day), archive.builder.profile(day)
    features = add_late_features(archive, features, day, late_days)
    # The features hold rule stage and eligibility as codes; the scorer adds their names.
    inputs = features.drop(columns=["stage", "churn_eligible"]).reset_index(drop=True)
    return pd.concat([inputs, facts.drop(columns=KEY).reset_index(drop=True)], axis=1)


def scoring_columns(builder: Builder, day: int, *, late_days: int = 0) -> dict[str, Any]:
    """Columns of `scoring_frame` by name, as arrays, without a frame: for a few customers."""
    columns = builder.columns(day)
    if late_days:
        late_columns = builder.columns(day, delay=late_days)
        columns |= {
            f"{LATE}{name}": values
            for name, values in late_columns.items()
            if "__" in name and values.dtype == np.float64
        }
    del columns["stage"], columns["churn_eligible"]
    return columns | builder.profile_columns(day)
