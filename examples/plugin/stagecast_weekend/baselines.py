"""A baseline that the served churn model is compared with, beside those of stagecast."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.training_set import TrainingSet
from models.scorer.part import Part

_COLUMN = "weekend__purchase_share"
_LABEL = "no_purchase"


def churn_by_weekend_share(
    data: TrainingSet, part: Part, rows: pd.DataFrame
) -> dict[str, Array] | None:
    """Share that stayed away among weekend buyers and among others; None without the column."""
    if _COLUMN not in rows or _COLUMN not in data.frame:
        return None
    known = data.frame[data.frame[_LABEL].notna()]
    churned = known[_LABEL].to_numpy(dtype=np.float64)
    mostly = known[_COLUMN].to_numpy() > 0.5
    rates = [churned[mostly == group].mean() if (mostly == group).any() else churned.mean()
             for group in (False, True)]  # fmt: skip
    return {"p_churn": np.where(rows[_COLUMN].to_numpy() > 0.5, rates[1], rates[0])}
