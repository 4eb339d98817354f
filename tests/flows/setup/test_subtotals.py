"""Rows that add up others are no orders, and a table without a readable time says why."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from features.errors import UserError
from tests.flows.setup.test_init_meaning import EXPECTED, file, init, totals
from tests.flows.setup.test_init_shapes import DAYS, PLAIN


@pytest.mark.parametrize("word", ["total", "合計", "Summe", "z"])
def test_the_sum_of_a_receipt_is_none_of_its_lines(tmp_path: Path, word: str) -> None:
    half = (PLAIN["amount"] / 2).round(2)
    lines = [
        PLAIN.assign(kind_of_line="item", amount=half),
        PLAIN.assign(kind_of_line="item", amount=(PLAIN["amount"] - half).round(2)),
        PLAIN.assign(kind_of_line=word),
    ]
    content = init(tmp_path, file(tmp_path, "journal.csv", pd.concat(lines)))
    assert totals(content) == EXPECTED
    assert f"rows with {word!r} in 'kind_of_line' are the sums" in " ".join(content["checks"])


def test_lines_that_only_sometimes_add_up_stay(tmp_path: Path) -> None:
    lines = pd.concat([PLAIN.assign(part="a"), PLAIN.assign(part="b", amount=PLAIN["amount"] + 1)])
    content = init(tmp_path, file(tmp_path, "journal.csv", lines))
    assert content["sources"][0]["revenue"] == pytest.approx(2 * EXPECTED[2] + len(PLAIN))


@pytest.mark.parametrize(
    "words", ["Total for {}", "{} total", "Summe {}", "Zwischensumme", "Итого"]
)
def test_sums_of_a_list_are_no_orders(tmp_path: Path, words: str) -> None:
    months = [part for _, part in PLAIN.groupby(DAYS.str[:7])]
    sums = [
        pd.DataFrame({"customer_id": [words.format("May")], "amount": [part["amount"].sum()]})
        for part in months
    ]
    blank = pd.DataFrame([{"customer_id": None}])
    parts = [part for pair in zip(months, sums, strict=True) for part in (*pair, blank)]
    content = init(tmp_path, file(tmp_path, "list.csv", pd.concat(parts)))
    assert totals(content) == EXPECTED
    assert "rows without a date are sums of others" in " ".join(content["checks"])


def test_orders_without_a_date_are_bad_rows(tmp_path: Path) -> None:
    rows = pd.concat(
        [PLAIN, PLAIN.head(60).assign(at=None, order=lambda rows: "x" + rows["order"])]
    )
    content = init(tmp_path, file(tmp_path, "orders.csv", rows))
    assert "60 bad rows" in str(content["problem"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda days: days.where(days.index % 3 > 0, "heading " + days.index.astype(str)),
            r"'day' reads as no date or time in all rows \(\d+ of \d+ do; not: 'heading 0', ",
        ),
        (
            lambda days: (days.str[:4].astype(int) + 543).astype(str) + days.str[4:],
            "years of the Buddhist calendar",
        ),
    ],
    ids=["headings between", "Buddhist years"],
)
def test_what_keeps_a_column_from_being_dates_is_said(
    tmp_path: Path, change: object, words: str
) -> None:
    assert callable(change)
    rows = PLAIN.drop(columns="at").assign(day=change(DAYS))
    with pytest.raises(UserError, match=words):
        init(tmp_path, file(tmp_path, "orders.csv", rows))


def test_dates_under_the_name_of_something_else_are_named(tmp_path: Path) -> None:
    rows = PLAIN.drop(columns="at").assign(due_date=DAYS)
    with pytest.raises(UserError, match="'due_date' hold dates, but"):
        init(tmp_path, file(tmp_path, "orders.csv", rows))
