"""One way to read a key: the same answer from a column of a table and from a single value."""

from __future__ import annotations

import decimal
import math
import uuid
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import UserError
from features.sources.key_columns import key_column, rounded_column, with_keys
from features.sources.keys import INVISIBLE, is_rounded, key_value, key_values
from tests.tries import tries

ENGINE = ibis.duckdb.connect()
BLANKS = st.text(
    st.sampled_from([*" \t\n\r\u00a0\u200b\u200d\u2060\ufeff\u2009\u3000\u00ad"]), max_size=3
)
UUID = "550e8400-e29b-41d4-a716-446655440000"


def of_column(cells: list[Any], kind: pa.DataType) -> list[tuple[str | None, bool]]:
    """Keys of cells as the engine reads them, and whether they are rounded."""
    table = ENGINE.create_table("cells", pa.table({"id": pa.array(cells, kind)}), overwrite=True)
    keys = table.select(key=key_column(table.id))
    found = keys.mutate(rounded=rounded_column(keys.key)).to_pyarrow()
    return list(zip(found["key"].to_pylist(), found["rounded"].to_pylist(), strict=True))


def of_values(cells: list[Any]) -> list[tuple[str | None, bool]]:
    return [(key_value(cell), is_rounded(key_value(cell))) for cell in cells]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        (" c1\u00a0", "c1"),
        ("\ufeffc1\u200b", "c1"),
        ("c 1", "c 1"),
        ("101.0", "101"),
        ("101.", "101"),
        ("101.50", "101.50"),
        ("00123", "00123"),
        ("00123.0", "00123"),
        ("C1", "C1"),
        (UUID.upper(), UUID),
        (f"{{{UUID.upper()}}}", UUID),
        (f"({UUID})", UUID),
        (f"urn:uuid:{UUID}", UUID),
        (f"{{{UUID.replace('-', '')}}}", UUID),
        (UUID.replace("-", ""), UUID.replace("-", "")),  # or an MD5 hash
        ("1e5", "1e5"),
        ("\u200b \t", None),
        ("", None),
    ],
)
def test_spellings_of_one_id(written: str, key: str | None) -> None:
    assert of_column([written], pa.string()) == of_values([written]) == [(key, False)]


@pytest.mark.parametrize("written", ["1.03E+19", "1,03E+19", "1E+19", "1.03e19", f"{2**53}.0"])
def test_ids_that_a_spreadsheet_rounded_are_told(written: str) -> None:
    assert of_column([written], pa.string()) == of_values([written])
    assert is_rounded(key_value(written))


def test_numbers_keep_their_digits_or_say_that_they_are_lost() -> None:
    assert of_column([2**63 - 1, None], pa.int64()) == [(str(2**63 - 1), False), (None, False)]
    exact = decimal.Decimal("12345678901234567890123456.00")
    assert of_column([exact], pa.decimal128(38, 2)) == of_values([exact])
    assert key_value(exact) == "12345678901234567890123456"
    floats = [1.0, -0.0, 2.0**53 - 1, 2.0**53, 1e19, 1.5, math.nan, math.inf, None]
    told = [("1", False), ("0", False), (str(2**53 - 1), False), (f"{2**53}.0", True),
            ("1e+19", True), ("1.5", False), *[(None, False)] * 3]  # fmt: skip
    assert of_column(floats, pa.float64()) == of_values(floats) == told
    small = [np.float32(7), np.float32(2**24 - 1), np.float32(2**24), np.float32(0.1)]
    assert of_column(small, pa.float32()) == of_values(small)
    assert [is_rounded(key_value(one)) for one in small] == [False, False, True, False]
    assert key_value(uuid.UUID(UUID)) == key_value(UUID.encode()) == UUID
    assert key_value(True) == of_column([True], pa.bool_())[0][0] == "true"


def test_a_series_reads_as_its_values_do() -> None:
    cells = pd.Series(["1.0", None, " a", "a", float("nan")], index=[5, 4, 3, 2, 1], dtype=object)
    assert key_values(cells).tolist() == ["1", None, "a", "a", None]
    assert key_values(cells).index.tolist() == [5, 4, 3, 2, 1]
    assert key_values(pd.Series([1.0, np.nan, 3.0])).tolist() == ["1", None, "3"]


def test_every_sign_that_nobody_sees_is_cut_off() -> None:
    seen = [f"{sign}a{sign}" for sign in INVISIBLE]
    assert {key for key, _ in of_column(seen, pa.string())} == {"a"}
    assert {key_value(one) for one in seen} == {"a"}


def test_one_rounded_id_refuses_its_column() -> None:
    table = ENGINE.create_table("ids", pa.table({"who": ["1", "1.03E+19"]}), overwrite=True)
    with pytest.raises(UserError, match="1 ids in column 'who' that were rounded"):
        with_keys(table, ["who"], "customers: people.csv")


IDS = st.one_of(
    st.integers(0, 2**70).map(str),
    st.from_regex(r"[A-Za-z0-9_.@+'é-]{1,40}", fullmatch=True),
    st.uuids().map(str),
    st.from_regex(r"[+-]?[0-9]{1,20}([.,][0-9]{0,3})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.text(max_size=12),
)
# PostgreSQL and DuckDB know no lone surrogates, and neither does UTF-8.
CELLS = st.builds(lambda left, text, right: left + text + right, BLANKS, IDS, BLANKS).filter(
    lambda text: not any("\ud800" <= sign <= "\udfff" for sign in text)
)


@settings(max_examples=tries(100))
@given(st.lists(st.none() | CELLS, min_size=20, max_size=60))
def test_text_reads_the_same_in_a_column_and_alone(cells: list[str | None]) -> None:
    found = of_column(cells, pa.string())
    assert found == of_values(cells)
    keys = [key for key, _ in found]
    assert [key_value(key) for key in keys] == keys  # reading twice changes nothing


@settings(max_examples=tries(40))
@given(
    st.lists(st.none() | st.floats(), min_size=1, max_size=40),
    st.lists(st.floats(width=32), min_size=1, max_size=40),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40),
    st.lists(st.decimals(-(10**20), 10**20, places=4), min_size=1, max_size=40),
)
def test_numbers_read_the_same_in_a_column_and_alone(
    floats: list[float | None],
    small: list[float],
    whole: list[int],
    exact: list[decimal.Decimal],
) -> None:
    assert of_column(floats, pa.float64()) == of_values(floats)
    assert of_column(small, pa.float32()) == of_values([np.float32(one) for one in small])
    assert of_column(whole, pa.int64()) == [(str(one), False) for one in whole]
    found = of_column(exact, pa.decimal128(38, 4))
    assert found == of_values(exact)


@settings(max_examples=tries(50))
@given(st.lists(st.integers(0, 10**25), min_size=2, max_size=40, unique=True))
def test_no_two_numbers_become_one(numbers: list[int]) -> None:
    """Either every digit is there, or the loss shows: never two customers in silence."""
    texts = [str(number) for number in numbers]
    assert [key for key, _ in of_column(texts, pa.string())] == texts
    held = of_column([float(number) for number in numbers], pa.float64())
    for number, (key, rounded) in zip(texts, held, strict=True):
        assert key == number or rounded
