"""The most important features of the served models, by gain, with plain descriptions."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from models.scorer.part import Part

_FEATURE_WORDS = {
    "stage__code": "the stage by rule",
    "stage__periods_in_stage": "how long in the present stage",
    "stage__silent_code": "the stage that silence would lead to",
    "stage__silent_period": "when silence would lead to another stage",
    "stage__after_purchase_code": "the stage after one more purchase",
    "stage__purchases_needed": "purchases needed for the next stage",
    "stage__days_to_lapse": "days until the rules call them lapsed",
    "cadence__gap_shrunk": "usual days between purchases, adjusted toward the overall average",
    "cadence__recency_over_gap_shrunk": "silence as a multiple of the usual gap",
    "btyd__p_alive": "chance of still being a customer (BTYD)",
    "btyd__expected_days": "purchase days to come (BTYD)",
    "btyd__expected_value": "money a purchase day (BTYD)",
    "btyd__clv": "spend to come (BTYD)",
}

_LEAD_PREFIX = "lead_"  # boosters for customers who never bought; left out


def top_features(part: Part, meanings: Mapping[str, str], *, max_features: int = 8) -> pd.DataFrame:
    """Features with the largest gain in a part's trees.

    Parameters
    ----------
    part
        A fitted part.
    meanings
        Description of each catalogued column.
    max_features
        Largest number of features.

    Returns
    -------
    DataFrame
        feature, meaning, gain (share of the total gain, mean over the part's boosters), the largest
        first; no rows if the part has no trees.
    """
    gain_shares = []
    columns = list(part.parameters.get("columns", []))
    for name, booster in part.boosters.items():
        if name.startswith(_LEAD_PREFIX):
            continue
        # Boosters know positions, not names. Positions after the columns are added by the model
        # (such as the destination in the timing model).
        booster_gains = booster.feature_importance("gain")[: len(columns)]
        gain = pd.Series(booster_gains, index=columns)
        if gain.sum() > 0:
            gain_shares.append(gain / gain.sum())
    if not gain_shares:
        return pd.DataFrame({"feature": [], "meaning": [], "gain": []})
    mean_gain = (pd.concat(gain_shares, axis=1).fillna(0.0)).mean(axis=1)
    top_gains = mean_gain.sort_values(ascending=False, kind="stable").head(max_features)
    top_gains = top_gains[top_gains > 0]
    sentences = [
        _FEATURE_WORDS.get(str(name)) or meanings.get(str(name), str(name))
        for name in top_gains.index
    ]
    return pd.DataFrame(
        {"feature": top_gains.index.astype(str), "meaning": sentences, "gain": top_gains.to_numpy()}
    )
