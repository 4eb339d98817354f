"""Features that depend on the population at a snapshot.

They are not in the feature frame but derived here from the frame and the scoring context, so that
given the context every row is predicted independently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .feature_rows import Rows, number_column, with_numbers
from .part import Array


def population_sums(frame: Rows) -> dict[str, float]:
    """Additive sums over the rows of one snapshot; sums of disjoint parts are added key by key."""
    gap_days = number_column(frame, "cadence__gap_mean")
    is_known = ~np.isnan(gap_days)
    return {
        "customers_with_gap": float(is_known.sum()),
        "gap_days": float(gap_days[is_known].sum()),
    }


def population_context(sums: Mapping[str, float]) -> dict[str, Any]:
    """Population part of the scoring context, from (added) `population_sums`.

    ``population_gap_days`` is the mean over customers of their mean gap between purchase days;
    null if no customer has bought on two days.
    """
    customers = sums["customers_with_gap"]
    return {"population_gap_days": sums["gap_days"] / customers if customers else None}


def _derived(frame: Rows, context: Mapping[str, Any]) -> dict[str, Array]:
    """The columns that `derive` adds.

    ``cadence__gap_shrunk`` (days): (span + 2 x population gap) / (purchase days + 1), and
    ``cadence__recency_over_gap_shrunk``; null for customers who never bought.
    """
    population_gap = context["population_gap_days"]
    purchase_days = number_column(frame, "cadence__days")
    span_days = number_column(frame, "cadence__span_days")
    recency = number_column(frame, "purchase__recency_days")
    bought_days = np.where(purchase_days > 0, purchase_days, np.nan)
    shrunk_gap = (span_days + 2.0 * (np.nan if population_gap is None else population_gap)) / (
        bought_days + 1.0
    )
    return {
        "cadence__gap_shrunk": shrunk_gap,
        "cadence__recency_over_gap_shrunk": recency / np.maximum(shrunk_gap, 1e-9),
    }


def derive(frame: Rows, context: Mapping[str, Any]) -> Any:
    """Feature frame of one snapshot with its context-dependent columns added (see `_derived`)."""
    return with_numbers(frame, _derived(frame, context))


def derive_each(
    frame: pd.DataFrame, contexts: Mapping[pd.Timestamp, Mapping[str, Any]]
) -> pd.DataFrame:
    """Feature frame of many snapshots with derived columns, each row by its snapshot's context."""
    if frame.empty:
        return frame
    snapshot_codes, snapshots = pd.factorize(frame["snapshot_at"])
    derived_parts = [
        pd.DataFrame(
            _derived(
                frame.iloc[np.flatnonzero(snapshot_codes == number)],
                contexts[pd.Timestamp(snapshot)],
            )
        )
        for number, snapshot in enumerate(snapshots)
    ]
    row_order = np.argsort(
        np.concatenate(
            [np.flatnonzero(snapshot_codes == number) for number in range(len(derived_parts))]
        )
    )
    derived_columns = pd.concat(derived_parts).iloc[row_order]
    return frame.assign(
        **{name: derived_columns[name].to_numpy() for name in derived_columns.columns}
    )


def model_columns(frame: pd.DataFrame) -> list[str]:
    """Model inputs: the float64 columns with a double underscore, in the order of the frame."""
    return [name for name in frame.columns if "__" in name and frame[name].dtype == np.float64]
