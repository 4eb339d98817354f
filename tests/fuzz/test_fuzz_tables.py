"""Event files of every kind: read, counted and compared with a plain reader of the same file."""

from __future__ import annotations

import csv
import datetime as dt
import functools
import gzip
import io
import json
import tempfile
import unicodedata
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from features.config.config import Config
from features.errors import UserError
from features.sources.duckdb_connection import connect
from features.sources.events import read_source
from features.sources.read_report import ReadReport
from tests.fuzz.inputs import CSV_SIGNS, JSON_SIGNS, NASTY, flipped, mangled
from tests.fuzz.judge import fuzzed, outcome
from tests.oracles.orders import COLUMNS, LATEST, shop

Read = tuple[list[dict[str, Any]], ReadReport]
# A type that a JSON reader guesses from all the lines is another matter than each line's own.
TIMES = ("2021-01-05 12:00:00", "2021-01-06", "2021/1/7 08:30", "2021-01-05T12:00:00.5")
BAD_TIMES = (
    "2021-02-30",
    "soon",
    "",
    "05.01.2021",
    "99999-01-01",
    "1609848000",
    "2021-01-05 25:00:00",
)
AMOUNTS = ("1", "10.50", "0", "-3.25", "007", "1e2", "99999999.99", " 5 ")
BAD_AMOUNTS = ("", "NaN", "inf", "1,5", "$3", "1e300", "--1", "0x10", "1" * 400)
names = st.sampled_from(("a", "b", "c1", "Ann", "7", "007", "x y", "Zoë", "a'b", 'a"b', "=1+1"))
loose = names | st.sampled_from([sign for sign in NASTY if "\x00" not in sign])


@functools.cache
def engine() -> Any:
    return connect(threads=1, memory=500_000_000)


def source_rows(config: Config) -> Read:
    """Usable rows of the only source, and the report."""
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        table, report = read_source(
            engine(), 0, config, latest=LATEST, quarantine=room / "aside", staged=room
        )
        return table.select("customer_id", "day", "value").to_pyarrow().to_pylist(), report


def result(content: bytes, name: str, **changes: Any) -> Read | UserError:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        config = shop(path, **{"quarantine": {"max_share": 1.0}, **changes})
        return outcome(source_rows, config)


def plain(text: object) -> str:
    """An id without blanks and invisible signs around it, however they are trimmed."""
    kept = list(str(text))
    while kept and _blank(kept[-1]):
        kept.pop()
    while kept and _blank(kept[0]):
        kept.pop(0)
    return "".join(kept)


def _blank(sign: str) -> bool:
    return sign.isspace() or unicodedata.category(sign) in ("Cc", "Cf", "Zs", "Zl", "Zp")


def nothing_lost(read: Read, rows: int) -> None:
    """Every row of the file is used, set aside or left out, and counted once."""
    used, report = read
    assert report.rows == rows
    assert len(used) + report.bad + sum(report.ignored.values()) == rows


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, str]]:
    """Rows as text, most of them good."""
    good = draw(st.integers(0, 6))
    found = []
    for number in range(draw(st.integers(1, 8))):
        fine = number < good
        found.append(
            {
                "customer": draw(names if fine else loose),
                "at": draw(st.sampled_from(TIMES if fine else (*TIMES, *BAD_TIMES, *NASTY[:40]))),
                "amount": draw(st.sampled_from(AMOUNTS if fine else (*AMOUNTS, *BAD_AMOUNTS))),
            }
        )
    return found


def as_csv(rows: list[dict[str, str]], delimiter: str, end: str, quoting: Any) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(
        file, list(rows[0]), delimiter=delimiter, lineterminator=end, quoting=quoting
    )
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


forms = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",;\t|"),
        "end": st.sampled_from(("\n", "\r\n")),
        "quoting": st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
        "encoding": st.sampled_from(("utf-8", "utf-8", "utf-8-sig", "utf-16")),
    }
)


def money(text: str) -> Decimal | None:
    """An amount as a plain reader takes it, in minor units; None where it is none."""
    try:
        found = Decimal(text.strip()) * 100
    except ArithmeticError:
        return None
    return found if found.is_finite() and abs(found) <= 10**14 else None


