from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.membership_reasons import membership_reasons
from campaigns.rule_wording import describe_rule
from campaigns.rules import RuleContext, RuleError, parse_rule, rule_holds
from features.errors import UserError

FRAME = pd.DataFrame(
    {
        "churn_band": ["high", "low", None, "medium"],
        "p_churn": [0.5, 0.49, np.nan, 0.9],
        "stage_since": pd.to_datetime(["2018-01-01", "2017-12-31", None, "2017-11-01"]),
        "expected_next_order_at": pd.to_datetime(["2018-01-08", "2018-01-09", None, "2017-12-31"]),
        "flags": ['["a", "b"]', "[]", None, '["ab"]'],
        "churn_eligible": [True, True, False, True],
    }
)
MOMENT = RuleContext(pd.Timestamp("2018-01-01"), {"L": 1.0})


def truth(rule: object) -> list[bool]:
    return list(rule_holds(parse_rule(rule), FRAME, MOMENT))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"column": "churn_band", "in": ["high", "medium"]}, [1, 0, 0, 1]),
        ({"column": "churn_band", "is": "low"}, [0, 1, 0, 0]),
        ({"column": "churn_eligible", "is": True}, [1, 1, 0, 1]),
        ({"column": "p_churn", ">=": 0.5}, [1, 0, 0, 1]),
        ({"column": "p_churn", ">": 0.5}, [0, 0, 0, 1]),
        ({"column": "p_churn", "<": 0.5}, [0, 1, 0, 0]),
        ({"column": "p_churn", "<=": 0.5}, [1, 1, 0, 0]),
        ({"not": {"column": "p_churn", "<=": 0.5}}, [0, 0, 1, 1]),
        ({"column": "p_churn", "missing": True}, [0, 0, 1, 0]),
        ({"column": "p_churn", "missing": False}, [1, 1, 0, 1]),
        ({"column": "flags", "has": "a"}, [1, 0, 0, 0]),
        ({"column": "stage_since", "within_days": 1}, [1, 1, 0, 0]),
        ({"column": "stage_since", "within_days": {"param": "L", "otherwise": 99}}, [1, 1, 0, 0]),
        ({"column": "stage_since", "within_days": {"param": "X", "otherwise": 99}}, [1, 1, 0, 1]),
        (
            {"column": "stage_since", "within_days": {"param": "L", "otherwise": 9, "times": 61}},
            [1, 1, 0, 1],
        ),
        ({"column": "expected_next_order_at", "due_within_days": 7}, [1, 0, 0, 0]),
        # A documented column that these data lack is missing for everyone.
        ({"column": "lead_score", ">": 0}, [0, 0, 0, 0]),
        ({"column": "lead_score", "missing": True}, [1, 1, 1, 1]),
        (
            {"all": [{"column": "p_churn", ">": 0}, {"column": "churn_band", "is": "high"}]},
            [1, 0, 0, 0],
        ),
        (
            {"any": [{"column": "p_churn", ">": 0.8}, {"column": "churn_band", "is": "high"}]},
            [1, 0, 0, 1],
        ),
    ],
)
def test_a_rule_holds_for_exactly_these(rule: object, expected: list[int]) -> None:
    assert truth(rule) == [bool(e) for e in expected]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (None, "all, any, not"),
        ({}, "nothing"),
        ({"all": []}, "at least one"),
        ({"all": [{"column": "p_churn"}]}, r"audience\.all\.0: found no comparison"),
        ({"column": "p_churn", ">": 1, "<": 2}, "one comparison"),
        ({"column": "p_churn", "==": 1}, "=="),
        ({"column": "p_churn", ">": "much"}, "a number"),
        ({"column": "p_churn", ">": float("nan")}, "a number"),
        ({"column": "p_churn", ">": True}, "a number"),
        ({"column": "churn_band", "in": "high"}, "a list"),
        ({"column": "churn_band", "in": []}, "a list"),
        ({"column": 3, "is": 3}, "a column name"),
        ({"column": "stage_since", "within_days": {"param": "L"}}, "otherwise"),
        ({"column": "stage_since", "missing": "yes"}, "true or false"),
        ({"all": [], "any": []}, "one of all, any, not"),
        ({"not": {"nor": []}}, r"audience\.not: found nor"),
        ({"days_since_last": {"a": None, 0: None}, "<=": 7}, r"days_since_last: found the key 0"),
        ({"not": {"latest_of": ["x"], None: 1}}, r"audience\.not: found the key None"),
    ],
)
def test_a_rule_that_cannot_be_read_says_where_and_why(rule: object, message: str) -> None:
    with pytest.raises(RuleError, match=message):
        parse_rule(rule)


