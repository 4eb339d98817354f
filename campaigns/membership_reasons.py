"""Why each member fits: the sentence that stands beside them in the audience."""

from __future__ import annotations

import numpy as np
import pandas as pd

from campaigns.rules import Condition, Moment, Rule, Text, holds

REASON_COLUMNS = ("reason_1", "reason_2", "reason_3")


def reasons(rule: Rule, scores: pd.DataFrame, moment: Moment) -> Text:
    """Why each row fits: its stage and the affirmed conditions that hold, with its own values.

    The sentences ``reason_1..3`` of the scorer follow where the rows carry them.

    Returns
    -------
    ndarray of str, shape (rows,)
        Such as ``stage retention; churn_band high; p_churn 0.83``.
    """
    lines: list[list[str]] = [[] for _ in range(len(scores))]
    always = Condition("stage", "missing", False)
    for condition in (always, *_affirmed(rule)):
        if condition.column in scores and condition.node is None:
            hit = holds(condition, scores, moment) & scores[condition.column].notna().to_numpy(bool)
            values = scores[condition.column].to_numpy(dtype=object)
            for row in np.flatnonzero(hit):
                lines[row].append(f"{condition.column} {_shown(values[row])}")
    for name in REASON_COLUMNS:
        if name in scores:
            for line, text in zip(lines, scores[name], strict=True):
                if isinstance(text, str) and text:
                    line.append(text)
    return np.array(["; ".join(dict.fromkeys(line)) for line in lines], dtype=object)


def with_sentences(audience: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    """Audience rows whose members' reasons end with the sentences on their scores.

    Parameters
    ----------
    audience
        Rows of a plan; the removed stay as they are.
    told
        ``reason_1..3`` by customer_id; null where there is none.
    """
    lines = audience["reasons"].astype(object).to_numpy(copy=True)
    member = (audience["change"] != "removed").to_numpy()
    sentences = told.reindex(audience["customer_id"])[list(REASON_COLUMNS)].to_numpy(dtype=object)
    for row in np.flatnonzero(member):
        line = str(lines[row] or "")
        more = [text for text in sentences[row] if isinstance(text, str) and text not in line]
        lines[row] = "; ".join(filter(None, [line, *more]))
    return audience.assign(reasons=pd.Series(lines, index=audience.index).astype("str"))


def _affirmed(rule: Rule) -> list[Condition]:
    """Conditions not under a ``not``."""
    if isinstance(rule, Condition):
        return [rule]
    if rule.word == "not":
        return []
    return [found for part in rule.parts for found in _affirmed(part)]


def _shown(value: object) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.3g}"
    if hasattr(value, "strftime"):
        return str(value.strftime("%Y-%m-%d"))
    return str(value)
