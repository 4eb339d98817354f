"""How many customers are to move where within some days, added up from the scorer's own curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.scorer.part import Part
from models.scorer.transition import predict_transition

_BATCH = 50_000  # customers at once: bounds memory


@dataclass(frozen=True)
class _ExpectedMoves:
    """Chances of moving within some days.

    Attributes
    ----------
    days
        Days looked ahead: whole periods of the transition model, the nearest to those asked for.
    chances
        Customers x stages: P(moved there within `days`); no chance of the own stage.
    """

    days: int
    chances: Array


def expected_moves(
    part: Part, frame: pd.DataFrame, context: Mapping[str, Any], *, within_days: int
) -> _ExpectedMoves:
    """Chance of every customer of a snapshot to have moved to each stage within some days.

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
    length, most = float(part.parameters["period_days"]), int(part.parameters["periods"])
    period = int(np.clip(round(within_days / length), 1, most))
    rows = [
        predict_transition(part, frame.iloc[start : start + _BATCH], context)["cif"][
            :, :, period - 1
        ]
        for start in range(0, len(frame), _BATCH)
    ]
    return _ExpectedMoves(round(period * length), np.concatenate(rows))


def summed(moves: _ExpectedMoves, groups: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Expected number of movers of every group to every stage.

    Parameters
    ----------
    moves
        From `expected_moves`.
    groups
        One row a customer, in the same order: what they are grouped by.
    names
        Stage names by code.

    Returns
    -------
    DataFrame
        The columns of `groups`, to_stage, expected (customers); pairs with any chance.
    """
    wide = pd.DataFrame(moves.chances, columns=list(names))
    keys = list(groups.columns)
    joined = pd.concat([groups.reset_index(drop=True), wide.add_prefix("to:")], axis=1)
    table = joined.groupby(keys, observed=True, dropna=False).sum().reset_index()
    long = table.melt(keys, var_name="to_stage", value_name="expected")
    long["to_stage"] = long["to_stage"].str.removeprefix("to:")
    return long[long["expected"] > 0].sort_values([*keys, "to_stage"], ignore_index=True)
