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
from models.explaining.feature_themes import said, sensitive_theme, theme
from models.scorer.churn import churn_btyd_logit, churn_eligible
from models.scorer.clv import clv_with_btyd
from models.scorer.derived_features import derive
from models.scorer.linear_model import matrix, signed_log1p
from models.scorer.part import Part

MOST = 3
LEAST_SHARE = 0.05  # of the moves in the same direction, below which a theme is no reason
BATCH = 20_000
CODES = tuple(f"reason_code_{n}" for n in range(1, MOST + 1))
SENTENCES = tuple(f"reason_{n}" for n in range(1, MOST + 1))
DERIVED = {
    "cadence__gap_shrunk": ("days", "usual gap between purchases"),
    "cadence__recency_over_gap_shrunk": (
        "ratio",
        "days since the last purchase as a multiple of the usual gap",
    ),
}


@dataclass(frozen=True)
class Words:
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
    ) -> Words:
        """Words of a data set's catalogue."""
        meanings = {column.name: (column.unit, column.meaning) for column in catalogued(spec)}
        return cls({**meanings, **DERIVED}, stages, tuple(sensitive), currency, period_days)


def linear_additions(parameters: Mapping[str, Any], frame: pd.DataFrame) -> pd.DataFrame:
    """What every column of a linear half adds, against a customer with the training's means."""
    z = signed_log1p(matrix(frame, parameters["columns"])) - np.asarray(parameters["means"])
    z = np.clip(np.nan_to_num(z / np.asarray(parameters["scales"])), -10.0, 10.0)
    added = z * np.asarray(parameters["coefficients"])
    return pd.DataFrame(added, index=frame.index, columns=parameters["columns"])


def churn_additions(part: Part, frame: pd.DataFrame, context: Mapping[str, Any]) -> pd.DataFrame:
    """What each column adds to the log-odds of `p_churn` before calibration, a usual one apart."""
    head, frame = part.parameters, derive(frame, context)
    weight = head["linear_weight"] if part.boosters else 1.0
    total = weight * linear_additions(head["linear"], frame)
    if part.boosters:
        total = _sum(total, (1.0 - weight) * _trees(part, "", head["columns"], frame))
    if share := head.get("simple_weight", 0.0):
        simple = linear_additions(head["simple"], frame)
        total = _sum((1.0 - share) * total, share * simple)
    if share := head.get("btyd_weight", 0.0):
        base = head["bands"]["base_of_all"]
        usual = np.log(base) - np.log1p(-base)
        silent = churn_btyd_logit(head["btyd"], frame, head["horizon_days"]) - usual
        added = pd.DataFrame({"btyd__p_alive": silent}, index=frame.index)
        total = _sum((1.0 - share) * total, share * added)
    return total


def lead_additions(part: Part, frame: pd.DataFrame) -> pd.DataFrame:
    """What each column adds to the log-odds of a first purchase, a usual lead's apart.

    No column where the part tells no leads apart.
    """
    first = part.parameters["first_purchase"]
    if first["linear"] is None:
        return pd.DataFrame(index=frame.index)
    trees = any(name.startswith("lead_") for name in part.boosters)
    weight = first["linear_weight"] if trees else 1.0
    total = weight * linear_additions(first["linear"], frame)
    if trees:
        total = _sum(total, (1.0 - weight) * _trees(part, "lead_", first["columns"], frame))
    return total


