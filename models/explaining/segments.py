"""Churn risk against value: the segments that the two cut-offs of the champion make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.scorer.part import Part


@dataclass(frozen=True)
class _Segment:
    """A named segment: its customers, and what to do."""

    name: str
    who: str
    advice: str


SEGMENTS = (
    _Segment("Save now", "high expected spend, above-average risk of leaving",
            "Contact first and in person; offer service before discounts."),
    _Segment("Look after", "high expected spend, low risk of leaving",
            "Keep up the service; ask for reviews and referrals. No discounts needed."),
    _Segment("Grow", "lower expected spend so far, low risk of leaving",
            "Show related products; make the next order easy."),
    _Segment("Automate", "lower expected spend, above-average risk of leaving",
            "Low-cost automatic messages only; learn from the replies."),
    _Segment("Win back", "former buyers, no longer active: no purchase for too long, or cancelled",
            "One or two win-back messages, then stop."),
    _Segment("Leads", "never bought", "Welcome them, inform them, and call the best of them."),
)  # fmt: skip
SEGMENT_NAMES = tuple(segment.name for segment in SEGMENTS)


@dataclass(frozen=True)
class SegmentCutoffs:
    """Cut-offs that stay with the model version.

    Attributes
    ----------
    risk
        Share of leavers at the training's validation: a higher `p_churn` is a higher risk.
    value
        CLV from which a customer counts as worth much: the lower end of the mid value tier.
    """

    risk: float
    value: float

    def audience_rule(self, segment: str) -> dict[str, Any]:
        """The rule on scored columns, in a playbook's syntax, that holds for a segment's customers.

        Raises
        ------
        KeyError
            For a name that is no segment's.
        """
        at_risk = {"column": "p_churn", ">=": self.risk}
        loyal = {"column": "p_churn", "<": self.risk}
        valuable = {"column": "clv", ">=": self.value}
        inactive = {"column": "p_churn", "missing": True}
        never_bought = {"column": "average_order_value", "missing": True}
        rules: dict[str, list[dict[str, Any]]] = {
            "Save now": [at_risk, valuable],
            "Look after": [loyal, valuable],
            "Grow": [loyal, {"not": valuable}],
            "Automate": [at_risk, {"not": valuable}],
            "Win back": [inactive, {"not": never_bought}],
            "Leads": [inactive, never_bought],
        }
        return {"all": rules[segment]}


def segment_cutoffs(parts: Mapping[str, Part]) -> SegmentCutoffs:
    """The cut-offs that the scorer's churn and CLV parts hold."""
    return SegmentCutoffs(
        risk=float(parts["churn"].parameters["bands"]["base_of_all"]),
        value=float(parts["clv"].parameters["tiers"]["mid"]),
    )


def customer_segments(scores: pd.DataFrame, cut: SegmentCutoffs) -> pd.Series:
    """Segment of every scored customer, on the index of `scores`.

    Parameters
    ----------
    scores
        Scored rows: p_churn (null: not eligible), clv, average_order_value (null: never bought).
    cut
        From `cuts`.
    """
    active = scores["p_churn"].notna().to_numpy()
    risky = scores["p_churn"].to_numpy(dtype=np.float64, na_value=np.nan) >= cut.risk
    worthy = scores["clv"].to_numpy(dtype=np.float64, na_value=np.nan) >= cut.value
    bought = scores["average_order_value"].notna().to_numpy()
    told = np.select(
        [active & risky & worthy, active & worthy, active & ~risky, active, bought],
        SEGMENT_NAMES[:5],
        default=SEGMENT_NAMES[5],
    )
    return pd.Series(
        pd.Categorical(told, categories=SEGMENT_NAMES), index=scores.index, name="segment"
    )
