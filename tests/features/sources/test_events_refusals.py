"""Reading bad input: one clear message each, without any row's content."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.oracles.orders import COLUMNS, GOOD, HEADER, LOCAL, csv, refusal, shop

BAD_TEXT: dict[str, tuple[str | bytes, dict[str, Any], tuple[str, ...]]] = {
    "an empty file": ("", {}, ("an empty file",)),
    "an empty table": (HEADER, {}, ("an empty table", "at least one event")),
    "a missing column": ("customer,when,amount\n" + GOOD, {}, ("no column 'at'", "when")),
    "another delimiter": (
        HEADER.replace(",", ";") + "a;2021-01-05 12:00;1\n", {}, ("no column", "delimiter")
    ),
    "a column twice": ("customer,at,at,amount\na,b,c,1\n", {}, ("'at' twice",)),
    "unreadable dates": (HEADER + "a,yesterday,1\n", {}, ("not a readable date or time: 1",)),
    "impossible dates": (HEADER + "a,2021-02-30 00:00:00,1\n", {}, ("not a readable date",)),
    "an ambiguous date": (
        HEADER + "a,05/01/2021,1\n", {"source_columns": LOCAL}, ("not a readable",)
    ),
    "the year 1": (HEADER + "a,0001-01-01 00:00:00,1\n", {}, ("before 1970-01-02",)),
    "the year 17": (HEADER + "a,17-01-05,1\n", {"source_columns": LOCAL}, ("not a readable",)),
    "the year 9999": (HEADER + "a,9999-12-31 00:00:00,1\n", {}, ("after 2022-01-01",)),
    "infinity": (HEADER + "a,infinity,1\n", {}, ("not a readable",)),
    "no zone": (
        HEADER + GOOD,
        {"source_columns": COLUMNS | {"occurred_at": {"column": "at"}}},
        ("instants without a zone", "zone: UTC", "as: local_date"),
    ),
    "no customer": (HEADER + ",2021-01-05 12:00:00,1\n", {}, ("customer_id is empty",)),
    "guests beside customers": (
        HEADER + GOOD + ",2021-01-05 12:00:00,1\n" * 2,
        {},
        ("customer_id is empty: 2", "guests", "max_share: 0.5"),
    ),
    "infinite amounts": (HEADER + "a,2021-01-05 12:00:00,inf\n", {}, ("not finite: 1",)),
    "amounts that are no number": (HEADER + "a,2021-01-05 12:00:00,NaN\n", {}, ("not finite: 1",)),
    "text for amounts": (HEADER + "a,2021-01-05 12:00:00,5 pieces\n", {}, ("not a number: 1",)),
    "another decimal sign": (
        HEADER + 'a,2021-01-05 12:00:00,"234,50"\n', {}, ("not a number: 1",)
    ),
    "huge amounts": (HEADER + "a,2021-01-05 12:00:00,1e300\n", {}, ("out of range: 1",)),
    "no amount": (HEADER + "a,2021-01-05 12:00:00,\n", {}, ("purchase without an amount: 1",)),
    "negative amounts": (
        HEADER + GOOD + "a,2021-01-07 12:00:00,-5\n",
        {"refunds": "reject"},
        ("1 purchases with a negative amount", "reject", "net"),
    ),
    "too long a line": (
        HEADER + GOOD + "a,2021-01-05,1,secret\n", {}, ("line 4, with 4", "the last lines"),
    ),
    "too short a line": (HEADER + GOOD + "secret\n", {}, ("line 4, with 1", "the last lines")),
    "an open quote": (HEADER + GOOD + '"secret,2021-01-05,1\n', {}, ("unterminated quote",)),
    "another encoding": (
        HEADER.encode() + "Müller,2021-01-05 12:00,1\n".encode("latin-1"), {}, ("utf-8",)
    ),
    "a header in another encoding": ("Größe,at\n".encode("latin-1"), {}, ("header", "utf-8")),
    "only rows that are ignored": (
        "customer,at,type\na,2021-01-05 12:00:00,view\n",
        {
            "source_columns": {k: v for k, v in COLUMNS.items() if k != "value"},
            "source_event_type": {"column": "type"},
            "ignored_event_types": ["view"],
        },
        ("no usable events",),
    ),
    "unknown event types": (
        "customer,at,type\na,2021-01-05 12:00:00,buy\na,2021-01-05 12:00:00,look\n",
        {
            "source_columns": {k: v for k, v in COLUMNS.items() if k != "value"},
            "source_event_type": {"column": "type"},
        },
        ("'buy', 'look'", "roles", "ignored_event_types"),
    ),
    "duplicate event ids": (
        "customer,at,amount,id\na,2021-01-05 12:00:00,1,7\nb,2021-01-06 12:00:00,1,7\n",
        {"source_event_id": "id"},
        ("duplicate event_id: 1",),
    ),
    "empty event ids": (
        "customer,at,amount,id\na,2021-01-05 12:00:00,1,\n",
        {"source_event_id": "id"},
        ("event_id is empty: 1",),
    ),
    "unreadable known_at": (
        "customer,at,amount,known\na,2021-01-05 12:00:00,1,soon\n",
        {"source_columns": COLUMNS | {"known_at": {"column": "known", "zone": "UTC"}}},
        ("known_at is not a readable",),
    ),
    "known in the future": (
        "customer,at,amount,known\na,2021-01-05 12:00:00,1,2099-01-01 00:00:00\n",
        {"source_columns": COLUMNS | {"known_at": {"column": "known", "zone": "UTC"}}},
        ("known_at after 2022-01-01",),
    ),
    "all data after data_through": (
        HEADER + GOOD, {"data_through": "2020-12-31"}, ("no usable events", "data_through")
    ),
    "data_through in the future": (
        HEADER + GOOD, {"data_through": "2022-06-01"}, ("2022-06-01", "at most 2022-01-01")
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TEXT)
def test_bad_text(case: str, tmp_path: Path) -> None:
    text, changes, said = BAD_TEXT[case]
    message = refusal(shop(csv(tmp_path, text), **changes), tmp_path)
    for words in said:
        assert words in message
    # What a row holds may be somebody's name or address.
    assert "secret" not in message
    assert "Müller" not in message


def test_bad_files(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "broken.jsonl").write_text('{"customer": "a", \n{"customer"\n', encoding="utf-8")
    (tmp_path / "orders.xlsx").write_bytes(b"PK")
    (tmp_path / "orders.doc").write_bytes(b"?")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "broken.csv.gz").write_bytes(b"not gzip")
    for name, words in {
        "none.csv": "no such file",
        "none*.csv": "no such file",
        "nowhere/none.csv": "no such file",
        "folder.csv": "a folder",
        "orders.xlsx": "spreadsheet that cannot be read",
        "orders.doc": "ending in .doc",
        "broken.parquet": "broken.parquet",
        "broken.jsonl": "broken.jsonl",
        "broken.csv.gz": "broken.csv.gz",
    }.items():
        assert words in refusal(shop(tmp_path / name), tmp_path)


def test_a_database_that_does_not_answer_keeps_its_password(tmp_path: Path) -> None:
    config = shop("x.csv", source_events={"url": "duckdb:///no/secret/x.db", "table": "orders"})
    message = refusal(config, tmp_path)
    assert "duckdb://... table orders" in message
    assert "secret" not in message


WRONG_TYPES = {
    "days for instants": (pa.array([dt.date(2021, 1, 5)]), [1.0], "as: local_date"),
    "numbers for instants": (pa.array([1609848000]), [1.0], "type int64"),
    "flags for instants": (pa.array([True]), [1.0], "type boolean"),
    "naive instants": (pa.array([dt.datetime(2021, 1, 5)]), [1.0], "without a zone"),
    "dates for amounts": (
        pa.array([dt.datetime(2021, 1, 5, tzinfo=dt.UTC)]),
        [dt.date(2021, 1, 5)],
        "a number",
    ),
}


@pytest.mark.parametrize("case", WRONG_TYPES)
def test_wrong_types(case: str, tmp_path: Path) -> None:
    at, amount, said = WRONG_TYPES[case]
    file = tmp_path / "orders.parquet"
    pq.write_table(pa.table({"customer": ["a"], "at": at, "amount": amount}), file)
    columns = COLUMNS | {"occurred_at": {"column": "at"}}
    assert said in refusal(shop(file, source_columns=columns), tmp_path)
