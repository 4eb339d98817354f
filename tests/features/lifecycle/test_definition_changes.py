"""A stage that changes because the rules did is told apart from what a customer did."""

from __future__ import annotations

import datetime as dt

import pandas as pd

from features.config import config
from features.lifecycle.definition_changes import caused_by_definition, rules_mark
from features.lifecycle.taxonomy_parser import load_taxonomy

CONFIG = config.find("cdnow.yaml")


def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "customer_id": ["same", "redefined", "acted", "new"],
            "stage": ["loyalty", "loyalty", "retention", "conversion"],
            "stage_since": pd.to_datetime(["2024-01-05", "2024-01-05", "2024-03-02", "2024-03-02"]),
            "previous_stage": ["retention", "retention", "conversion", None],
            "stage_change_cause": ["behaviour", "behaviour", "behaviour", "first_load"],
        }
    )


def test_only_who_was_there_by_the_new_rules_is_moved_by_them() -> None:
    before = pd.DataFrame(
        {
            "customer_id": ["same", "redefined", "acted", "gone"],
            "stage": ["loyalty", "retention", "conversion", "lapsed"],
        }
    )
    found = caused_by_definition(rows(), before, dt.date(2024, 3, 1))
    assert found["stage_change_cause"].tolist() == [
        "behaviour", "definition", "behaviour", "first_load",
    ]  # fmt: skip
    assert found["previous_stage"].tolist()[:3] == ["retention", "retention", "conversion"]
    assert found["previous_stage"].isna().tolist() == [False, False, False, True]
    pd.testing.assert_series_equal(found["stage_since"], rows()["stage_since"])


def test_the_mark_changes_with_the_rules_and_with_nothing_else() -> None:
    def mark(*settings: str) -> str:
        return rules_mark(load_taxonomy(config.load(CONFIG, settings)))

    assert mark() == mark("seed=3", "churn.horizon_days=30")
    assert mark() != mark("stages.params.L=90")
    assert mark() != mark("stages.file=stages/omnisend.yaml", "stages.params={}")
