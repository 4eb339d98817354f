"""Tables of results: the same in DuckDB and PostgreSQL, replaced whole or by period."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.config.store_location import VARIABLE
from features.storage.result_tables import (
    CAMPAIGN_EFFECTS,
    CAMPAIGN_EFFECTS_HISTORY,
    PREDICTION_ACCURACY,
    RESULT_TABLES,
    ResultTable,
    read_results,
    write_results,
)
from features.storage.scores_store import publish_results
from tests.features.storage.postgres_tables import tables
from tests.features.storage.test_scores_store import NOVEMBER, OCTOBER, publish_example, record

pytestmark = pytest.mark.services
DECEMBER = dt.date(2017, 12, 1)


def results(table: ResultTable, days: list[dt.date], seed: int) -> pd.DataFrame:
    """Rows of a table of results: drawn numbers, nulls, awkward texts."""
    random = np.random.default_rng(seed)
    texts = ["win_back", "", 'a "quoted", one', "global_holdout"]
    columns: dict[str, Any] = {}
    for field in table.schema:
        if pa.types.is_date(field.type):
            columns[field.name] = pd.to_datetime(days)
        elif pa.types.is_string(field.type):
            columns[field.name] = [texts[i % len(texts)] for i in range(len(days))]
        elif pa.types.is_integer(field.type):
            columns[field.name] = random.integers(0, 2**53, len(days))
        else:
            drawn = random.normal(size=len(days)) * 10.0 ** random.integers(-300, 300, len(days))
            columns[field.name] = np.where(random.random(len(days)) < 0.3, np.nan, drawn)
    return pd.DataFrame(columns)


def test_results_are_equal_in_both_stores_and_outlast_a_publication(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {}
    for place, address in (("here", url), ("there", None)):
        if address is None:
            monkeypatch.delenv(VARIABLE)
        output = tmp_path / place
        publish_example(output, record("r1"), ["a"])
        assert all(tables(output, address)[name].empty for name in RESULT_TABLES)
        for seed, days in enumerate(([OCTOBER] * 5, [OCTOBER, NOVEMBER, DECEMBER])):
            for table in RESULT_TABLES.values():
                write_results(output, table, results(table, days, seed))
            publish_results(output)
        publish_example(output, record("r2", NOVEMBER), ["a", "b"])
        shown[place] = tables(output, address)
    for name in RESULT_TABLES:
        pd.testing.assert_frame_equal(
            shown["here"][name], shown["there"][name], check_exact=True, obj=name
        )
    assert all(len(shown["there"][name]) == 3 for name in RESULT_TABLES)
    assert list(shown["there"]["runs"]["run_id"]) == ["r1", "r2"]


def test_another_folder_replaces_the_effects_and_keeps_earlier_history(
    tmp_path: Path, url: str
) -> None:
    for place, day in (("one", OCTOBER), ("two", NOVEMBER)):
        output = tmp_path / place
        publish_example(output, record(f"r-{place}", day), ["a"])
        for table in (CAMPAIGN_EFFECTS, CAMPAIGN_EFFECTS_HISTORY):
            write_results(output, table, results(table, [day], 1))
        publish_results(output)
    write_results(tmp_path / "one", PREDICTION_ACCURACY, results(PREDICTION_ACCURACY, [OCTOBER], 1))
    publish_results(tmp_path / "one")
    there = tables(tmp_path, url)
    assert list(there["campaign_effects_history"]["measured_at"]) == [OCTOBER, NOVEMBER]
    assert len(there["campaign_effects"]) == len(there["prediction_accuracy"]) == 1
    assert len(read_results(tmp_path / "two", PREDICTION_ACCURACY)) == 0
