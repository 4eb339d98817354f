"""Answers from measured effects: gain, loss, not yet or too small, when, and in a sentence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from campaigns.effects.sample_ratio import SAMPLE_RATIO_ALARM
from campaigns.effects.share_effect import LEVEL

GAIN, LOSS, NOT_YET, TOO_SMALL, NOT_VALID = "gain", "loss", "not yet", "too small", "not valid"
GLOBAL_HOLDOUT = "global_holdout"  # campaign_id of the lines about all campaigns together
_MOST_DAYS_AHEAD = 730  # later answers are not announced


def with_answers(effects: pd.DataFrame) -> pd.DataFrame:
    """Effects with the rate of false discoveries over all lines, and an answer each.

    Lines whose arms contradict the draw have no valid p-value: they do not count among the others.
    """
    has_interval = effects["p_any_time"].notna().to_numpy(dtype=bool)
    contradicts_draw = (effects["sample_ratio_p"] < SAMPLE_RATIO_ALARM).to_numpy(dtype=bool)
    tested = has_interval & ~contradicts_draw
    q_values = np.full(len(effects), np.nan)
    if tested.any():
        p_values = effects.loc[tested, "p_any_time"].to_numpy(dtype=float)
        q_values[tested] = stats.false_discovery_control(p_values, method="bh")
    is_clear = q_values <= LEVEL
    conditions = [
        ~has_interval,
        contradicts_draw,
        is_clear & (effects["low_any_time"] > 0),
        is_clear & (effects["high_any_time"] < 0),
    ]
    answers = np.select(conditions, [TOO_SMALL, NOT_VALID, GAIN, LOSS], default=NOT_YET).astype(
        object
    )
    dates = effects["answer_expected_at"].where(np.isin(answers, [NOT_YET, TOO_SMALL]))
    needed = effects["people_needed"].where(np.isin(answers, [NOT_YET, TOO_SMALL]))
    return effects.assign(
        q_value=q_values, answer=answers, answer_expected_at=dates, people_needed=needed
    )


def people_for_an_answer(people: int, difference: float, low: float, high: float) -> float:
    """People until the interval excludes zero, if the difference stays; NaN without one."""
    distance = difference - low if difference > 0 else high - difference
    if not difference or not math.isfinite(distance):
        return float("nan")
    return math.ceil(people * (distance / difference) ** 2)


def expected_answer_date(
    entered_at: pd.Series, data_through: pd.Timestamp, people_needed: float
) -> pd.Timestamp:
    """Day on which the needed people have entered at the average pace so far.

    NaT if there are enough already, and if it would take more than two years.
    """
    missing = people_needed - len(entered_at)
    if not missing > 0:
        return pd.NaT
    days_so_far = (data_through - pd.to_datetime(entered_at).min()).days + 1
    days_ahead = missing * max(days_so_far, 1) / len(entered_at)
    if days_ahead > _MOST_DAYS_AHEAD:
        return pd.NaT
    return data_through + pd.Timedelta(days=math.ceil(days_ahead))


def result_sentence(line: Any, title: str, currency: str) -> str:
    """Result of one line in plain words.

    Parameters
    ----------
    line
        A row of `campaigns.measurement.campaign_effects`, as a named tuple.
    title
        Name of the campaign.
    currency
        Currency of revenue and profit.
    """
    if line.answer == NOT_VALID:
        return f"{title}: {line.note}."
    if line.note and line.answer != TOO_SMALL:
        return f"{_answer_sentence(line, title, currency)} But {line.note}."
    return _answer_sentence(line, title, currency)


def _answer_sentence(line: Any, title: str, currency: str) -> str:
    """Say the answer of one line; its arms agree with the draw."""
    if line.answer == TOO_SMALL:
        people = int(line.n_treatment + line.n_control)
        need = line.people_needed
        needed = f"; about {need:,.0f} are needed" if need == need else ""
        return f"{title}: no answer is possible yet with {people:,} people{needed}{_by(line)}."
    if line.outcome == "revenue_per_order":
        return _ratio_sentence(line, title, currency)
    is_gain, is_count = line.answer == GAIN, line.outcome in ("response", "orders")
    # Of a loss, the interval is that of what is lost.
    ends = sorted(abs(end) for end in (line.incremental_low, line.incremental_high))
    between = f"somewhere between {ends[0]:,.0f} and {ends[1]:,.0f}"
    amount = f"{abs(line.incremental_total):,.0f}"
    if line.answer in (GAIN, LOSS):
        if is_count:
            counted = "responses" if line.outcome == "response" else "orders"
            what = f"{amount} {'more' if is_gain else 'fewer'} {counted}"
            return f"{title} brought about {what}, {between}{'' if is_gain else ' fewer'}."
        verb = "earned" if is_gain and line.outcome == "profit" else "brought"
        what = f"{amount} {currency} {'more' if is_gain else 'less'} {line.outcome}"
        return f"{title} {verb} about {what}, {between}{'' if is_gain else ' less'}."
    unit = {"response": "responses", "orders": "orders"}.get(
        line.outcome, f"{currency} of {line.outcome}"
    )
    low, high = f"{line.incremental_low:,.0f}", f"{line.incremental_high:,.0f}"
    return (
        f"{title}: no answer yet. The effect is somewhere between {low} and {high} "
        f"{unit}{_by(line)}."
    )


def _ratio_sentence(line: Any, title: str, currency: str) -> str:
    """Say how the value of an order differs between the arms."""
    if line.answer not in (GAIN, LOSS):
        low, high = f"{line.low_any_time:,.2f}", f"{line.high_any_time:,.2f}"
        return (
            f"{title}: no answer yet on the value of an order. The effect is somewhere between "
            f"{low} and {high} {currency}{_by(line)}."
        )
    ends = sorted(abs(end) for end in (line.low_any_time, line.high_any_time))
    size = f"{abs(line.difference):,.2f} {currency}"
    direction = "more" if line.answer == GAIN else "less"
    return (
        f"{title}: an order of contacted customers was worth about {size} {direction} than one of "
        f"held-out customers, somewhere between {ends[0]:,.2f} and {ends[1]:,.2f}."
    )


def _by(line: Any) -> str:
    """When an answer is expected; empty if unknown."""
    if pd.isna(line.answer_expected_at):
        return ""
    return f"; an answer is expected by {pd.Timestamp(line.answer_expected_at).date()}"


def programme_sentences(effects: pd.DataFrame, currency: str) -> list[str]:
    """Total of all campaigns from the global hold-out, and how the sum of campaigns differs.

    Empty without a global hold-out.
    """
    whole = effects[(effects["by"] == "all") & (effects["outcome"] == "revenue")]
    is_global = whole["campaign_id"] == GLOBAL_HOLDOUT
    if not is_global.any():
        return []
    total = next(whole[is_global].itertuples())
    sentences = [result_sentence(total, "All campaigns together", currency)]
    is_valid = whole["answer"] != NOT_VALID
    single = whole.loc[~is_global & is_valid, "incremental_total"].dropna()
    if len(single):
        sentences.append(
            f"The campaigns one by one add up to {single.sum():,.0f} {currency} of revenue. The "
            "sums differ: a customer may be in several campaigns, each campaign counts its own "
            "days only, and only the global hold-out sees orders that one campaign takes from "
            "another."
        )
    return sentences
