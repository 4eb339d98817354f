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
        line(note="the arms' sizes contradict the draw: do not trust it", sample_ratio_p=1e-9),
        line(note="9 of 100 held-out customers got a message all the same", outcome="orders"),
        line(**per_order), line(**per_order, **waiting),
    ) == [
        "Win-back earned about 1,431 EUR of profit more, somewhere between 120 and 2,700.",
        "Win-back: no answer yet, somewhere between -200 and 2,700 EUR of profit; expected by "
        "2025-03-01.",
        "Win-back: no answer is possible with 1,000 people: it needs about 4,000 people.",
        "Win-back lost about 1,431 EUR of profit, somewhere between -2,700 and -120.",
        "Win-back brought about 1,431 responses more, somewhere between 120 and 2,700.",
        "Win-back: the arms' sizes contradict the draw: do not trust it.",
        "Win-back brought about 1,431 orders more, somewhere between 120 and 2,700. But 9 of 100 "
        "held-out customers got a message all the same.",
        "Win-back: an order was worth about 1.59 EUR more, somewhere between 0.10 and 3.00.",
        "Win-back: no answer yet on the value of an order, somewhere between -1.00 and 3.00 EUR; "
        "expected by 2025-03-01.",
    ]  # fmt: skip


def test_one_clear_line_among_many_without_effect_is_no_answer() -> None:
    lines = [line(p_any_time=0.03)] + [line(p_any_time=0.8, low_any_time=-1.0)] * 19
    answered = with_answers(pd.DataFrame(lines))
    assert answered["q_value"].iloc[0] == pytest.approx(0.6)
    assert set(answered["answer"]) == {"not yet"}


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
    assert total.startswith("All campaigns together brought about 1,431 EUR of revenue more")
    assert "add up to 1,431 EUR" in difference
    assert programme_sentences(effects.iloc[:1], "EUR") == []
