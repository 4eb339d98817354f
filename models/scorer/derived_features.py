"""Features that depend on the population at a snapshot.

What depends on the population is not in the feature frame: it is derived here from the frame and
the scoring context, so that given the context every prediction is row-wise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def population_sums(frame: pd.DataFrame) -> dict[str, float]:
    """Additive sums over the rows of one snapshot; sums of disjoint parts are added key by key."""
    gap = frame["cadence__gap_mean"].to_numpy(dtype=np.float64, na_value=np.nan)
    known = ~np.isnan(gap)
    return {"customers_with_gap": float(known.sum()), "gap_days": float(gap[known].sum())}


def population_context(sums: Mapping[str, float]) -> dict[str, Any]:
    """Population part of the scoring context, from (added) `population_sums`.

    ``population_gap_days`` is the mean over customers of their mean gap between purchase days;
    null when nobody has bought on two days.
    """
    known = sums["customers_with_gap"]
    return {"population_gap_days": sums["gap_days"] / known if known else None}


def derived(frame: pd.DataFrame, context: Mapping[str, Any]) -> pd.DataFrame:
    """Only the columns that `derive` adds, on the index of `frame`.

    ``cadence__gap_shrunk`` (days): (span + 2 x population gap) / (purchase days + 1), and
    ``cadence__recency_over_gap_shrunk``; null for those who never bought.
    """
    gap = context["population_gap_days"]
    days = frame["cadence__days"].to_numpy(dtype=np.float64, na_value=np.nan)
    span = frame["cadence__span_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    recency = frame["purchase__recency_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    bought = np.where(days > 0, days, np.nan)
    shrunk = (span + 2.0 * (np.nan if gap is None else gap)) / (bought + 1.0)
    columns = {
        "cadence__gap_shrunk": shrunk,
        "cadence__recency_over_gap_shrunk": recency / np.maximum(shrunk, 1e-9),
    }
    return pd.DataFrame(columns, index=frame.index)


def derive(frame: pd.DataFrame, context: Mapping[str, Any]) -> pd.DataFrame:
    """Feature frame of one snapshot with its context-dependent columns added (see `derived`)."""
    return frame.assign(**derived(frame, context))


def derive_each(
    frame: pd.DataFrame, contexts: Mapping[pd.Timestamp, Mapping[str, Any]]
) -> pd.DataFrame:
    """Feature frame of many snapshots, each derived with the context of its own snapshot."""
    if frame.empty:
        return frame
    code, snapshots = pd.factorize(frame["snapshot_at"])
    parts = [
        derived(frame.iloc[np.flatnonzero(code == at)], contexts[pd.Timestamp(snapshot)])
        for at, snapshot in enumerate(snapshots)
    ]
    order = np.argsort(np.concatenate([np.flatnonzero(code == at) for at in range(len(parts))]))
    added = pd.concat(parts).iloc[order]
    return frame.assign(**{name: added[name].to_numpy() for name in added.columns})


def model_columns(frame: pd.DataFrame) -> list[str]:
    """Model inputs: the float64 columns with a double underscore, in the order of the frame."""
    return [name for name in frame.columns if "__" in name and frame[name].dtype == np.float64]
