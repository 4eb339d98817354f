"""The points table: what a sales team would count by hand, the baseline of the lead score."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from features.arrays import Array
from features.config.config import Config
from features.table.feature_store import Archive

# Points an event of a role, where the config gives none for its type.
_ROLE_POINTS = {"touch": 2.0, "intent": 5.0, "lead": 5.0, "redemption": 3.0, "support": 2.0}
# Of several half-lives tried on simulated leads, the one that ranks them best.
_DAYS, _HALF_LIFE_DAYS = 90, 10.0


def _points_of(config: Config) -> dict[str, float]:
    """Points by event type: those of the config, else by the type's role."""
    by_role = {
        kind: points
        for role, points in _ROLE_POINTS.items()
        for kind in config.role_types().get(role, ())
    }
    return dict(config.lead.points) if config.lead.points else by_role


def lead_points(archive: Archive, at: int, customers: pd.Series) -> Array:
    """Points of customers at a snapshot: events of the last 90 days, halved every ten days."""
    rows = archive.daily(at - _DAYS, at)
    return weighed(rows, _points_of(archive.builder.config), at, customers)


def weighed(
    rows: pd.DataFrame, points: Mapping[str, float], at: int, customers: pd.Series
) -> Array:
    """Points of customers from tallies (event_type, day, count); 0 where there are none."""
    worth = rows["event_type"].map(dict(points)).fillna(0.0).to_numpy(dtype=np.float64)
    fresh = 0.5 ** ((at - rows["day"].to_numpy()) / _HALF_LIFE_DAYS)
    total = pd.Series(worth * rows["count"].to_numpy() * fresh).groupby(
        rows["customer_id"].to_numpy()
    )
    return total.sum().reindex(customers).fillna(0.0).to_numpy(dtype=np.float64)
