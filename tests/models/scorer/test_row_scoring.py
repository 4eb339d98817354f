"""Rows scored without a frame: equal to the frame's to the last bit, and refused as clearly."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.scorer.input_validation import InputRefused
from models.scorer.predict import predict_scores
from models.scorer.pyfunc import Scorer
from models.serving.event_scoring import score_records
from tests.models.registry.test_registry import FEATURES, HEAD, make_frame, make_part
from tests.models.scorer.test_wrong_frames import ROWS, Change, edged
from tests.tries import tries

GOOD = {"customer_id": "c1", "snapshot_at": "2024-05-01", **dict.fromkeys(FEATURES, 1.0)}


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    made = Scorer()
    made.parts, made.head = {"churn": make_part(0)}, HEAD
    return made


def mappings(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


@settings(max_examples=tries(30), deadline=None)
@given(
    changes=st.lists(edged(), max_size=4),
    rows=st.integers(0, ROWS),
    since=st.lists(st.sampled_from([None, "2024-01-31"]), min_size=ROWS, max_size=ROWS),
    brands=st.lists(st.sampled_from([None, "north", "ß"]), min_size=ROWS, max_size=ROWS),
)
def test_mappings_vectors_and_columns_give_the_rows_of_the_frame(
    scorer: Scorer, changes: list[Change], rows: int, since: list[Any], brands: list[Any]
) -> None:
    frame = make_frame(ROWS)
    for change in changes:
        frame = change(frame)
    frame = frame.assign(stage_since=since, preferred_brand=brands).head(rows)
    wanted = score_records(predict_scores(scorer.parts, frame, HEAD["training_context"], HEAD))
    given_rows = mappings(frame)
    assert scorer.score_many(given_rows) == wanted
    assert [scorer.score_one(row) for row in given_rows] == wanted
    vectors = frame[FEATURES].to_numpy()
    others = mappings(frame.drop(columns=FEATURES))
    by_vector = [
        scorer.score_one(row, vector=vector) for row, vector in zip(others, vectors, strict=True)
    ]
    assert by_vector == wanted
    columns = {str(name): frame[name].to_numpy() for name in frame}
    assert scorer.score_columns(columns) == wanted


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"btyd__x": "3"}, "btyd__x"),
        ({"cadence__days": [1.0]}, "cadence__days"),
        ({"customer_id": None}, "customer_id"),
        ({"customer_id": ""}, "customer_id"),
        ({"customer_id": 7.5}, "customer_id"),
        ({"snapshot_at": None}, "snapshot_at"),
        ({"snapshot_at": "soon"}, "snapshot_at"),
        ({"snapshot_at": 20240501}, "snapshot_at"),
        ({"snapshot_at": dt.datetime(2024, 5, 1, tzinfo=dt.UTC)}, "snapshot_at"),
        ({"stage_since": "soon"}, "stage_since"),
    ],
)
def test_a_wrong_value_is_refused_by_its_column_and_not_shown(
    scorer: Scorer, change: dict[str, Any], names: str
) -> None:
    with pytest.raises(InputRefused, match=names) as caught:
        scorer.score_one({**GOOD, **change})
    for value in change.values():
        assert not value or str(value) not in str(caught.value)


def test_missing_columns_and_wrong_lengths_are_refused(scorer: Scorer) -> None:
    without = {name: value for name, value in GOOD.items() if name != "btyd__x"}
    with pytest.raises(InputRefused, match="btyd__x"):
        scorer.score_one(without)
    with pytest.raises(InputRefused, match="same columns"):
        scorer.score_many([GOOD, without])
    keys = {"customer_id": "c1", "snapshot_at": "2024-05-01"}
    with pytest.raises(InputRefused, match="2 numbers"):
        scorer.score_one(keys, vector=np.zeros(2))
    with pytest.raises(InputRefused, match="equally long"):
        scorer.score_columns({name: [value] for name, value in GOOD.items()} | {"btyd__x": []})
    with pytest.raises(InputRefused, match="population_gap_days"):
        scorer.score_one(GOOD, {})
    assert scorer.score_many([]) == []