@pytest.mark.parametrize(
    ("values", "rule", "words"),
    [
        (["north", None], {">": 1}, "preferred_brand"),
        (["north", None], {"within_days": 1}, "dates"),
        ([0.5, None], {"within_days": 1}, "dates"),
        (pd.to_datetime(["2018-01-01", None]), {">": 1}, "numbers"),
    ],
)
def test_a_comparison_that_an_attribute_does_not_have_is_a_user_error(
    values: Any, rule: dict[str, Any], words: str
) -> None:
    """What type an attribute has is known from the scores alone."""
    scores = pd.DataFrame({"preferred_brand": values})
    with pytest.raises(UserError, match=words):
        rule_holds(parse_rule({"column": "preferred_brand", **rule}), scores, MOMENT)


@pytest.mark.parametrize("dtype", ["datetime64[s]", "date32[pyarrow]", "object", "str"])
def test_dates_are_read_in_every_form_a_store_gives(dtype: str) -> None:
    days = [dt.date(2018, 1, 1), dt.date(2017, 12, 1), None]
    column = pd.Series(days, dtype=dtype if dtype != "str" else None)
    if dtype == "str":
        column = pd.Series(["2018-01-01", "2017-12-01", None], dtype="str")
    rule = parse_rule({"column": "stage_since", "within_days": 1})
    assert list(rule_holds(rule, pd.DataFrame({"stage_since": column}), MOMENT)) == [
        True,
        False,
        False,
    ]


LEAVES = st.sampled_from(
    [
        {"column": "churn_band", "in": ["high"]},
        {"column": "p_churn", ">=": 0.5},
        {"column": "flags", "has": "a"},
        {"column": "p_churn", "missing": True},
    ]
)
RULES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda below: st.one_of(
        st.builds(lambda part: {"not": part}, below),
        st.builds(lambda parts: {"all": parts}, st.lists(below, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(below, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)


@given(RULES)
def test_rules_obey_the_laws_of_logic_and_depend_on_their_row_alone(rule: Any) -> None:
    whole = truth(rule)
    assert truth({"not": {"not": rule}}) == whole
    assert truth({"not": {"all": [rule, rule]}}) == truth({"any": [{"not": rule}]})
    parsed = parse_rule(rule)
    rowwise = [bool(rule_holds(parsed, FRAME.iloc[[i]], MOMENT)[0]) for i in range(len(FRAME))]
    assert rowwise == whole
    assert describe_rule(parsed, MOMENT.parameters)


def test_reasons_name_what_was_affirmed_with_the_rows_own_values() -> None:
    rule = parse_rule(
        {
            "all": [
                {"column": "p_churn", ">": 0.4},
                {"not": {"column": "flags", "has": "x"}},
                {"any": [{"column": "churn_band", "is": "high"}, {"column": "p_churn", ">": 0}]},
            ]
        }
    )
    frame = FRAME.assign(reason_1=["Orders less often", None, None, None])
    assert list(membership_reasons(rule, frame, MOMENT)) == [
        "churn risk 50 %; churn risk band high; Orders less often",
        "churn risk 49 %",
        "",
        "churn risk 90 %",
    ]