def value_additions(part: Part, frame: pd.DataFrame) -> pd.DataFrame:
    """What each column adds to the log of the expected spend, a usual buyer's apart.

    The half that starts from BTYD has three columns: P(alive), the rate of those alive, and the
    value of a purchase day.
    """
    head = part.parameters
    rows = clv_with_btyd(part, frame)
    usual = np.log(head["floor"] * 1000.0)  # the mean BTYD expectation of the training date
    start = np.log(np.maximum(rows["btyd__clv"].to_numpy(np.float64), head["floor"])) - usual
    worth, btyd = rows["btyd__expected_value"].to_numpy(np.float64), head["btyd"]
    value = btyd["value"]
    mean = btyd["flat_value"] if value is None else value["p"] * value["v"] / (value["q"] - 1.0)
    spent = np.log(np.maximum(worth, 1e-9) / max(float(mean), 1e-9))
    alive = np.log(np.maximum(rows["btyd__p_alive"].to_numpy(np.float64), 1e-3))
    plain = pd.DataFrame(
        {
            "btyd__p_alive": alive,
            "btyd__expected_value": spent,
            "btyd__expected_days": start - alive - spent,
        },
        index=frame.index,
    )
    if head["serve"] == "btyd":
        return plain
    half = _sum(plain, linear_additions(head["glm"], rows))
    for prefix in ("h_", "h2_"):
        half = _sum(half, _trees(part, prefix, head["columns"], rows))
    share = head.get("hybrid_weight", 1.0)
    return _sum(0.5 * share * half, (1.0 - share) * plain)


def _trees(part: Part, prefix: str, columns: list[str], frame: pd.DataFrame) -> pd.DataFrame:
    boosters = [part.boosters[name] for name in sorted(part.boosters) if name.startswith(prefix)]
    added = mean_additions(boosters, matrix(frame, columns))
    return pd.DataFrame(added, index=frame.index, columns=columns)


def _sum(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    return first.add(second, fill_value=0.0)


def subjects(
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


def reasons(
    parts: Mapping[str, Part], frame: pd.DataFrame, context: Mapping[str, Any], words: Words
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
    cells = np.full((len(frame), 2 * MOST), None, dtype=object)
    for start in range(0, len(frame), BATCH):
        rows = frame.iloc[start : start + BATCH]
        for subject, (at, added) in subjects(parts, rows, context).items():
            _tell(cells[start : start + BATCH], at, subject, added, rows, words)
    return pd.DataFrame(cells, index=frame.index, columns=[*CODES, *SENTENCES], dtype=object)


def _tell(
    cells: Array,
    at: Array,
    subject: str,
    added: pd.DataFrame,
    frame: pd.DataFrame,
    words: Words,
) -> None:
    """Fill in codes and sentences of one score's rows."""
    values, names = added.to_numpy(dtype=np.float64), list(added.columns)
    themes = sorted({theme(name) for name in names})
    themes = [each for each in themes if not sensitive_theme(each, words.sensitive)]
    if not themes:
        return
    members = [[c for c, name in enumerate(names) if theme(name) == each] for each in themes]
    by_theme = np.column_stack([values[:, mine].sum(axis=1) for mine in members])
    way = np.where(values.sum(axis=1) >= 0, 1.0, -1.0)
    moved = by_theme * way[:, None]
    order = np.argsort(-moved, axis=1, kind="stable")[:, :MOST]
    enough = LEAST_SHARE * np.maximum(moved, 0.0).sum(axis=1)
    names_shown = [name for name in frame.columns if "__" in name and frame[name].dtype == float]
    shown = {name: at for at, name in enumerate(names_shown)}
    block = frame[names_shown].to_numpy(dtype=np.float64, na_value=np.nan)
    stage = frame["stage__code"].to_numpy(dtype=np.float64) if "stage__code" in frame else None
    for number, row in enumerate(at):
        facts = _Row(shown, block[row])
        named = None if stage is None else _stage(stage[row], words.stages)
        for place, picked in enumerate(order[number]):
            if moved[number, picked] <= max(enough[number], 1e-12):
                break
            mine = members[picked]
            strongest = names[mine[int(np.argmax(values[number, mine] * way[number]))]]
            direction = "up" if way[number] > 0 else "down"
            cells[row, place] = f"{subject}_{direction}_{themes[picked]}"
            cells[row, MOST + place] = said(
                themes[picked],
                strongest,
                facts,
                words.meanings,
                stage=named,
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
