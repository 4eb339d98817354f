"""Types by words, amounts of several columns, cells filled within an order, nested members."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.aggregates.daily_aggregates import tally
from features.config.config import Config, resolve
from features.errors import UserError
from features.sources.read_report import ReadReport

COLUMNS = {
    "customer_id": "who",
    "occurred_at": {"column": "day", "as": "local_date"},
    "value": "amount",
}


def read(
    folder: Path, rows: list[dict[str, Any]], *, name: str = "rows.csv", **source: Any
) -> tuple[dict[str, int], ReadReport]:
    """Amounts by event type in minor units, and the report of the source."""
    if name.endswith(".jsonl"):
        text = "\n".join(json.dumps(row) for row in rows)
    else:
        text = pd.DataFrame(rows).to_csv(index=False)
    (folder / name).write_text(text, encoding="utf-8")
    content = {
        "name": "shop",
        "sources": [{"events": name, "columns": COLUMNS, "event_type": "purchase", **source}],
        "stages": {"file": "stages/recency_frequency.yaml"},
        "quarantine": {"max_share": 0.5},
    }
    config = resolve(Config.model_validate(content), folder / "shop.yaml")
    tallies, (report,) = tally(config, latest=30000, quarantine=folder / "quarantine")
    daily = tallies.daily.to_pandas()
    return {
        str(event_type): int(rows["value"].sum())
        for event_type, rows in daily.groupby("event_type")
    }, report


def row(amount: float | None, day: int = 1, **cells: Any) -> dict[str, Any]:
    return {"who": "a", "day": f"2020-01-{day:02d}", "amount": amount, **cells}


def test_words_name_the_type_whatever_their_case(tmp_path: Path) -> None:
    words = {"wc-completed": "purchase", "refunded": "refund", "cancelled": "left_out"}
    states = ["WC-Completed", " wc-completed ", "refunded", "Cancelled"]
    rows = [row(10.0, day, state=state) for day, state in enumerate(states, 1)]
    totals, report = read(tmp_path, rows, event_type={"column": "state", "words": words})
    assert totals == {"purchase": 2000, "refund": -1000}
    assert report.ignored == {"ignored event type": 1}
    with pytest.raises(UserError, match="unknown event types: 'on hold'"):
        read(
            tmp_path,
            [*rows, row(1.0, state="on hold")],
            event_type={"column": "state", "words": words},
        )


def test_an_empty_type_is_told_by_another_column(tmp_path: Path) -> None:
    rows = [row(10.0, name="purchase", call="track"), row(None, 2, name=None, call="touch")]
    totals, _ = read(tmp_path, rows, event_type={"column": "name", "otherwise": "call"})
    assert totals == {"purchase": 1000, "touch": 0}


def test_rows_with_other_words_are_left_out(tmp_path: Path) -> None:
    rows = [
        row(float(10**n), 1 + n, kind="purchase", state=state)
        for n, state in enumerate(["Completed", "PENDING", None, "completed"])
    ]
    for words, total in ((["completed"], 100_100), (["*"], 101_100)):
        found, report = read(tmp_path, rows, event_type={"column": "kind"}, only={"state": words})
        assert (found, report.bad) == ({"purchase": total}, 0)


@pytest.mark.parametrize(
    ("word", "total"),
    [("> 0", 100_001), ("<0", 10), (">0 ", 100_001)],
    ids=["above", "below", "blank"],
)
def test_rows_count_by_the_sign_of_a_number(tmp_path: Path, word: str, total: int) -> None:
    """Zero, empty cells and text are neither above nor below."""
    signed = ["1.5", "-3", "0", None, "x", " 0.01 "]
    rows = [row(10**n / 100, 1 + n, sign=cell) for n, cell in enumerate(signed)]
    sums, report = read(tmp_path, rows, event_type="purchase", only={"sign": [word]})
    assert (sums, report.bad) == ({"purchase": total}, 0)


def test_a_table_without_amounts_has_a_value_of_each_row(tmp_path: Path) -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "value"}
    rows = [row(None, day) for day in (1, 2, 3)]
    assert read(tmp_path, rows, columns=columns, value_of_each=1)[0] == {"purchase": 300}


@pytest.mark.parametrize("scale", [-1.0, 0.01])
def test_an_amount_is_times_less_and_scaled(tmp_path: Path, scale: float) -> None:
    cells = [(amount, 1 + amount % 4, less) for amount in (0, 7, 950) for less in (None, 0, 99)]
    rows = [row(amount, n=pieces, less=less) for amount, pieces, less in cells]
    totals, _ = read(
        tmp_path,
        rows,
        columns={**COLUMNS, "value_times": "n", "value_less": ["less"]},
        value_scale=scale,
    )
    expected = sum(
        round((amount * pieces - (less or 0)) * scale * 100) for amount, pieces, less in cells
    )
    assert sum(totals.values()) == expected


def test_an_unreadable_deduction_makes_the_row_bad(tmp_path: Path) -> None:
    rows = [row(10.0, less="x"), row(10.0, 2, less=None)]
    totals, report = read(tmp_path, rows, columns={**COLUMNS, "value_less": ["less"]})
    assert totals == {"purchase": 1000}
    assert report.bad == 1


def test_cells_of_the_first_line_hold_for_the_whole_order(tmp_path: Path) -> None:
    rows = [
        row(1.0, order="#1", state="paid", who="a"),
        row(2.0, order="#1", state=None, who=None),
        row(4.0, order="#2", state="voided", who="b"),
        row(8.0, order="#2", state=" ", who=None),
        row(16.0, order=None, state="paid", who="c"),
        row(32.0, order=None, state=None, who="c"),
    ]
    totals, report = read(
        tmp_path,
        rows,
        columns={**COLUMNS, "order_id": "order"},
        event_type={"column": "state", "words": {"paid": "purchase", "voided": "left_out"}},
        fill_within_order=["state", "who"],
    )
    assert totals == {"purchase": 1900}
    assert report.quarantined == {"event_type is empty": 1}


def test_members_of_nested_objects_are_columns(tmp_path: Path) -> None:
    rows = [
        {"who": "a", "day": "2020-01-01", "properties": {"revenue": 5.5, "cart": {"id": "x"}}},
        {"who": "a", "day": "2020-01-02", "properties": {"revenue": 1.5, "cart": {"id": "y"}}},
        {"who": "a", "day": "2020-01-02", "properties": {"revenue": 2.0, "cart": {"id": "y"}}},
    ]
    columns = {**COLUMNS, "value": "properties.revenue", "order_id": "properties.cart.id"}
    totals, report = read(tmp_path, rows, name="rows.jsonl", columns=columns)
    assert (totals, report.bad) == ({"purchase": 900}, 0)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"fill_within_order": ["state"]}, "without `order_id`"),
        ({"value_scale": 0}, "another than 0"),
        ({"columns": {**COLUMNS, "order_id": "o"}, "fill_within_order": ["gone"]}, "'gone'"),
        ({"only": {"gone": ["x"]}}, "'gone'"),
        ({"value_of_each": 1}, "one of them"),
        ({"columns": {**COLUMNS, "value_less": ["gone"]}}, "'gone'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    tmp_path: Path, source: dict[str, Any], words: str
) -> None:
    with pytest.raises(Exception, match=words):
        read(tmp_path, [row(1.0, o="x")], **source)


@pytest.mark.parametrize("sign", [1, -1])
def test_what_was_paid_back_lowers_the_amount_whatever_its_sign(tmp_path: Path, sign: int) -> None:
    columns = {**COLUMNS, "value_less": ["back"]}
    totals, _ = read(tmp_path, [row(10.0, back=sign * 2.5), row(4.0, 2)], columns=columns)
    assert totals == {"purchase": 1150}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_returned_order_gives_back_what_was_paid_for_it(tmp_path: Path, sign: int) -> None:
    """A discount of 10 on an order of 100 makes 90, and -90 where the order comes back."""
    columns = {**COLUMNS, "value_less": ["discount"]}
    rows = [row(100.0, discount=10.0), row(-100.0, 2, discount=sign * 10.0)]
    totals, _ = read(tmp_path, rows, columns=columns)
    assert totals == {"purchase": 9000, "negative_amount": -9000}


def test_an_empty_word_stands_for_empty_cells(tmp_path: Path) -> None:
    rows = [row(1.0, state=None, gone=None), row(2.0, 2, state="paid", gone="2020-01-03")]
    kind = {"column": "state", "words": {"": "purchase", "paid": "refund"}}
    assert read(tmp_path, rows, event_type=kind)[0] == {"purchase": 100, "refund": -200}
    totals, _ = read(tmp_path, rows, event_type="purchase", only={"gone": [""]})
    assert totals == {"purchase": 100}


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_empty_cells_are_filled_from_other_columns(tmp_path: Path, name: str) -> None:
    """Guests have the id 0 or none; their address says who they are."""
    people = [("7", "x@example.org"), ("0", "y@example.org"), (None, "z@example.org"), ("0", None)]
    rows = [
        row(10.0 if who == "7" else None, day, total=3.0, number=who, mail=mail)
        for day, (who, mail) in enumerate(people, 1)
    ]
    totals, report = read(
        tmp_path,
        rows,
        name=name,
        columns={**COLUMNS, "customer_id": "number"},
        fill_from={"number": ["mail"], "amount": ["total"]},
    )
    assert (totals, report.bad) == ({"purchase": 1600}, 1)
    with pytest.raises(ValueError, match="`fill_from` fills 'mail', which is not mapped"):
        read(tmp_path, rows, fill_from={"mail": ["number"]})


def test_a_number_in_each_object_of_a_list_is_added_up(tmp_path: Path) -> None:
    back = [[{"total": "-1.50"}, {"total": "-1"}], [], [{"total": None}, {"total": "x"}]]
    rows = [row(10.0, day, refunds=refunds) for day, refunds in enumerate(back, 1)]
    columns = {**COLUMNS, "value_less": ["refunds[].total"]}
    assert read(tmp_path, rows, name="rows.jsonl", columns=columns)[0] == {"purchase": 2750}
    none = [row(10.0, refunds=[])]
    assert read(tmp_path, none, name="rows.jsonl", columns=columns)[0] == {"purchase": 1000}
    with pytest.raises(UserError, match=r"refunds\[\]\.total"):
        read(tmp_path, [row(10.0)], name="rows.jsonl", columns=columns)
