"""What the served models look at most: the gain of every feature, in a marketer's words."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from models.scorer.part import Part

_FEATURE_WORDS = {
    "stage__code": "stage by the rules",
    "stage__periods_in_stage": "time in the current stage",
    "stage__silent_code": "next stage if no event happens",
    "stage__silent_period": "time until the stage changes if no event happens",
    "stage__after_purchase_code": "stage after one more purchase",
    "stage__purchases_needed": "purchases needed for the next stage",
    "stage__days_to_lapse": "days until the customer lapses by the rules",
    "cadence__gap_shrunk": "usual days between purchases, adjusted toward the average",
    "cadence__recency_over_gap_shrunk": "days since the last purchase, in usual gaps",
    "btyd__p_alive": "chance of still being a customer (purchase model)",
    "btyd__expected_days": "expected days with a purchase (purchase model)",
    "btyd__expected_value": "expected spend per day with a purchase (purchase model)",
    "btyd__clv": "expected spend (purchase model)",
    "contract__clv": "expected payments (contract model)",
}

_LEAD_PREFIX = "lead_"  # boosters of other customers than the part's own: who never bought


def top_features(part: Part, meanings: Mapping[str, str], *, most: int = 8) -> pd.DataFrame:
    """The features by which a part's trees gain most.

    Parameters
    ----------
    part
        A fitted part.
    meanings
        Sentence of every catalogued column.
    most
        Features at most.

    Returns
    -------
    DataFrame
        feature, meaning, gain (share of all gain, mean over the part's boosters; the listed ones
        need not sum to 1), the largest first; no rows where the part has no trees.
    """
    shares = []
    columns = list(part.parameters.get("columns", []))
    for name, booster in part.boosters.items():
        if name.startswith(_LEAD_PREFIX):
            continue
        # Boosters know places, not names; what follows the columns is the model's own (such as the
        # destination, when the timing of a move is learned).
        values = booster.feature_importance("gain")[: len(columns)]
        gain = pd.Series(values, index=columns)
        if gain.sum() > 0:
            shares.append(gain / gain.sum())
    if not shares:
        return pd.DataFrame({"feature": [], "meaning": [], "gain": []})
    mean = (pd.concat(shares, axis=1).fillna(0.0)).mean(axis=1)
    top = mean.sort_values(ascending=False, kind="stable").head(most)
    top = top[top > 0]
    told = [
        _FEATURE_WORDS.get(str(name)) or meanings.get(str(name), str(name)) for name in top.index
    ]
    return pd.DataFrame({"feature": top.index.astype(str), "meaning": told, "gain": top.to_numpy()})
