"""Reason codes: the three themes that move a customer's score most, with the customer's values.

One score a customer is explained, the one that campaigns act on: the churn risk of those eligible,
the chance of a first purchase of those who never bought, and the expected spend of all other
buyers. Additions of columns (`models.explaining.attribution`, and the terms of the linear halves)
are added up over themes, since windows of one role tell nearly the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from features.table.families.feature import FeatureSpec
from features.table.feature_columns import columns as catalogued
from models.explaining.attribution import mean_additions
from models.explaining.feature_themes import column_theme, is_sensitive_theme, theme_sentence
from models.scorer.churn import churn_btyd_logit, churn_eligible
from models.scorer.clv import clv_with_btyd
from models.scorer.clv_shapes import SHAPE_BOOSTERS, expected_spend
from models.scorer.contracts import contract_logit
from models.scorer.derived_features import derive
from models.scorer.linear_model import matrix, signed_log1p
from models.scorer.part import Part

_MOST_REASONS = 3
_LEAST_SHARE = 0.05  # of the moves in the same direction, below which a theme is no reason
_BATCH_ROWS = 20_000
REASON_CODES = tuple(f"reason_code_{n}" for n in range(1, _MOST_REASONS + 1))
REASON_SENTENCES = tuple(f"reason_{n}" for n in range(1, _MOST_REASONS + 1))
_DERIVED_MEANINGS = {
    "cadence__gap_shrunk": ("days", "usual gap between purchases"),
    "cadence__recency_over_gap_shrunk": (
        "ratio",
        "days since the last purchase as a multiple of the usual gap",
    ),
}


@dataclass(frozen=True)
class ReasonWords:
    """What sentences are made of.

    Attributes
    ----------
    meanings
        Unit and meaning of every column.
    stages
        Stage names by code.
    sensitive
        Attributes that no reason may name.
    currency
        Currency of amounts; empty: amounts without a unit.
    period_days
        Days of a period of the transition model; 0: unknown.
    """

    meanings: Mapping[str, tuple[str, str]]
    stages: Sequence[str]
    sensitive: tuple[str, ...]
    currency: str = ""
    period_days: int = 0

    @classmethod
    def of(
        cls,
        spec: FeatureSpec,
        stages: Sequence[str],
        sensitive: Sequence[str],
        *,
        currency: str = "",
        period_days: int = 0,
    ) -> ReasonWords:
        """Words of a data set's catalogue."""
        meanings = {column.name: (column.unit, column.meaning) for column in catalogued(spec)}
        return cls(
            {**meanings, **_DERIVED_MEANINGS}, stages, tuple(sensitive), currency, period_days
        )


def _linear_additions(parameters: Mapping[str, Any], frame: pd.DataFrame) -> pd.DataFrame:
    """What every column of a linear half adds, against a customer with the training's means."""
    z = signed_log1p(matrix(frame, parameters["columns"])) - np.asarray(parameters["means"])
    z = np.clip(np.nan_to_num(z / np.asarray(parameters["scales"])), -10.0, 10.0)
    added = z * np.asarray(parameters["coefficients"])
    return pd.DataFrame(added, index=frame.index, columns=parameters["columns"])


def churn_additions(part: Part, frame: pd.DataFrame, context: Mapping[str, Any]) -> pd.DataFrame:
    """What each column adds to the log-odds of `p_churn` before calibration, a usual one apart."""
    parameters, frame = part.parameters, derive(frame, context)
    weights = parameters["weights"]
    additions = pd.DataFrame(index=frame.index)
    for name, key in (("logistic", "linear"), ("rfm", "simple")):
        if weight := weights.get(name, 0.0):
            additions = _sum(additions, weight * _linear_additions(parameters[key], frame))
    if weight := weights.get("trees", 0.0):
        additions = _sum(additions, weight * _trees(part, "", parameters["columns"], frame))
    base_rate = parameters["bands"]["base_of_all"]
    usual_logit = np.log(base_rate) - np.log1p(-base_rate)
    if weight := weights.get("btyd", 0.0):
        btyd_logit = (
            churn_btyd_logit(parameters["btyd"], frame, parameters["horizon_days"]) - usual_logit
        )
        btyd_additions = pd.DataFrame({"btyd__p_alive": btyd_logit}, index=frame.index)
        additions = _sum(additions, weight * btyd_additions)
    if weight := weights.get("contract", 0.0):
        horizon = float(parameters["horizon_days"])
        logit = contract_logit(parameters["contract"], frame, horizon) - usual_logit
        tenure = pd.DataFrame({"contract__age": logit}, index=frame.index)
        additions = _sum(additions, weight * tenure)
    return additions


