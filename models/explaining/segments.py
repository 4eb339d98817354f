"""Customer segments by churn risk and value, split at two cut-offs of the champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.scorer.part import Part


@dataclass(frozen=True)
class _Segment:
    """A named segment: description of its customers, and advice."""

    name: str
    who: str
    advice: str


SEGMENTS = (
    _Segment("Save now", "high value and above-average risk of leaving",
            "Address first and in person; service before discounts."),
    _Segment("Look after", "high value and likely to stay",
            "Keep the service good; ask for reviews and referrals; no discounts needed."),
    _Segment("Grow", "lower value so far and likely to stay",
            "Show related products; make the next order easy."),
    _Segment("Automate", "lower value and above-average risk of leaving",
            "Cheap automatic messages only; learn from those who answer."),
    _Segment("Win back", "bought before, no longer active: silent for too long, or cancelled",
            "One or two win-back messages, then let them rest."),
    _Segment("Leads", "never bought", "Welcome, teach, and call the best of them."),
)  # fmt: skip
SEGMENT_NAMES = tuple(segment.name for segment in SEGMENTS)


@dataclass(frozen=True)
class SegmentCutoffs:
    """Cut-offs between segments, fixed by the model version.

    Attributes
    ----------
    risk
        Share of leavers at the training's validation; a `p_churn` at or above it is high risk.
    value
        Lower bound of the mid value tier; a CLV at or above it is high value (money).
    """

    risk: float
    value: float


def segment_cutoffs(parts: Mapping[str, Part]) -> SegmentCutoffs:
    """Cut-offs stored in the scorer's churn and CLV parts."""
    return SegmentCutoffs(
        risk=float(parts["churn"].parameters["bands"]["base_of_all"]),
        value=float(parts["clv"].parameters["tiers"]["mid"]),
    )


def customer_segments(scores: pd.DataFrame, cutoffs: SegmentCutoffs) -> pd.Series:
    """Segment of each scored customer, on the index of `scores`.

    Parameters
    ----------
    scores
        Scored rows: p_churn (null: not eligible), clv, average_order_value (null: never bought).
    cutoffs
        From `segment_cutoffs`.
    """
    is_active = scores["p_churn"].notna().to_numpy()
    is_risky = scores["p_churn"].to_numpy(dtype=np.float64, na_value=np.nan) >= cutoffs.risk
    is_valuable = scores["clv"].to_numpy(dtype=np.float64, na_value=np.nan) >= cutoffs.value
    has_bought = scores["average_order_value"].notna().to_numpy()
    segment_names = np.select(
        [
            is_active & is_risky & is_valuable,
            is_active & is_valuable,
            is_active & ~is_risky,
            is_active,
            has_bought,
        ],
        SEGMENT_NAMES[:5],
        default=SEGMENT_NAMES[5],
    )
    return pd.Series(
        pd.Categorical(segment_names, categories=SEGMENT_NAMES), index=scores.index, name="segment"
    )
