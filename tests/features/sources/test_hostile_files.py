"""Files made to do harm: a clear refusal or a sound result, and never a row's content told."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.calendar import offsets
from tests.oracles.orders import COLUMNS, GOOD, HEADER, csv, read, refusal, rows, shop

SECRET = "secret@example.org"


def test_nul_bytes_stay_within_their_cell(tmp_path: Path) -> None:
    text = HEADER + GOOD + "a\0b,2021-01-07 12:00:00,1\n"
    found = rows(shop(csv(tmp_path, text)), tmp_path)
    assert found["customer_id"].tolist() == ["a", "a\0b", "b"]


def test_a_file_of_nul_bytes_is_refused(tmp_path: Path) -> None:
    assert "orders.csv" in refusal(shop(csv(tmp_path, b"\0" * 100_000)), tmp_path)


@pytest.mark.parametrize("size", [3_000_000, 40_000_000])
def test_a_huge_field_is_refused_without_its_content(size: int, tmp_path: Path) -> None:
    text = HEADER + GOOD + SECRET + "x" * size + ",2021-01-07 12:00:00,1\n"
    message = refusal(shop(csv(tmp_path, text)), tmp_path)
    assert "orders.csv" in message
    assert SECRET not in message


def test_ten_thousand_columns_cost_nothing_to_those_that_are_mapped(tmp_path: Path) -> None:
    more = [f"c{number}" for number in range(10_000)]
    line = ",".join(["1"] * len(more))
    text = f"customer,at,amount,{','.join(more)}\na,2021-01-05 12:00:00,10.50,{line}\n"
    found = rows(shop(csv(tmp_path, text)), tmp_path)
    assert found["value"].tolist() == [1050]


def test_a_formula_is_a_customer_like_any_other(tmp_path: Path) -> None:
    text = HEADER + '"=HYPERLINK(""http://x"",""y"")",2021-01-05 12:00:00,1\n'
    assert rows(shop(csv(tmp_path, text)), tmp_path)["count"].tolist() == [1]


@pytest.mark.parametrize("name", ["amount; DROP TABLE orders", "a'b", 'a"b', "a`b", "{x}", "$1"])
def test_a_column_name_is_never_code(name: str, tmp_path: Path) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    text = f"customer,at,{quoted}\na,2021-01-05 12:00:00,10.50\n"
    columns = COLUMNS | {"value": name}
    assert rows(shop(csv(tmp_path, text), source_columns=columns), tmp_path)["value"][0] == 1050


def test_an_attribute_of_control_characters_is_kept_as_it_is(tmp_path: Path) -> None:
    text = "customer,at,amount,brand\na,2021-01-05 12:00:00,1,\x1b[31m\x07\n"
    tallies, _ = read(shop(csv(tmp_path, text), source_columns=COLUMNS | {"brand": "brand"}),
                      tmp_path)  # fmt: skip
    assert tallies.attributes is not None


@pytest.mark.parametrize("far", [2**62, -(2**62), 253_402_300_799_000_000, -62_135_596_800_000_000])
def test_a_moment_that_no_calendar_knows_is_set_aside(far: int, tmp_path: Path) -> None:
    good = int(dt.datetime(2021, 1, 5, 12, tzinfo=dt.UTC).timestamp()) * 1_000_000
    at = pa.array([good, far], pa.timestamp("us", "UTC"))
    file = tmp_path / "orders.parquet"
    pq.write_table(pa.table({"customer": ["a", "b"], "at": at, "amount": [1.0, 2.0]}), file)
    config = shop(file, quarantine={"max_share": 0.5})
    assert rows(config, tmp_path)["customer_id"].tolist() == ["a"]


def test_the_walk_along_a_zone_ends_however_far_a_moment_lies() -> None:
    found = offsets("America/New_York", -(2**62), 2**62)
    assert 300 < len(found) < 400
    assert found == sorted(found)
    inside = offsets("America/New_York", 1_600_000_000_000_000, 1_620_000_000_000_000)
    assert [shift // 3_600_000_000 for _, shift in inside] == [-4, -5, -4]


def test_a_column_name_with_a_nul_byte_is_refused(tmp_path: Path) -> None:
    text = "customer,at,am\0ount\na,2021-01-05 12:00:00,1\n"
    assert "NUL byte" in refusal(shop(csv(tmp_path, text)), tmp_path)
