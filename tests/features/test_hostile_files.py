"""Files made to do harm: a clear refusal or a sound result, and never a row's content told."""

from __future__ import annotations

from pathlib import Path

import pytest

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