def lead_additions(part: Part, frame: pd.DataFrame) -> pd.DataFrame:
    """What each column adds to the log-odds of a first purchase, a usual lead's apart.

    No column where the part tells no leads apart.
    """
    first_purchase = part.parameters["first_purchase"]
    if first_purchase["linear"] is None:
        return pd.DataFrame(index=frame.index)
    has_trees = any(name.startswith("lead_") for name in part.boosters)
    linear_weight = first_purchase["linear_weight"] if has_trees else 1.0
    additions = linear_weight * _linear_additions(first_purchase["linear"], frame)
    if has_trees:
        additions = _sum(
            additions,
            (1.0 - linear_weight) * _trees(part, "lead_", first_purchase["columns"], frame),
        )
    return additions


def value_additions(part: Part, frame: pd.DataFrame) -> pd.DataFrame:
    """What each column adds to the log of the expected spend, a usual buyer's apart.

    The half that starts from BTYD has three columns: P(alive), the rate of those alive, and the
    value of a purchase day. With contracts it starts from the price, or the length of an ended one.
    """
    parameters = part.parameters
    rows = clv_with_btyd(part, frame)
    usual_log = np.log(
        parameters["floor"] * 1000.0
    )  # the mean BTYD expectation of the training date
    log_btyd = (
        np.log(np.maximum(rows["btyd__clv"].to_numpy(np.float64), parameters["floor"])) - usual_log
    )
    day_value, btyd = rows["btyd__expected_value"].to_numpy(np.float64), parameters["btyd"]
    distribution = btyd["value"]
    mean_value = (
        btyd["flat_value"]
        if distribution is None
        else distribution["p"] * distribution["v"] / (distribution["q"] - 1.0)
    )
    log_value = np.log(np.maximum(day_value, 1e-9) / max(float(mean_value), 1e-9))
    log_alive = np.log(np.maximum(rows["btyd__p_alive"].to_numpy(np.float64), 1e-3))
    btyd_additions = pd.DataFrame(
        {
            "btyd__p_alive": log_alive,
            "btyd__expected_value": log_value,
            "btyd__expected_days": log_btyd - log_alive - log_value,
        },
        index=frame.index,
    )
    starts = {"btyd": btyd_additions, "gbm_on_btyd": btyd_additions}
    if "contract__clv" in rows:
        expected = np.maximum(expected_spend(rows), parameters["floor"])
        ended = rows["contract__length"].notna().to_numpy()
        log_contract = np.log(expected) - usual_log
        contract_additions = pd.DataFrame(
            {
                "contract__price": np.where(ended, 0.0, log_contract),
                "contract__length": np.where(ended, log_contract, 0.0),
            },
            index=frame.index,
        )
        starts |= {"contract": contract_additions, "gbm_on_btyd": contract_additions}
    additions = pd.DataFrame(index=frame.index)
    for name, weight in parameters["weights"].items():
        additions = _sum(additions, weight * _shape_additions(part, name, rows, starts))
    return additions


