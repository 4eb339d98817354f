"""What serving is sent, by tools that know no better: raw events as text, frames of features."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from features.errors import UserError
from features.sources import api_events
from tests.fuzz.inputs import CSV_SIGNS, JSON_SIGNS, NASTY, mangled
from tests.fuzz.judge import LONGEST_MESSAGE, fuzzed, limits, outcome
from tests.fuzz.test_fuzz_tables import plain, source_rows
from tests.models.registry.test_registry import FEATURES, expected, make_frame
from tests.oracles.orders import COLUMNS, shop

SECRET = "ann@secret.example"
MAPPED = {name: name for name in ("order_id", "brand", "channel", "is_machine")}
CONFIG = shop("orders.csv", source_columns=COLUMNS | MAPPED, quarantine={"max_share": 1.0})
EVENTS = [
    {
        "customer_id": f"c{n % 2}",
        "event_type": "purchase",
        "occurred_at": f"2021-01-0{n + 1}T12:00:00Z",
        "value": n + 0.5,
        "order_id": f"o{n}",
        "attributes": {"brand": "north"},
    }
    for n in range(4)
]
LINES = "".join(json.dumps(event) + "\n" for event in EVENTS)
TABLE = "customer_id,event_type,occurred_at,value\n" + "".join(
    f"{e['customer_id']},purchase,{e['occurred_at']},{e['value']}\n" for e in EVENTS
)
cells = st.sampled_from(
    (
        None,
        "",
        "a",
        7,
        7.0,
        -1,
        1.5,
        True,
        float("nan"),
        float("inf"),
        2**70,
        [],
        [1],
        {},
        {"x": 1},
        "2021-01-05",
        "2021-01-05T12:00:00+99:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2021-01-05T12:00:00",
        "20210105",
        "2021-W01-1",
        SECRET,
        "purchase",
        *NASTY[:60],
    )
)
events = st.lists(
    st.sampled_from(EVENTS).flatmap(
        lambda event: st.dictionaries(
            st.sampled_from((*event, *event, "known_at", "channel", "is_machine", "event_id", "x")),
            cells,
            max_size=1,
        ).map(lambda change: {**event, **change})
    ),
    max_size=4,
)


def read_back(text: str) -> tuple[list[dict[str, Any]], Any]:
    """Events of a text, and what the batch's own reader makes of them."""
    rows = api_events.parse_events(text)
    with tempfile.TemporaryDirectory() as folder:
        config = api_events.write_events(rows, CONFIG, Path(folder) / "events.csv")
        return rows, source_rows(config)


def plain_rows(text: str) -> list[Any]:
    """The same events by a plain reader."""
    begins = text.lstrip("\ufeff \t\r\n")[:1]
    if begins == "[":
        return list(json.loads(text.removeprefix("\ufeff")))
    if begins == "{":
        lines = text.removeprefix("\ufeff").splitlines()
        return [json.loads(line) for line in lines if line.strip()]
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


@fuzzed(
    mangled(LINES, JSON_SIGNS)
    | mangled(json.dumps(EVENTS), JSON_SIGNS)
    | mangled(TABLE, CSV_SIGNS)
    | events.map(lambda rows: "".join(json.dumps(row) + "\n" for row in rows))
    | events.map(json.dumps),
    examples=80,
)
def test_raw_events_are_scored_as_sent_or_refused(text: str) -> None:
    found = outcome(read_back, text)
    if isinstance(found, UserError):
        assert SECRET not in str(found)
        return
    rows, (used, report) = found
    sent = plain_rows(text)
    assert len(rows) == len(sent) == report.rows
    assert len(used) + report.bad + sum(report.ignored.values()) == len(sent)
    assert report.bad == 0 or {plain(row["customer_id"]) for row in used} <= _ids(sent)
    if not report.bad and not report.ignored:
        assert {plain(row["customer_id"]) for row in used} == _ids(sent)


def _ids(rows: list[Any]) -> set[str]:
    found = (({**row, **(row.get("attributes") or {})})["customer_id"] for row in rows)
    return {plain(_name(value)) for value in found}


