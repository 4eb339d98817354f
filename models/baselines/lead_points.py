"""Baseline of the lead score: a points table, as sales teams count by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from features.arrays import Array
from features.config.config import Config
from features.table.feature_store import Archive

# Points per event of a role, for event types without points in the config.
_ROLE_POINTS = {"touch": 2.0, "intent": 5.0, "lead": 5.0, "redemption": 3.0, "support": 2.0}
# The half-life that ranked simulated leads best, of several tried.
_DAYS, _HALF_LIFE_DAYS = 90, 10.0


def _points_of(config: Config) -> dict[str, float]:
    """Points by event type: those of the config, else those of the type's role."""
    role_points = {
        event_type: points
        for role, points in _ROLE_POINTS.items()
        for event_type in config.role_types().get(role, ())
    }
    return dict(config.lead.points) if config.lead.points else role_points


def lead_points(archive: Archive, day: int, customers: pd.Series) -> Array:
    """Points of customers at a snapshot: events of the last 90 days, with a half-life of 10."""
    tallies = archive.daily(day - _DAYS, day)
    return sum_points(tallies, _points_of(archive.builder.config), day, customers)


def sum_points(
    tallies: pd.DataFrame, points: Mapping[str, float], day: int, customers: pd.Series
) -> Array:
    """Points of customers from tallies (event_type, day, count); 0 without tallies."""
    event_points = tallies["event_type"].map(dict(points)).fillna(0.0).to_numpy(dtype=np.float64)
    decay = 0.5 ** ((day - tallies["day"].to_numpy()) / _HALF_LIFE_DAYS)
    total = pd.Series(event_points * tallies["count"].to_numpy() * decay).groupby(
        tallies["customer_id"].to_numpy()
    )
    return total.sum().reindex(customers).fillna(0.0).to_numpy(dtype=np.float64)
