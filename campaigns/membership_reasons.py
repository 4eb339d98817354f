"""Reasons of membership: the text beside each member in the audience."""

from __future__ import annotations

import numpy as np
import pandas as pd

from campaigns.rule_wording import value_text
from campaigns.rules import AudienceRule, Condition, RuleContext, TextArray, rule_holds
from features.contracts import column_label

SCORE_REASON_COLUMNS = ("reason_1", "reason_2", "reason_3")


def membership_reasons(
    rule: AudienceRule, scores: pd.DataFrame, rule_context: RuleContext
) -> TextArray:
    """Text per row: the stage and the conditions that hold, with the row's values.

    The scorer's sentences ``reason_1..3`` follow if the rows have them.

    Returns
    -------
    ndarray of str, shape (rows,)
        Such as ``stage retention; churn band high; churn risk 83 %``.
    """
    sentences: list[list[str]] = [[] for _ in range(len(scores))]
    always = Condition("stage", "missing", False)
    for condition in (always, *_affirmed_conditions(rule)):
        if condition.column in scores and condition.node is None:
            applies = rule_holds(condition, scores, rule_context) & scores[
                condition.column
            ].notna().to_numpy(bool)
            values = scores[condition.column].to_numpy(dtype=object)
            for position in np.flatnonzero(applies):
                text = value_text(condition.column, values[position])
                sentences[position].append(f"{column_label(condition.column)} {text}")
    for column in SCORE_REASON_COLUMNS:
        if column in scores:
            for customer_sentences, sentence in zip(sentences, scores[column], strict=True):
                if isinstance(sentence, str) and sentence:
                    customer_sentences.append(sentence)
    return np.array(
        ["; ".join(dict.fromkeys(customer_sentences)) for customer_sentences in sentences],
        dtype=object,
    )


def with_score_reasons(audience: pd.DataFrame, score_reasons: pd.DataFrame) -> pd.DataFrame:
    """Append the sentences on the scores to the members' reasons.

    Parameters
    ----------
    audience
        Rows of a plan; removed customers keep their text.
    score_reasons
        ``reason_1..3`` by customer_id; null if there is none.
    """
    reason_texts = audience["reasons"].astype(object).to_numpy(copy=True)
    is_member = (audience["change"] != "removed").to_numpy()
    sentences = score_reasons.reindex(audience["customer_id"])[list(SCORE_REASON_COLUMNS)].to_numpy(
        dtype=object
    )
    for position in np.flatnonzero(is_member):
        reason_text = str(reason_texts[position] or "")
        new_sentences = [
            text
            for text in sentences[position]
            if isinstance(text, str) and text not in reason_text
        ]
        reason_texts[position] = "; ".join(filter(None, [reason_text, *new_sentences]))
    return audience.assign(reasons=pd.Series(reason_texts, index=audience.index).astype("str"))


def _affirmed_conditions(rule: AudienceRule) -> list[Condition]:
    """Conditions outside any ``not``."""
    if isinstance(rule, Condition):
        return [rule]
    if rule.word == "not":
        return []
    return [condition for part in rule.parts for condition in _affirmed_conditions(part)]
