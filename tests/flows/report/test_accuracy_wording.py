"""What we said and what came, in sentences and lines of the report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from features.storage.result_tables import PREDICTION_ACCURACY, read_results
from flows.report.accuracy_wording import accuracy_rows, accuracy_sentences
from flows.report.churn_wording import CHURN_WORDS

SHOP, CONTRACTS = CHURN_WORDS["purchase"], CHURN_WORDS["cancel"]


def line(prediction: str, by: str, group: str, **cells: object) -> dict[str, object]:
    return {
        "snapshot_at": pd.Timestamp("2024-10-01"), "run_id": "r1", "scorer_version": "1",
        "prediction": prediction, "by": by, "group_name": group, "horizon_days": 90,
        "customers": 200, "predicted": 0.58, "actual": 0.61, "low": 0.55, "high": 0.67, **cells,
    }  # fmt: skip


ACCURACY = pd.DataFrame(
    [
        line("p_churn", "all", "all"),
        line("p_churn", "churn_band", "low", predicted=0.1, actual=0.2, low=0.15, high=0.25),
        line("p_churn", "churn_band", "high"),
        line("p_churn", "churn_band", "high", snapshot_at=pd.Timestamp("2024-09-01")),
        line("p_churn", "stage", "active", predicted=0.3, actual=0.2, low=0.15, high=0.25),
        line("clv", "all", "all", predicted=10.0, actual=12.0, low=9.0, high=15.0),
        line("p_first_purchase", "all", "all", customers=12),
    ]
)


def test_sentences_name_what_was_said_and_what_came() -> None:
    assert accuracy_sentences(ACCURACY, SHOP, "EUR") == [
        "Of 200 customers whom we called high risk on 1 Oct 2024, 61% made no purchase in 90 days; "
        "we said 58%.",
        "Of 200 customers whom we called low risk on 1 Oct 2024, 20% made no purchase in 90 days; "
        "we said 10%, a difference beyond chance.",
        "200 customers spent 2,400 EUR in the 90 days from 1 Oct 2024; we said 2,000 EUR.",
    ]
    assert "61% cancelled in 90 days" in accuracy_sentences(ACCURACY, CONTRACTS, "EUR")[0]


def test_lines_are_those_of_the_latest_snapshot() -> None:
    rows = accuracy_rows(ACCURACY, SHOP)
    assert [(row["prediction"], row["group"], row["verdict"]) for row in rows] == [
        ("expected spend", "all", "as predicted"),
        ("chance of no purchase", "all", "as predicted"),
        ("chance of no purchase", "high churn risk", "as predicted"),
        ("chance of no purchase", "low churn risk", "more than predicted"),
        ("chance of no purchase", "stage active", "less than predicted"),
        ("chance of a first purchase", "all", "as predicted"),
    ]
    assert [row["kind"] for row in rows] == ["money"] + ["percent"] * 5


def test_without_results_there_is_nothing_to_say(tmp_path: Path) -> None:
    nothing = read_results(tmp_path, PREDICTION_ACCURACY)
    assert accuracy_rows(nothing, SHOP) == accuracy_sentences(nothing, SHOP, "EUR") == []
