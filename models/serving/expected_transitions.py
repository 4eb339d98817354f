"""Expected number of customers who move to each stage, from the scorer's incidence curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.scorer.part import Part
from models.scorer.transition import predict_transition

_BATCH = 50_000  # customers predicted at once, to limit memory


@dataclass(frozen=True)
class _ExpectedMoves:
    """Probabilities of moving within some days.

    Attributes
    ----------
    days
        Days ahead: the nearest multiple of the transition model's period.
    chances
        Customers x stages: P(moved there within `days`); 0 for the customer's own stage.
    """

    days: int
    chances: Array


def expected_moves(
    part: Part, frame: pd.DataFrame, context: Mapping[str, Any], *, within_days: int
) -> _ExpectedMoves:
    """Probability of every customer to move to each stage within some days.

    Parameters
    ----------
    part
        The scorer's transition part.
    frame
        Feature frame of the customers.
    context
        Scoring context of the snapshot.
    within_days
        Days to look ahead.
    """
    period_days, periods = float(part.parameters["period_days"]), int(part.parameters["periods"])
    period = int(np.clip(round(within_days / period_days), 1, periods))
    incidences = [
        predict_transition(part, frame.iloc[start : start + _BATCH], context)["cif"][
            :, :, period - 1
        ]
        for start in range(0, len(frame), _BATCH)
    ]
    return _ExpectedMoves(round(period * period_days), np.concatenate(incidences))


def expected_by_group(
    moves: _ExpectedMoves, groups: pd.DataFrame, names: Sequence[str]
) -> pd.DataFrame:
    """Expected number of movers of every group to every stage.

    Parameters
    ----------
    moves
        From `expected_moves`.
    groups
        Columns to group by, one row per customer in the same order.
    names
        Stage names by code.

    Returns
    -------
    DataFrame
        The columns of `groups`, to_stage, expected (customers); only rows above 0.
    """
    chances = pd.DataFrame(moves.chances, columns=list(names))
    group_columns = list(groups.columns)
    joined = pd.concat([groups.reset_index(drop=True), chances.add_prefix("to:")], axis=1)
    sums = joined.groupby(group_columns, observed=True, dropna=False).sum().reset_index()
    moves_table = sums.melt(group_columns, var_name="to_stage", value_name="expected")
    moves_table["to_stage"] = moves_table["to_stage"].str.removeprefix("to:")
    return moves_table[moves_table["expected"] > 0].sort_values(
        [*group_columns, "to_stage"], ignore_index=True
    )
