"""Whatever stands in a cell: a spreadsheet runs none of it, and a reader gets every text back."""

from __future__ import annotations

import csv
import datetime as dt
import io
import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.storage.csv_files import (
    FORMULA_SIGNS,
    cell_text,
    csv_content,
    original_cell,
    safe_cell,
    write_csv,
)
from tests.tries import tries

LOOK_ALIKES = {c for c in map(chr, range(0x110000)) if unicodedata.normalize("NFKC", c) in "=+-@"}
BEFORE = " \t\r\n\x00\u00a0\u200b\ufeff\u2028\u3000'\"`\u201c"
pieces = st.sampled_from(
    [
        *FORMULA_SIGNS.replace("\\", ""),
        *BEFORE,
        ",",
        "\x0b",
        "\x85",
        "\u2029",
        "1",
        "a",
        ".",
        "e",
        "\u0661",
    ]
)
texts = st.lists(pieces | st.characters(exclude_categories=("Cs",)), max_size=10).map("".join)


def rows_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
        ("+49 30 1", "'+49 30 1"),
        ("\t=1", "'\t=1"),
        ("  =1", "'  =1"),
        ("\u00a0\u200b=1", "'\u00a0\u200b=1"),
        ('"=1', "'\"=1"),
        ("'=1", "''=1"),
        ("\uff1d1", "'\uff1d1"),
        ("\u22121+cmd", "'\u22121+cmd"),
        ("\rx", "'\rx"),
        ("\tx", "'\tx"),
        ("-5\n", "'-5\n"),
        ("-\u0661", "'-\u0661"),
        ("-5", "-5"),
        ("+5.25", "+5.25"),
        ("-1.5e-07", "-1.5e-07"),
        ("+4930123456", "+4930123456"),
        ("c-1", "c-1"),
        ("O'Neil", "O'Neil"),
        ("", ""),
    ],
)
def test_cells_that_look_like_formulas_are_made_text(text: str, safe: str) -> None:
    assert safe_cell(text) == safe
    assert original_cell(safe) == text


def test_every_sign_that_means_one_of_the_four_is_known() -> None:
    assert set(FORMULA_SIGNS) >= LOOK_ALIKES


def runs(cell: str) -> bool:
    """A spreadsheet's view in plain words: what is left of blanks and quotes begins a formula."""
    start = 0
    while start < len(cell) and (
        unicodedata.category(cell[start]) in ("Cc", "Cf", "Zs", "Zl", "Zp") or cell[start] == '"'
    ):
        start += 1
    left = cell[start:]
    if not left or left[0] not in LOOK_ALIKES:
        return cell[:1] in ("\t", "\r", "\n")
    try:
        return left != cell or not left.isascii() or float(cell) != float(cell)
    except ValueError:
        return True


@settings(max_examples=tries(1500))
@given(texts, texts)
def test_no_cell_runs_and_no_two_texts_become_one(one: str, other: str) -> None:
    assert not runs(safe_cell(one))
    assert original_cell(safe_cell(one)) == one
    assert (safe_cell(one) == safe_cell(other)) == (one == other)


@settings(max_examples=tries(600))
@given(st.lists(st.tuples(texts, texts), max_size=6), texts)
def test_columns_are_written_as_cell_by_cell_and_come_back(
    rows: list[tuple[str, str]], name: str
) -> None:
    frame = pd.DataFrame(rows, columns=[name, "b"], dtype="str")
    made = csv_content(frame)
    header, *got = rows_of(made.content)
    assert header == [safe_cell(name), "b"]
    assert got == [[safe_cell(cell) for cell in row] for row in rows]
    changed = [cell for row in [(name, "b"), *rows] for cell in row if safe_cell(cell) != cell]
    assert made.escaped == len(changed)
    # Readers that take any end of a line for one still see each row in one piece.
    assert not any(sign in line for line in _unquoted(made.content) for sign in "\r\x0b\x85\u2028")


def _unquoted(content: bytes) -> list[str]:
    """What stands outside of quotes."""
    return content.decode("utf-8").replace('""', "").split('"')[::2]


@given(st.lists(texts, max_size=4))
def test_a_single_column_loses_no_empty_row(column: list[str]) -> None:
    content = csv_content(pd.DataFrame({"a": pd.Series(column, dtype="str")})).content
    assert rows_of(content)[1:] == [[safe_cell(cell)] for cell in column]


def test_numbers_and_dates_stay_what_they_are() -> None:
    moment = pd.Timestamp("2020-03-01 04:05:06")
    frame = pd.DataFrame(
        {
            "n": [-1, 2, 3],
            "x": [-0.5, float("nan"), 1e-12],
            "whole": [-2.0, 3.0, 0.1 + 0.2],
            "nullable": pd.array([-1, None, 3], dtype="Int64"),
            "yes": [True, False, True],
            "maybe": pd.array([True, None, False], dtype="boolean"),
            "day": pd.to_datetime(["2020-03-01", None, "2020-03-02"]),
            "moment": [moment, pd.NaT, moment],
            "kind": pd.Categorical(["=a", None, "b"]),
            "code": pd.Categorical([-1, None, 2]),
            "mixed": pd.Series([-1, None, "=2"], dtype=object),
            "date": pd.Series([dt.date(2020, 3, 1), None, dt.datetime(2020, 3, 2)], dtype=object),
        }
    )
    assert rows_of(csv_content(frame).content)[1:] == [
        ["-1", "-0.5", "-2.0", "-1", "true", "true", "2020-03-01", "2020-03-01T04:05:06", "'=a",
         "-1", "-1", "2020-03-01"],
        ["2", "", "3.0", "", "false", "", "", "", "", "", "", ""],
        ["3", "1e-12", "0.30000000000000004", "3", "true", "false", "2020-03-02",
         "2020-03-01T04:05:06", "b", "2", "'=2", "2020-03-02"],
    ]  # fmt: skip
    assert rows_of(csv_content(frame[["whole", "x"]], decimals=4).content)[1:] == [
        ["-2", "-0.5000"], ["3", ""], ["0.3000", "0.0000"]
    ]  # fmt: skip


def test_a_number_in_text_is_read_back_bit_by_bit(tmp_path) -> None:
    frame = pd.DataFrame({"x": [0.1, 1 / 3, -1e300], "t": ["=1", "b,\r\n\u2028c", ""]})
    write_csv(tmp_path / "deep" / "a.csv", frame)
    got = pd.read_csv(tmp_path / "deep" / "a.csv", keep_default_na=False)
    assert got["x"].tolist() == frame["x"].tolist()
    assert got["t"].tolist() == ["'=1", "b,\r\n\u2028c", ""]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.csv"]


def test_cells_of_a_megabyte_are_written_whole() -> None:
    long = "x" * 1_000_000 + '",\n'
    csv.field_size_limit(2**24)
    assert rows_of(csv_content(pd.DataFrame({"a": [long], "b": ["y"]})).content)[1] == [long, "y"]


def test_values_alone_read_as_in_a_column() -> None:
    assert cell_text(None) == cell_text(float("nan")) == cell_text(pd.NaT) == ""
    assert (cell_text(2.0, decimals=4), cell_text(2.5, decimals=4)) == ("2", "2.5000")