def _name(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return (
        int(value)
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        else value
    )


ROWS = 5
COLUMN_VALUES: dict[str, Any] = {
    "text": [SECRET] * ROWS,
    "numbers as text": ["1", "2", "3", "4", "5"],
    "a category": pd.Categorical(["x", "y", "x", "y", "x"]),
    "nothing": [None] * ROWS,
    "null numbers": pd.array([1, None, 3, None, 5], dtype="Int64"),
    "flags": [True, False, True, False, True],
    "mixed": [1, SECRET, None, 2.5, True],
    "lists": [[1], [2], [], None, [SECRET]],
    "records": [{"x": 1}] * ROWS,
    "bytes": [b"\xff"] * ROWS,
    "complex": [1 + 2j] * ROWS,
    "infinite": [np.inf, -np.inf, np.nan, 1e308, -1e308],
    "huge": [10**30] * ROWS,
    "largest": np.array([2**63 - 1] * ROWS),
    "unsigned": np.array([2**64 - 1] * ROWS, dtype="uint64"),
    "small": np.array([1, 2, 3, 4, 5], dtype="int8"),
    "half": np.array([1, 2, 3, 4, 5], dtype="float16"),
    "moments": pd.date_range("2024-05-01", periods=ROWS),
    "instants": pd.date_range("2024-05-01", periods=ROWS, tz="UTC"),
    "spans": pd.to_timedelta([1, 2, 3, 4, 5], unit="D"),
    "dates": [dt.date(2024, 5, 1)] * ROWS,
    "far dates": [dt.date(9999, 12, 31)] * ROWS,
    "date texts": ["2024-05-01"] * ROWS,
    "broken dates": ["2024-02-30", SECRET, "", None, "now"],
    "spaces": [" ", "\u00a0", "\x00", "", "\u2028"],
    "periods": pd.period_range("2024-05-01", periods=ROWS, freq="D"),
    "sparse": pd.arrays.SparseArray([1.0, np.nan, 2.0, np.nan, 3.0]),
    "arrow": pd.array(["a", None, "b", "c", "d"], dtype="string[pyarrow]"),
}
names = st.sampled_from(
    ("customer_id", "snapshot_at", "sub_stage", "stage_since", "preferred_brand", *FEATURES)
)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """A frame as the signature asks, after up to three changes."""
    frame = make_frame(ROWS)
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(
            st.sampled_from(
                ("column", "column", "column", "drop", "twice", "rows", "index", "name")
            )
        )
        name = draw(names)
        if kind == "column":
            frame[name] = pd.Series(COLUMN_VALUES[draw(st.sampled_from(sorted(COLUMN_VALUES)))])[
                : len(frame)
            ]
        elif kind == "drop" and name in frame:
            frame = frame.drop(columns=name)
        elif kind == "twice" and name in frame:
            frame = pd.concat([frame, frame[[name]]], axis=1)
        elif kind == "rows":
            frame = frame.iloc[: draw(st.integers(0, len(frame)))]
        elif kind == "index":
            frame = frame.set_axis(draw(st.permutations(range(len(frame)))))
        elif kind == "name":
            frame = frame.rename(
                columns={name: draw(st.sampled_from((1, None, "", "x\x00", (1, 2))))}
            )
        if frame.columns.duplicated().any():
            break
    return frame


@fuzzed(frames(), examples=120)
def test_a_frame_is_scored_row_by_row_or_refused(frame: pd.DataFrame) -> None:
    with limits():
        try:
            scored = expected(0, frame)
        except ValueError as error:
            message = str(error)
            assert SECRET not in message
            assert len(message) < LONGEST_MESSAGE
            return
    assert scored["customer_id"].tolist() == frame["customer_id"].astype("str").tolist()
    p = scored["p_churn"].to_numpy(dtype=float)
    assert ((p >= 0) & (p <= 1) | np.isnan(p)).all()
    assert (np.isnan(p) == ~scored["churn_eligible"].to_numpy(dtype=bool)).all()
