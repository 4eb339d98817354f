"""A taxonomy that cannot be meant is refused, in words that name what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from features.config.yaml_with_lines import Spot
from features.errors import UserError
from features.lifecycle.taxonomy_parser import parse

YES = {"name": "yes", "when": {"count": "purchase", ">=": 1}}
NO = {"name": "no", "default": True}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"stages": [YES, {"name": "b", "when": {"count": "buys", ">": 1}}, NO]},
            "unknown role 'buys'",
        ),
        ({"stages": [YES, {**NO, "default": False, "when": YES["when"]}]}, "0 default"),
        ({"stages": [YES, NO, {**NO, "name": "more"}]}, "2 default"),
        ({"stages": [NO, YES]}, "never be reached"),
        ({"stages": [YES, {**NO, "name": "yes"}], "buying_stage": "yes"}, "twice"),
        ({"stages": [YES]}, "two or more"),
        ({"stages": "none"}, "two or more"),
        ({"stages": [{**YES, "rank": "high"}, NO]}, "whole number"),
        ({"stages": [{**YES, "colour": 1}, NO]}, "unknown key 'colour'"),
        ({"stages": [{**YES, "default": True}, NO]}, "both or neither"),
        ({"stages": [{"name": "yes", "when": {"count": "purchase"}}, NO]}, "a comparison"),
        (
            {"stages": [{"name": "yes", "when": {"count": "purchase", "=": 1}}, NO]},
            "unknown key '='",
        ),
        ({"stages": [{"name": "yes", "when": {"all": []}}, NO]}, "a list"),
        ({"stages": [{"name": "yes", "when": []}, NO]}, "a rule"),
        ({"stages": [{"name": "yes", "when": {"count": "purchase", ">": "L"}}, NO]}, "parameter"),
        (
            {"stages": [{"name": "yes", "when": {"count": "purchase", ">": float("nan")}}, NO]},
            "number",
        ),
        (
            {"stages": [{"name": "yes", "when": {"count": "purchase", "window": 1.5, ">": 1}}, NO]},
            "whole days",
        ),
        (
            {
                "stages": [
                    {"name": "yes", "when": {"days_since_last": "sent", "window": 3, ">": 1}},
                    NO,
                ]
            },
            "a window for days_since_last",
        ),
        ({"life_roles": ["sent"]}, "customer's own doing"),
        ({"life_roles": "purchase"}, "a list of roles"),
        ({"buying_stage": "other"}, "buying_stage"),
        ({"pick": "last"}, "first or furthest"),
        ({"params": [1]}, "a mapping of numbers"),
        ({"colour": "red"}, "unknown key 'colour'"),
    ],
)
def test_bad_taxonomies(change: dict[str, Any], said: str) -> None:
    content = {"buying_stage": "no", "stages": [YES, NO]} | change
    with pytest.raises(UserError) as caught:
        parse(Spot(content, "stages.yaml"), {})
    assert said in str(caught.value)
