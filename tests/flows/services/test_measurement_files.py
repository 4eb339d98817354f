"""Results on disk: a day measured again, and what earlier versions left."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from features.storage.result_tables import (
    CAMPAIGN_EFFECTS_HISTORY,
    read_results,
    result_file,
    stored_results,
)
from flows.services.measurement_files import read_effects, read_history, write_measurement

NOTHING = pd.DataFrame()


def effects(total: float) -> pd.DataFrame:
    columns = [n for n in CAMPAIGN_EFFECTS_HISTORY.schema.names if n != "measured_at"]
    row = dict.fromkeys(columns) | {
        "campaign_id": "win_back", "by": "all", "group_name": "all", "outcome": "profit",
        "n_treatment": 900, "n_control": 100, "incremental_total": total, "note": "",
    }  # fmt: skip
    return pd.DataFrame([row, row | {"by": "channel", "group_name": "email"}])


def measured(output: Path, day: str, total: float) -> None:
    output.mkdir(exist_ok=True)
    write_measurement(output, effects(total), NOTHING, NOTHING, through=pd.Timestamp(day))


def days_and_totals(output: Path) -> list[tuple[str, float]]:
    history = read_history(output)
    days = pd.to_datetime(history["measured_at"]).dt.strftime("%Y-%m-%d")
    return list(zip(days, history["incremental_total"], strict=True))


def test_a_day_measured_again_replaces_its_lines(tmp_path: Path) -> None:
    assert read_history(tmp_path).empty
    for day, total in (("2024-03-01", 1.0), ("2024-03-02", 2.0), ("2024-03-02", 3.0)):
        measured(tmp_path, day, total)
    assert days_and_totals(tmp_path) == [("2024-03-01", 1.0), ("2024-03-02", 3.0)]
    assert len(read_effects(tmp_path)) == 2


def test_the_history_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    """It wrote CSV alone, with `group`, and without costs."""
    measured(tmp_path, "2024-03-01", 1.0)
    file = tmp_path / "measurement" / "history.csv"
    old = pd.read_csv(file).rename(columns={"group_name": "group"})
    old.drop(columns=["cost_total", "incremental_per_cost", "control_contacted"]).to_csv(
        file, index=False
    )
    result_file(tmp_path, CAMPAIGN_EFFECTS_HISTORY).unlink()
    assert days_and_totals(tmp_path) == [("2024-03-01", 1.0)]
    measured(tmp_path, "2024-03-02", 2.0)
    assert days_and_totals(tmp_path) == [("2024-03-01", 1.0), ("2024-03-02", 2.0)]
    assert list(read_results(tmp_path, CAMPAIGN_EFFECTS_HISTORY)["group_name"]) == ["all", "all"]


def test_columns_that_an_earlier_version_did_not_write_are_null(tmp_path: Path) -> None:
    measured(tmp_path, "2024-03-01", 1.0)
    file = result_file(tmp_path, CAMPAIGN_EFFECTS_HISTORY)
    pq.write_table(pq.read_table(file).drop_columns(["control_contacted"]), file)
    read = stored_results(tmp_path, CAMPAIGN_EFFECTS_HISTORY)
    assert read.schema == CAMPAIGN_EFFECTS_HISTORY.schema
    assert read["control_contacted"].null_count == read.num_rows == 1
