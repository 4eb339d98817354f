"""The scoring context: statistics of all customers of a snapshot that every prediction needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .clv import clv_context, clv_sums
from .derived_features import population_context, population_sums
from .feature_rows import FeatureRows, Rows
from .part import Part

# Prefix of features known some days before the snapshot, for a current-stage model of late data.
LATE = "late__"


def late_inputs(frame: Rows) -> Any:
    """Input of a current-stage model of late data: columns with the prefix `LATE`, without it.

    None if there are no such columns: the model then reads the features of all models.
    """
    late_columns = [name for name in frame.columns if name.startswith(LATE)]
    if not late_columns:
        return None
    if isinstance(frame, FeatureRows):
        columns = {name.removeprefix(LATE): frame[name] for name in late_columns}
        return FeatureRows({"customer_id": frame["customer_id"], **columns}, len(frame))
    keys = [name for name in ("customer_id", "snapshot_at") if name in frame]
    return frame[keys + late_columns].rename(
        columns={name: name.removeprefix(LATE) for name in late_columns}
    )


def scorer_sums(parts: Mapping[str, Part], frame: Rows) -> dict[str, float]:
    """Additive sums over the rows of one snapshot, the first pass of scoring (see `add_sums`)."""
    sums = {f"population.{key}": value for key, value in population_sums(frame).items()}
    if "stage" in parts and (late_frame := late_inputs(frame)) is not None:
        sums |= {f"late.{key}": value for key, value in population_sums(late_frame).items()}
    if "clv" in parts:
        sums |= {f"clv.{key}": value for key, value in clv_sums(parts["clv"], frame).items()}
    return sums


def add_sums(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Sums of two disjoint sets of customers, added key by key."""
    return {key: first.get(key, 0.0) + second.get(key, 0.0) for key in {**first, **second}}


def scorer_context(parts: Mapping[str, Part], sums: Mapping[str, float]) -> dict[str, Any]:
    """Scoring context of a snapshot, JSON-able, from the (added) `scorer_sums` of its customers."""

    def of(prefix: str) -> dict[str, float]:
        return {
            key.removeprefix(prefix): value for key, value in sums.items() if key.startswith(prefix)
        }

    context = population_context(of("population."))
    if late_sums := of("late."):
        context["late"] = population_context(late_sums)
    if "clv" in parts:
        context |= clv_context(parts["clv"], of("clv."))
    return context
