"""Answers of web APIs that were saved as they came: rows in a list, related objects beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.sources.duckdb_connection import connect
from features.sources.typed_files import read_json_files

ROWS = [{"id": 1, "total": "9.50"}, {"id": 2, "total": "3"}]


def columns_of(folder: Path, *answers: Any) -> dict[str, list[Any]]:
    names = []
    for number, answer in enumerate(answers):
        names.append(str(folder / f"{number}.json"))
        Path(names[-1]).write_text(json.dumps(answer), encoding="utf-8")
    table = read_json_files(connect(), names, ["id"], lines=False)
    rows = table.to_pyarrow().to_pylist()
    return {name: [row[name] for row in rows] for name in table.columns}


@pytest.mark.parametrize(
    "beside",
    [
        {},
        {"object": "list", "url": "/v1/charges", "has_more": False},
        {"search_criteria": {"page_size": 2}, "total_count": 2},
        {"_links": [{"rel": "self"}], "total_items": 2, "store_id": "s"},
    ],
)
@pytest.mark.parametrize("name", ["data", "items", "orders", "ecomOrders"])
def test_the_rows_of_an_answer_are_in_its_list(
    tmp_path: Path, name: str, beside: dict[str, Any]
) -> None:
    answers = [{name: [row], **beside} for row in ROWS]
    expected = {"id": [1, 2], "total": ["9.50", "3"]}
    assert columns_of(tmp_path, *answers) == expected


def test_an_order_with_lines_is_no_answer(tmp_path: Path) -> None:
    """One order a file, as web hooks write them."""
    orders = [{"id": n, "created_at": "2024-01-01", "items": ROWS} for n in (7, 8)]
    assert columns_of(tmp_path, *orders)["id"] == ["7", "8"]


def test_related_objects_are_joined_by_type_and_id(tmp_path: Path) -> None:
    def event(number: int, metric: str | None) -> dict[str, Any]:
        data = None if metric is None else {"type": "metric", "id": metric}
        others = {"data": [{"type": "list", "id": "m1"}]}
        related = {"metric": {"data": data}, "lists": others}
        return {"type": "event", "id": str(number), "relationships": related}

    included = [
        {"type": "metric", "id": "m1", "attributes": {"name": "Placed Order"}},
        {"type": "profile", "id": "m1", "attributes": {"name": "N N"}},
        {"type": "metric", "id": "m2", "attributes": {"name": "Opened Email"}},
    ]
    pages = [
        {"data": [event(1, "m1"), event(2, "m2")], "included": included, "links": {}},
        {"data": [event(3, "m1"), event(4, None)], "included": included, "links": {}},
    ]
    columns = columns_of(tmp_path, *pages)
    named = {
        number: metric and metric["name"]
        for number, metric in zip(columns["id"], columns["metric"], strict=True)
    }
    assert named == {"1": "Placed Order", "2": "Opened Email", "3": "Placed Order", "4": None}
