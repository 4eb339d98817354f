"""What the served models look at most: the gain of every feature, in a marketer's words."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from models.scorer.part import Part

CLOCKS = {
    "stage__code": "the stage by rule",
    "stage__periods_in_stage": "how long in the present stage",
    "stage__silent_code": "the stage that silence would lead to",
    "stage__silent_period": "when silence would lead to another stage",
    "stage__after_purchase_code": "the stage after one more purchase",
    "stage__purchases_needed": "purchases needed for the next stage",
    "stage__days_to_lapse": "days until the rules call them lapsed",
    "cadence__gap_shrunk": "usual days between purchases, drawn toward everybody's",
    "cadence__recency_over_gap_shrunk": "silence as a multiple of the usual gap",
    "btyd__p_alive": "chance of still being a customer (BTYD)",
    "btyd__expected_days": "purchase days to come (BTYD)",
    "btyd__expected_value": "money a purchase day (BTYD)",
    "btyd__clv": "spend to come (BTYD)",
}

OTHERS = "lead_"  # boosters of other customers than the part's own: who never bought


def drivers(part: Part, meanings: Mapping[str, str], *, most: int = 8) -> pd.DataFrame:
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
        if name.startswith(OTHERS):
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
    told = [CLOCKS.get(str(name)) or meanings.get(str(name), str(name)) for name in top.index]
    return pd.DataFrame({"feature": top.index.astype(str), "meaning": told, "gain": top.to_numpy()})
