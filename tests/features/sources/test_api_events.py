"""Raw events as text and as rows: what is read, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.config.config import Config
from features.errors import UserError
from features.sources.api_events import (
    feature_definition_hash,
    parse_events,
    readable_columns,
    write_events,
)

CONTENT: dict[str, Any] = {
    "name": "shop",
    "timezone": "America/New_York",
    "sources": [
        {
            "events": "orders.csv",
            "columns": {"customer_id": "c", "occurred_at": {"column": "at", "zone": "UTC"},
                        "value": "amount", "order_id": "o", "brand": "b", "health": "h"},
            "event_type": "purchase",
        },
    ],
    "sensitive": ["health"],
    "stages": {"name": "one", "stages": [{"name": "all", "default": True}]},
}  # fmt: skip
CONFIG = Config.model_validate(CONTENT)
GOOD = {
    "customer_id": "7",
    "event_type": "purchase",
    "occurred_at": "2024-05-01T14:30:00+02:00",
    "value": 12.5,
}


def written(tmp_path: Path, *rows: dict[str, Any]) -> pd.DataFrame:
    write_events(rows, CONFIG, tmp_path / "e.parquet")
    return pd.read_parquet(tmp_path / "e.parquet").fillna("")


def test_json_lines_an_array_and_csv_say_the_same(tmp_path: Path) -> None:
    line = (
        '{"customer_id": 7, "event_type": "purchase", "value": 12.5, "attributes": {"brand": "x"}, '
    )
    line += '"occurred_at": "2024-05-01T14:30:00+02:00"}'
    table = "customer_id,event_type,value,brand,occurred_at\n"
    table += "7,purchase,12.5,x,2024-05-01T14:30:00+02:00\n"
    texts = (
        f"\n{line}\n\n{line}\n",
        f"[{line},{line}]",
        table + table.splitlines()[-1],
        f"\ufeff{line}\n{line}",
    )
    frames = [written(tmp_path, *parse_events(text)) for text in texts]
    for frame in frames:
        pd.testing.assert_frame_equal(frame, frames[0])
    assert frames[0]["brand"].tolist() == ["x", "x"]
    assert frames[0]["customer_id"].tolist() == ["7", "7"]
    assert frames[0]["occurred_at"].tolist() == ["2024-05-01 12:30:00.000000+00"] * 2


def test_a_date_alone_is_a_local_day(tmp_path: Path) -> None:
    frame = written(tmp_path, {**GOOD, "occurred_at": "2024-05-01"})
    assert frame["occurred_at"].tolist() == ["2024-05-01 04:00:00.000000+00"]


def test_an_event_is_known_when_it_occurs_unless_told(tmp_path: Path) -> None:
    later = {**GOOD, "known_at": "2024-05-03T00:00:00Z"}
    frame = written(tmp_path, GOOD, later)
    assert frame["known_at"].tolist() == [
        frame["occurred_at"][0], "2024-05-03 00:00:00.000000+00"
    ]  # fmt: skip


def test_what_the_batch_never_reads_is_not_read(tmp_path: Path) -> None:
    frame = written(tmp_path, {**GOOD, "health": "secret", "session_id": "s", "channel": "web"})
    assert "secret" not in frame.to_csv()
    assert set(frame.columns) == {*GOOD, "known_at"}
    assert "health" not in readable_columns(CONFIG)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"customer_id": None}, "event 1: customer_id: found nothing"),
        ({"customer_id": " "}, "event 1: customer_id: found nothing"),
        ({"event_type": ""}, "event 1: event_type: found nothing"),
        ({"occurred_at": None}, "event 1: occurred_at: found nothing"),
        ({"occurred_at": "2024-05-01T14:30:00"}, "without its offset"),
        ({"occurred_at": "yesterday"}, "no readable time"),
        ({"occurred_at": "2024-02-30"}, "no readable time"),
        ({"occurred_at": "0001-01-01T00:00:00+10:00"}, "no usable time"),
        ({"known_at": "soon"}, "known_at: found no readable time"),
        ({"valeu": 3}, "column 'valeu': found a column that this data set does not have"),
        ({"anonymous_id": "v1"}, "the customer_id they are linked to"),
        ({"value": [1, 2]}, "value: found a list"),
        ({"brand": {"a": 1}}, "brand: found an object"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match="events") as caught:
        written(tmp_path, {**GOOD, **change})
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"customer_id": 1}\n{"customer_id"', "line 2: found broken JSON"),
        ("[1]", "item 1: found a number"),
        ('{"attributes": 3}', "attributes: found a number"),
        ("a,b\n1,2,3\n", "line 2: found 3 cells"),
        ("a,a\n1,2\n", "a column twice"),
        ('a,b\n"1,2\n', "broken CSV"),
    ],
)
def test_broken_text_is_told_by_its_line(text: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_events(text)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n\n", "customer_id,event_type,occurred_at\n", "[]"])
def test_no_events_are_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="no events"):
        written(tmp_path, *parse_events(text))


def test_a_definition_is_what_makes_features_and_not_where_data_lie() -> None:
    moved = Config.model_validate({**CONTENT, "name": "other", "seed": 3, "threads": 1})
    assert feature_definition_hash(moved) == feature_definition_hash(CONFIG)
    for change in ({"timezone": "UTC"}, {"windows": [7]}, {"sensitive": []}, {"minor_units": 3}):
        assert feature_definition_hash(
            Config.model_validate({**CONTENT, **change})
        ) != feature_definition_hash(CONFIG)