def _shape_additions(
    part: Part, name: str, rows: pd.DataFrame, starts: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Additions to the log of one shape of CLV (see `models.scorer.clv_shapes`)."""
    parameters = part.parameters
    if name == "mean":
        return pd.DataFrame(index=rows.index)
    if name in ("btyd", "contract"):
        return starts.get(name, starts["btyd"])
    if name == "glm":
        return _linear_additions(parameters["glm"], rows)
    if name == "same_again":
        column = parameters["same_again"]
        past_spend = np.maximum(np.nan_to_num(rows[column].to_numpy(np.float64)), 0.0)
        usual = parameters["floor"] * 1000.0
        return pd.DataFrame({column: np.log((past_spend + usual) / (2.0 * usual))}, rows.index)
    additions = starts.get(name, pd.DataFrame(index=rows.index))
    for prefix in SHAPE_BOOSTERS[name]:
        additions = _sum(additions, _trees(part, prefix, parameters["columns"], rows))
    return additions


def _trees(part: Part, prefix: str, columns: list[str], frame: pd.DataFrame) -> pd.DataFrame:
    boosters = [part.boosters[name] for name in sorted(part.boosters) if name.startswith(prefix)]
    additions = mean_additions(boosters, matrix(frame, columns))
    return pd.DataFrame(additions, index=frame.index, columns=columns)


def _sum(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    return first.add(second, fill_value=0.0)


def additions_by_score(
    parts: Mapping[str, Part], frame: pd.DataFrame, context: Mapping[str, Any]
) -> dict[str, tuple[Array, pd.DataFrame]]:
    """Positions and additions of the rows that each score is explained for.

    ``churn`` (eligible), ``lead`` (never bought) and ``value`` (all other buyers); every row in
    one of them at most.
    """
    bought = frame["btyd__x"].notna().to_numpy()
    at_risk = np.full(len(frame), False)
    found: dict[str, tuple[Array, pd.DataFrame]] = {}
    if "churn" in parts:
        head = parts["churn"].parameters
        at_risk = churn_eligible(frame, head["activity_days"], by=head.get("by", "purchase"))
    if at_risk.any():
        rows = np.flatnonzero(at_risk)
        found["churn"] = rows, churn_additions(parts["churn"], frame.iloc[rows], context)
    if "clv" in parts:
        for name, mine in (("lead", ~bought), ("value", bought & ~at_risk)):
            if mine.any():
                rows, part = np.flatnonzero(mine), parts["clv"]
                chosen = frame.iloc[rows]
                of = lead_additions if name == "lead" else value_additions
                found[name] = rows, of(part, chosen)
    return found


def score_reasons(
    parts: Mapping[str, Part], frame: pd.DataFrame, context: Mapping[str, Any], words: ReasonWords
) -> pd.DataFrame:
    """Top three reasons of every row, as codes and sentences.

    A code is ``<score>_<up|down>_<theme>``: the score that is explained (churn, lead, value),
    whether the theme raises or lowers it, and the theme. All reasons of a row go the way in which
    its score departs from a usual customer's; a theme of under 5 % of that way is none.

    Parameters
    ----------
    parts
        Parts of the scorer.
    frame
        Feature frame of one snapshot, as for `predict_scores`.
    context
        Its scoring context.
    words
        What sentences are made of.

    Returns
    -------
    ``reason_code_1..3`` and ``reason_1..3`` (null where there are fewer), on the index of `frame`.
    """
    cells = np.full((len(frame), 2 * _MOST_REASONS), None, dtype=object)
    for start in range(0, len(frame), _BATCH_ROWS):
        rows = frame.iloc[start : start + _BATCH_ROWS]
        for subject, (at, added) in additions_by_score(parts, rows, context).items():
            _tell(cells[start : start + _BATCH_ROWS], at, subject, added, rows, words)
    return pd.DataFrame(
        cells, index=frame.index, columns=[*REASON_CODES, *REASON_SENTENCES], dtype=object
    )


def _tell(
    cells: Array,
    positions: Array,
    subject: str,
    additions: pd.DataFrame,
    frame: pd.DataFrame,
    words: ReasonWords,
) -> None:
    """Fill in codes and sentences of one score's rows."""
    values, columns = additions.to_numpy(dtype=np.float64), list(additions.columns)
    themes = sorted({column_theme(name) for name in columns})
    themes = [
        theme_name for theme_name in themes if not is_sensitive_theme(theme_name, words.sensitive)
    ]
    if not themes:
        return
    members = [
        [
            column_number
            for column_number, name in enumerate(columns)
            if column_theme(name) == theme_name
        ]
        for theme_name in themes
    ]
    by_theme = np.column_stack([values[:, theme_columns].sum(axis=1) for theme_columns in members])
    direction_sign = np.where(values.sum(axis=1) >= 0, 1.0, -1.0)
    shift = by_theme * direction_sign[:, None]
    order = np.argsort(-shift, axis=1, kind="stable")[:, :_MOST_REASONS]
    least_shift = _LEAST_SHARE * np.maximum(shift, 0.0).sum(axis=1)
    shown_columns = [name for name in frame.columns if "__" in name and frame[name].dtype == float]
    shown_positions = {name: positions for positions, name in enumerate(shown_columns)}
    shown_values = frame[shown_columns].to_numpy(dtype=np.float64, na_value=np.nan)
    stage_codes = (
        frame["stage__code"].to_numpy(dtype=np.float64) if "stage__code" in frame else None
    )
    for number, row in enumerate(positions):
        customer_row = _Row(shown_positions, shown_values[row])
        stage_name = None if stage_codes is None else _stage(stage_codes[row], words.stages)
        for reason_number, theme_number in enumerate(order[number]):
            if shift[number, theme_number] <= max(least_shift[number], 1e-12):
                break
            theme_columns = members[theme_number]
            strongest = columns[
                theme_columns[
                    int(np.argmax(values[number, theme_columns] * direction_sign[number]))
                ]
            ]
            direction = "up" if direction_sign[number] > 0 else "down"
            cells[row, reason_number] = f"{subject}_{direction}_{themes[theme_number]}"
            cells[row, _MOST_REASONS + reason_number] = theme_sentence(
                themes[theme_number],
                strongest,
                customer_row,
                words.meanings,
                stage=stage_name,
                currency=words.currency,
                period_days=words.period_days,
            )


class _Row(Mapping[str, float]):
    """One row's values by column, without a copy of them."""

    def __init__(self, places: Mapping[str, int], values: Array) -> None:
        self._places, self._values = places, values

    def __getitem__(self, name: str) -> float:
        return float(self._values[self._places[name]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _stage(code: float, stages: Sequence[str]) -> str | None:
    return stages[int(code)] if 0 <= code < len(stages) else None