def agrees(read: Read, rows: list[dict[str, Any]]) -> None:
    """Used rows are rows of the file: as many, of the same customers, of the same sum each."""
    used, _ = read
    nothing_lost(read, len(rows))
    there: Counter[tuple[str, int]] = Counter()
    for row in rows:
        amount = money(str(row["amount"]))
        if amount is not None:
            there[plain(row["customer"]), round(amount)] += 1
    found = Counter((plain(row["customer_id"]), int(row["value"])) for row in used)
    assert not found - there, f"{found - there} of {there}"
    good = [
        row
        for row in rows
        if row["at"] in TIMES and row["amount"] in AMOUNTS and plain(row["customer"])
    ]
    assert len(used) >= len(good)


@fuzzed(st.tuples(tables(), forms), examples=40)
def test_rows_of_a_delimited_file_are_those_of_a_plain_reader(
    made: tuple[Any, dict[str, Any]],
) -> None:
    rows, form = made
    text = as_csv(rows, form["delimiter"], form["end"], form["quoting"])
    encoding = {"utf-8-sig": "utf-8"}.get(form["encoding"], form["encoding"])
    read = result(
        text.encode(form["encoding"]),
        "orders.csv",
        source_csv={"delimiter": form["delimiter"], "encoding": encoding},
    )
    if not isinstance(read, UserError):
        agrees(read, rows)


GOOD_CSV = as_csv(
    [
        {"customer": f"c{n % 3}", "at": f"2021-01-0{n + 1} 12:00:00", "amount": f"{n}.50"}
        for n in range(6)
    ],
    ",",
    "\n",
    csv.QUOTE_MINIMAL,
)
slips = mangled(GOOD_CSV, CSV_SIGNS).map(lambda text: text.encode("utf-8", "surrogatepass"))


@fuzzed(slips | flipped(GOOD_CSV.encode()), examples=60)
def test_a_broken_delimited_file_is_refused_or_read_whole(content: bytes) -> None:
    read = result(content, "orders.csv")
    if isinstance(read, UserError):
        return
    text = content.decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    nothing_lost(read, len([row for row in rows if row]))


GOOD_JSON = "".join(
    json.dumps({"customer": f"c{n % 3}", "at": f"2021-01-0{n + 1} 12:00:00", "amount": n + 0.5})
    + "\n"
    for n in range(6)
)
cells = st.sampled_from((None, 7, "7", 7.0, 1.5, True, "a", "", [1], {"x": 1}, 2**63, "é"))


@fuzzed(
    mangled(GOOD_JSON, JSON_SIGNS).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | flipped(GOOD_JSON.encode())
    | st.lists(
        st.fixed_dictionaries(
            {
                "customer": cells,
                "at": st.sampled_from((*TIMES, *BAD_TIMES, 5, None)),
                "amount": cells,
            },
            optional={"more": cells},
        ),
        min_size=1,
        max_size=6,
    ).map(lambda rows: "".join(json.dumps(row) + "\n" for row in rows).encode()),
    examples=60,
)
def test_json_lines_are_refused_or_read_whole(content: bytes) -> None:
    read = result(content, "orders.jsonl")
    if isinstance(read, UserError):
        return
    rows = [json.loads(line) for line in content.decode("utf-8-sig").split("\n") if line.strip()]
    nothing_lost(read, len(rows))
    used, _ = read
    there = {plain(_whole(row.get("customer"))) for row in rows if isinstance(row, dict)}
    assert {plain(row["customer_id"]) for row in used} <= there


