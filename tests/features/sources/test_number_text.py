"""Numbers as people write them: both readers agree, and no number is read as another."""

from __future__ import annotations

import itertools
import math

import ibis
import pytest

from features.sources.duckdb_connection import connect
from features.sources.number_text import decimal_sign, number_column, number_value

_NUMBERS = (
    "1", "1.5", "1,5", "1,234.50", "1.234,50", "1,405", "1.405", "1,234,567", "1.234.567,8",
    "1 234,50", "1'234.50", "0,500", "12,50", "12.50", ".5", ",5", "5.", "1e5", "1,5e3", "12abc",
    "10k", "", "-", "(12)", "1,23,456", "nan", "inf", " 7 ", "1,2345",
)  # fmt: skip
_BEFORE = ("", "$", "€ ", "US$", "EUR ", "-", "-$", "$-", "(", "($", "kr ", "\u2212", "+")
_AFTER = ("", " €", "€", " EUR", " zł", ")", " kr)", "-", "%")


@pytest.mark.parametrize("decimal", [".", ","])
def test_the_engine_and_python_read_the_same(decimal: str) -> None:
    cells = [
        before + number + after
        for before, number, after in itertools.product(_BEFORE, _NUMBERS, _AFTER)
    ]
    table = connect().create_table("cells", ibis.memtable({"cell": cells}))
    read = table.select("cell", number=number_column(table.cell, decimal)).to_pyarrow().to_pylist()
    for row in read:
        number = row["number"]
        finite = number if number is None or math.isfinite(number) else None
        assert finite == number_value(row["cell"], decimal), row["cell"]


@pytest.mark.parametrize(
    ("cell", "decimal", "number"),
    [
        ("$1,405.02", ".", 1405.02),
        ("1.234,50 €", ",", 1234.5),
        ("1\u202f234,50", ",", 1234.5),
        ("(12.50)", ".", -12.5),
        ("12.50-", ".", -12.5),
        ("CHF 1'234.50", ".", 1234.5),
        # Never a hundred times as much.
        ("12,50", ".", None),
        ("12.50", ",", None),
        ("10k", ".", None),
        ("5 pieces", ".", None),
    ],
)
def test_amounts_as_written(cell: str, decimal: str, number: float | None) -> None:
    assert number_value(cell, decimal) == number


def test_a_column_shows_its_decimal_sign() -> None:
    assert decimal_sign(["918,84", "1.405,02"]) == ","
    assert decimal_sign(["918.84", "1,405.02"]) == "."
    assert decimal_sign(["1,405", "1,234,567"]) == "."
    assert decimal_sign(["0,500", "0,250"]) == ","
    assert decimal_sign(["1405", "1,405"]) is None
