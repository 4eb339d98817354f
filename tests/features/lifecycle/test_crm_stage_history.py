"""The CRM's stage history as a user may bring it: mistakes end in one message with a hint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from features.config.config import Config, load
from features.errors import UserError
from features.lifecycle.crm_stage_reading import read_records
from tests.oracles.histories import LATEST, Event, config, local, write
from tests.stage_tables import COLUMNS, Record, recorded_builder

BOUGHT = [Event("a", "purchase", local("2021-03-01"), amount=1000)]
FINE = [Record("a", "2021-03-02 12:00", None, "loyalty")]


def declared(table: Path | str, **changes: Any) -> Config:
    block = {"table": str(table), "columns": COLUMNS, **changes}
    events = write(BOUGHT, Path(str(table)).parent / "e.csv")
    return config(events, stage={"truth": "history"}, stage_history=block)


def crm(folder: Path, *lines: str, header: str = "who,at,known,stage") -> Path:
    file = folder / "crm.csv"
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return file


def read(shop: Config, folder: Path) -> Any:
    return read_records(shop, latest=LATEST, quarantine=folder / "quarantine")


GOOD = "a,2021-03-02 12:00:00,2021-03-02 12:00:00,loyalty"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",2021-03-02,2021-03-02,loyalty", "customer_id is empty"),
        ("a,2021-03-02,2021-03-02,", "stage is empty"),
        ("a,soon,2021-03-02,loyalty", "occurred_at is not a readable date or time"),
        ("a,2021-03-02,soon,loyalty", "known_at is not a readable date or time"),
        ("a,2031-03-02,2021-03-02,loyalty", "occurred_at after 2030-01-01"),
        ("a,2021-03-02,2031-03-02,loyalty", "known_at after 2030-01-01"),
    ],
)
def test_a_bad_record_is_set_aside_with_its_reason(tmp_path: Path, line: str, reason: str) -> None:
    table, report = read(declared(crm(tmp_path, *[GOOD] * 200, line)), tmp_path)
    assert table.num_rows == 200
    assert report.quarantined == {reason: 1}
    aside = pq.read_table(tmp_path / "quarantine" / "stage_history.parquet")
    assert aside["reason"].to_pylist() == [reason]


def test_too_many_bad_records_stop(tmp_path: Path) -> None:
    shop = declared(crm(tmp_path, GOOD, "a,soon,soon,loyalty"))
    with pytest.raises(UserError, match=r"stage_history: crm.csv: found 1 bad rows of 2"):
        read(shop, tmp_path)


def test_foreign_names_are_refused_only_where_the_records_are_the_truth(tmp_path: Path) -> None:
    shop = declared(crm(tmp_path, GOOD, GOOD.replace("loyalty", "Dormant")))
    with pytest.raises(UserError, match="stages that the taxonomy does not have: 'Dormant'"):
        read(shop, tmp_path)
    by_rules = shop.stage.model_copy(update={"truth": "centred"})
    records, _ = read(shop.model_copy(update={"stage": by_rules}), tmp_path)
    assert sorted(records["stage"].to_pylist()) == ["Dormant", "loyalty"]


@pytest.mark.parametrize(
    ("header", "columns", "said"),
    [
        ("who,at,known,level", {}, r"columns.stage: found no column 'stage'"),
        ("id,at,known,stage", {}, r"columns.customer_id: found no column 'who'"),
        ("who,at,known,stage", {"occurred_at": {"column": "at"}}, "instants without a zone"),
    ],
)
def test_columns_that_are_not_there(
    tmp_path: Path, header: str, columns: dict[str, Any], said: str
) -> None:
    shop = declared(crm(tmp_path, GOOD, header=header), columns={**COLUMNS, **columns})
    with pytest.raises(UserError, match=f"^stage_history: crm.csv: .*{said}"):
        read(shop, tmp_path)


def test_a_table_that_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.csv: found no such file"):
        read(declared(tmp_path / "nowhere.csv"), tmp_path)
    with pytest.raises(UserError, match="found an empty table"):
        read(declared(crm(tmp_path)), tmp_path)


def test_names_that_mean_nothing_are_refused_with_a_hint(tmp_path: Path) -> None:
    told = [*FINE, Record("a", "2021-03-03 12:00", None, "VIP")]
    with pytest.raises(UserError, match=r"taxonomy does not have: 'VIP'(.|\n)*lapsed, loyalty"):
        recorded_builder(BOUGHT, told, tmp_path)
    assert recorded_builder(BOUGHT, told, tmp_path, ignored=["VIP"]).records().code[-1] == -1
    with pytest.raises(UserError, match="names mapped to 'gold'"):
        recorded_builder(BOUGHT, told, tmp_path, stages={"VIP": "gold"})


def test_records_of_customers_without_events_are_counted(tmp_path: Path) -> None:
    told = [Record("b", "2021-03-02 12:00", None, "loyalty")]
    build = recorded_builder(BOUGHT, told, tmp_path)
    assert build.records().strangers == 1
    assert build.labels("stage", LATEST).empty


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ({"truth": "late"}, "`late_days` of 1 or more with truth `late`"),
        ({"truth": "centred", "late_days": 7}, "`late_days: 0` with truth `centred`"),
        ({"late_days": -1}, "greater than or equal to 0"),
        ({"truth": "late", "late_days": True}, "a valid integer"),
        ({"truth": "late", "late_days": 1000}, "less than or equal to 365"),
        ({"truth": "history"}, "`history` without `stage_history`"),
        ({"truth": "guess"}, "'centred', 'naive', 'history' or 'late'"),
    ],
)
def test_truths_that_cannot_be(tmp_path: Path, stage: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        config(write(BOUGHT, tmp_path / "e.csv"), stage=stage)


def test_a_name_with_two_meanings(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="'VIP' is under both"):
        declared(crm(tmp_path, GOOD), stages={"VIP": "loyalty"}, ignored=["VIP"])


def test_the_table_lies_beside_the_config_and_is_no_trouble_to_other_truths(tmp_path: Path) -> None:
    write(BOUGHT, tmp_path / "e.csv")
    path = tmp_path / "shop.yaml"
    path.write_text(
        "name: shop\n"
        "sources: [{events: e.csv, event_type: purchase,\n"
        "  columns: {customer_id: customer, occurred_at: {column: at, zone: UTC}}}]\n"
        "stages: {file: stages/recency_frequency.yaml}\n"
        "stage_history: {table: nowhere.csv,\n"
        "  columns: {customer_id: who, occurred_at: {column: at, zone: UTC}, stage: stage}}\n",
        encoding="utf-8",
    )
    shop = load(path)
    assert shop.stage.truth == "centred"
    assert shop.stage_history is not None
    assert Path(str(shop.stage_history.table)).is_absolute()
    (tmp_path / "nowhere.csv").touch()
    found = load(path).stage_history
    assert found is not None
    assert found.table == str(tmp_path / "nowhere.csv")