def _whole(value: Any) -> Any:
    """An id as it was meant: JSON knows no difference between 7 and 7.0."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if not isinstance(value, list | dict) else json.dumps(value, separators=(",", ":"))


IDS = {
    "text": pa.array(["a", "b", None, "7"]),
    "large text": pa.array(["a", "b", None, "7"], pa.large_string()),
    "words": pa.array(["a", "b", None, "b"]).dictionary_encode(),
    "whole": pa.array([1, 2, None, 2**53 + 1], pa.int64()),
    "small": pa.array([1, 2, None, 3], pa.uint8()),
    "floats": pa.array([1.0, 2.0, None, 3.0]),
    "exact": pa.array([Decimal("1"), Decimal("2"), None, Decimal("3")], pa.decimal128(20, 0)),
    "bytes": pa.array([b"a", b"\xff", None, b"b"]),
    "flags": pa.array([True, False, None, True]),
    "lists": pa.array([[1], [2], None, []]),
    "records": pa.array([{"x": 1}, {"x": 2}, None, {"x": 3}]),
    "nothing": pa.nulls(4),
    "dates": pa.array([dt.date(2021, 1, 1)] * 3 + [None]),
    "spans": pa.array([dt.timedelta(1)] * 3 + [None]),
}
MOMENTS = {
    "instants": pa.array([dt.datetime(2021, 1, d, tzinfo=dt.UTC) for d in (1, 2, 3)] + [None]),
    "nanoseconds": pa.array([1609502400 * 10**9] * 3 + [None], pa.timestamp("ns", "UTC")),
    "seconds": pa.array([1609502400] * 3 + [None], pa.timestamp("s", "America/New_York")),
    "clocks": pa.array([dt.datetime(2021, 1, d) for d in (1, 2, 3)] + [None]),
    "extremes": pa.array([2**62, -(2**62), 0, None], pa.timestamp("us", "UTC")),
    "texts": pa.array(["2021-01-05 12:00:00", "soon", None, "2021-01-06"]),
    "numbers": pa.array([1609502400, 2, None, 4]),
    "dates": pa.array([dt.date(2021, 1, 1), dt.date(1, 1, 1), None, dt.date(9999, 12, 31)]),
    "days of time": pa.array([dt.time(1)] * 4),
    "nothing": pa.nulls(4),
    "lists": pa.array([[1], [2], None, []]),
}
SUMS = {
    "floats": pa.array([1.5, float("nan"), float("inf"), None]),
    "small floats": pa.array([1.5, 2.5, -1.0, None], pa.float32()),
    "whole": pa.array([1, -2, 2**62, None]),
    "exact": pa.array(
        [Decimal("1.50"), Decimal("2.25"), Decimal("-1.00"), None], pa.decimal128(38, 2)
    ),
    "texts": pa.array(["1.5", "x", "", None]),
    "flags": pa.array([True, False, True, None]),
    "nothing": pa.nulls(4),
    "dates": pa.array([dt.date(2021, 1, 1)] * 4),
    "halves": pa.array([1.5, 2.5, 3.5, None]).cast(pa.float16()),
}


def stored(ids: pa.Array, moments: pa.Array, sums: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"customer": ids, "at": moments, "amount": sums}), sink)
    return bytes(sink.getvalue().to_pybytes())


TIME_FORMS = (
    {"column": "at", "zone": "UTC"},
    {"column": "at"},
    {"column": "at", "as": "local_date"},
    {"column": "at", "format": "seconds"},
    {"column": "at", "format": "%d.%m.%Y", "zone": "UTC"},
)
GOOD_PARQUET = stored(IDS["text"], MOMENTS["instants"], SUMS["exact"])


@fuzzed(
    st.tuples(
        st.sampled_from(sorted(IDS)),
        st.sampled_from(sorted(MOMENTS)),
        st.sampled_from(sorted(SUMS)),
        st.sampled_from(TIME_FORMS),
    ),
    examples=60,
)
def test_columns_of_any_type_are_read_or_refused(made: tuple[str, str, str, Any]) -> None:
    ids, moments, sums, form = made
    content = stored(IDS[ids], MOMENTS[moments], SUMS[sums])
    read = result(content, "orders.parquet", source_columns=COLUMNS | {"occurred_at": form})
    if isinstance(read, UserError):
        return
    nothing_lost(read, 4)
    if ids in ("text", "large text", "words", "whole", "small"):
        known = {str(one) for one in IDS[ids].to_pylist() if one is not None}
        assert {row["customer_id"] for row in read[0]} <= known
    if sums == "exact":
        exact = [int(100 * one) for one in SUMS[sums].to_pylist() if one is not None]
        assert not Counter(row["value"] for row in read[0]) - Counter(exact)


@fuzzed(flipped(GOOD_PARQUET), examples=60)
def test_a_damaged_parquet_file_is_refused_or_read_whole(content: bytes) -> None:
    read = result(content, "orders.parquet")
    if not isinstance(read, UserError):
        used, report = read
        assert len(used) + report.bad + sum(report.ignored.values()) == report.rows


PACKED = gzip.compress(GOOD_CSV.encode(), mtime=0)


@fuzzed(flipped(PACKED), examples=40)
def test_a_damaged_archive_is_refused_or_read_whole(content: bytes) -> None:
    read = result(content, "orders.csv.gz")
    if not isinstance(read, UserError):
        nothing_lost(read, 6)
