"""Reasons in words: themes of columns and sentences with the customer's own values."""

from __future__ import annotations

import numpy as np
import pytest

from features.contracts import ROLE_WORDS, ROLES
from features.table.families.feature import FeatureSpec
from features.table.feature_columns import columns
from models.explaining.feature_themes import said, sensitive_theme, theme

SPEC = FeatureSpec((7, 30, 90), ROLES, ("brand", "size"))
MEANINGS = {column.name: (column.unit, column.meaning) for column in columns(SPEC)}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            {"purchase__recency_days": 41.0, "cadence__gap_median": 9.0},
            "no purchase for 41 days, usual gap 9 days",
        ),
        (
            {"purchase__recency_days": 3.0, "cadence__gap_median": 9.0},
            "last purchase 3 days ago, usual gap 9 days",
        ),
        ({"purchase__recency_days": 1.0}, "last purchase 1 day ago"),
        ({"purchase__recency_days": 200.0}, "no purchase for 200 days"),
        ({"purchase__recency_days": np.nan}, "no purchase so far"),
    ],
)
def test_silence_is_told_against_the_usual_gap(row: dict[str, float], sentence: str) -> None:
    assert said("purchase_recency", "purchase__recency_days", row, MEANINGS) == sentence


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("touch__count_30d", 12.0, "12 visits, opens or clicks in the last 30 days"),
        ("touch__count_30d", 1.0, "1 visit, open or click in the last 30 days"),
        ("purchase__days_90d", 1.0, "1 day with a purchase in the last 90 days"),
        ("stage__periods_in_stage", 0.0, "in stage loyal since this period"),
        ("stage__periods_in_stage", 1.0, "in stage loyal for 1 whole period"),
        ("purchase__days_90d", 2.0, "2 days with a purchase in the last 90 days"),
        ("purchase__sum_90d", 1234.5, "amount of purchases in the last 90 days: 1,234.50"),
        ("preference__brand_share", 0.8, "share of the favourite brand: 80 %"),
        ("complaint__recency_days", 4.0, "last complaint 4 days ago"),
    ],
)
def test_other_sentences_come_from_the_catalogue(column: str, value: float, sentence: str) -> None:
    assert said(theme(column), column, {column: value}, MEANINGS, stage="loyal") == sentence


def test_every_column_has_a_theme_and_a_sentence_without_its_code_name() -> None:
    for name in MEANINGS:
        if "__" not in name:
            continue
        for value in (3.0, np.nan):
            text = said(theme(name), name, {name: value}, MEANINGS, stage="loyal")
            assert text
            assert "__" not in text


def test_every_role_has_words() -> None:
    assert set(ROLE_WORDS) == set(ROLES)


def test_themes_of_sensitive_attributes_are_known() -> None:
    assert sensitive_theme(theme("preference__brand_share"), ("brand",))
    assert sensitive_theme(theme("preference__brand_distinct"), ("brand",))
    assert not sensitive_theme(theme("preference__size_share"), ("brand",))
