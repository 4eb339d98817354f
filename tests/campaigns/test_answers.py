from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.answers import (
    expected_answer_date,
    people_for_an_answer,
    programme_sentences,
    result_sentence,
    with_answers,
)


def line(**cells: Any) -> dict[str, Any]:
    return {
        "campaign_id": "win_back", "by": "all", "group_name": "all", "outcome": "profit",
        "n_treatment": 900.0, "n_control": 100.0, "p_any_time": 0.001, "low_any_time": 0.1,
        "high_any_time": 3.0, "incremental_total": 1431.4, "incremental_low": 120.2,
        "incremental_high": 2700.0, "people_needed": np.nan, "answer_expected_at": pd.NaT,
        "difference": 1.59, "sample_ratio_p": 0.4, "note": "",
    } | cells  # fmt: skip


def sentences(*lines: dict[str, Any]) -> list[str]:
    answered = with_answers(pd.DataFrame(list(lines)))
    return [result_sentence(row, "Win-back", "EUR") for row in answered.itertuples()]


def test_each_answer_is_a_plain_sentence() -> None:
    waiting = {
        "low_any_time": -1.0, "p_any_time": 0.4, "incremental_low": -200.0,
        "people_needed": 4000.0, "answer_expected_at": pd.Timestamp("2025-03-01"),
    }  # fmt: skip
    small = {"p_any_time": np.nan, "people_needed": 4000.0}
    lost = {"low_any_time": -3.0, "high_any_time": -0.1, "incremental_total": -1431.4,
            "incremental_low": -2700.0, "incremental_high": -120.0}  # fmt: skip
    per_order = {"outcome": "revenue_per_order"}
    assert sentences(
        line(), line(**waiting), line(**small), line(**lost), line(outcome="response"),
        line(**lost, outcome="orders"),
        line(note="the arms' sizes contradict the draw: do not trust it", sample_ratio_p=1e-9),
        line(note="9 of 100 held-out customers got a message all the same", outcome="orders"),
        line(**per_order), line(**per_order, **waiting),
    ) == [
        "Win-back earned about 1,431 EUR more profit, somewhere between 120 and 2,700.",
        "Win-back: no answer yet. The effect is somewhere between -200 and 2,700 EUR of profit; an "
        "answer is expected by 2025-03-01.",
        "Win-back: no answer is possible yet with 1,000 people; about 4,000 are needed.",
        "Win-back brought about 1,431 EUR less profit, somewhere between 120 and 2,700 less.",
        "Win-back brought about 1,431 more responses, somewhere between 120 and 2,700.",
        "Win-back brought about 1,431 fewer orders, somewhere between 120 and 2,700 fewer.",
        "Win-back: the arms' sizes contradict the draw: do not trust it.",
        "Win-back brought about 1,431 more orders, somewhere between 120 and 2,700. But 9 of 100 "
        "held-out customers got a message all the same.",
        "Win-back: an order of contacted customers was worth about 1.59 EUR more than one of "
        "held-out customers, somewhere between 0.10 and 3.00.",
        "Win-back: no answer yet on the value of an order. The effect is somewhere between -1.00 "
        "and 3.00 EUR; an answer is expected by 2025-03-01.",
    ]  # fmt: skip


def test_one_clear_line_among_many_without_effect_is_no_answer() -> None:
    lines = [line(p_any_time=0.03)] + [line(p_any_time=0.8, low_any_time=-1.0)] * 19
    answered = with_answers(pd.DataFrame(lines))
    assert answered["q_value"].iloc[0] == pytest.approx(0.6)
    assert set(answered["answer"]) == {"not yet"}


def test_arms_that_contradict_the_draw_give_no_answer_and_count_among_no_others() -> None:
    invalid = line(sample_ratio_p=1e-9, p_any_time=1e-12)
    alone = with_answers(pd.DataFrame([line(p_any_time=0.04)] * 2))
    beside = with_answers(pd.DataFrame([line(p_any_time=0.04), line(p_any_time=0.04), invalid]))
    assert list(beside["answer"]) == ["gain", "gain", "not valid"]
    assert list(beside["q_value"][:2]) == list(alone["q_value"])
    assert np.isnan(beside["q_value"].iloc[2])


@given(st.integers(10, 10_000), st.floats(0.01, 10), st.floats(0.01, 100))
def test_people_for_an_answer_shrink_the_interval_to_the_difference(
    people: int, difference: float, distance: float
) -> None:
    needed = people_for_an_answer(people, difference, difference - distance, difference + distance)
    assert distance * np.sqrt(people / needed) <= difference * 1.0001
    assert people_for_an_answer(
        people, -difference, -difference - distance, -difference + distance
    ) == pytest.approx(needed)


def test_the_date_of_an_answer_follows_the_pace_of_entries() -> None:
    entered = pd.Series(pd.date_range("2024-01-01", periods=100))
    through = pd.Timestamp("2024-04-09")
    assert expected_answer_date(entered, through, 150) == through + pd.Timedelta(days=50)
    assert pd.isna(expected_answer_date(entered, through, 100))
    assert pd.isna(expected_answer_date(entered, through, 10_000))
    assert pd.isna(expected_answer_date(entered, through, float("nan")))


def test_the_programme_is_told_beside_the_sum_of_its_campaigns() -> None:
    revenue = {"outcome": "revenue"}
    effects = with_answers(
        pd.DataFrame([line(**revenue), line(**revenue, campaign_id="global_holdout")])
    )
    total, difference = programme_sentences(effects, "EUR")
    assert total.startswith("All campaigns together brought about 1,431 EUR more revenue")
    assert "add up to 1,431 EUR" in difference
    assert programme_sentences(effects.iloc[:1], "EUR") == []
