"""Frames that a consumer may send: each gives the defined rows or one clear refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.registry import registry
from models.scorer.predict import predict_scores
from tests.models.registry.test_registry import FEATURES, HEAD, make_frame, make_part
from tests.tries import tries

ROWS = 12
EDGES = (0.0, -1.0, 1e18, -1e18, 2.5, 99.0, np.inf, -np.inf, np.nan)
Change = Callable[[pd.DataFrame], pd.DataFrame]
feature = st.sampled_from(FEATURES)
column = st.sampled_from([*FEATURES, "customer_id", "snapshot_at"])
optional = st.sampled_from(["sub_stage", "stage_since", "preferred_brand"])


@st.composite
def harmless(draw: st.DrawFn) -> Change:
    """A change of the frame that loses nothing: its rows must come out all the same."""
    kind = draw(st.sampled_from(("order", "extra", "rows", "integers", "float32", "index")))
    if kind == "order":
        names = draw(st.permutations(list(make_frame(1).columns)))
        return lambda frame: frame[list(names)]
    if kind == "extra":
        content = draw(st.sampled_from(("x", 3, None, [1])))
        return lambda frame: frame.assign(another=[content] * len(frame))
    if kind == "rows":
        order = draw(st.permutations(range(ROWS)))
        return lambda frame: frame.iloc[[p for p in order if p < len(frame)]]
    if kind == "integers":
        return lambda frame: frame.assign(btyd__x=frame["btyd__x"].astype("int32"))
    if kind == "float32":  # the numbers are small and whole
        return lambda frame: frame.assign(btyd__x=frame["btyd__x"].astype("float32"))
    return lambda frame: frame.set_axis(range(100, 100 + len(frame)))


@st.composite
def edged(draw: st.DrawFn) -> Change:
    """Unusual numbers in some cells: nulls, infinities, codes of no stage."""
    name, value = draw(feature), draw(st.sampled_from(EDGES))
    rows = draw(st.sets(st.integers(0, ROWS - 1), min_size=1))

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        where = [row in rows for row in range(len(frame))]
        return frame.assign(**{name: frame[name].mask(where, value)})

    return change


@st.composite
def wrong(draw: st.DrawFn) -> tuple[Change, str]:
    """A change that cannot be meant, and the column that the refusal names."""
    kind = draw(st.sampled_from(("missing", "text", "null key", "date", "optional")))
    if kind == "missing":
        name = draw(column)
        return lambda frame: frame.drop(columns=name), name
    if kind == "text":
        name = draw(feature)
        dtype = draw(st.sampled_from(("str", "category", "object")))
        return lambda frame: frame.assign(
            **{name: pd.Series(["many"] * len(frame), frame.index).astype(dtype)}
        ), name
    if kind == "null key":
        name = draw(st.sampled_from(("customer_id", "snapshot_at")))
        return lambda frame: frame.assign(**{name: frame[name].mask([True] * len(frame))}), name
    if kind == "date":
        value = draw(st.sampled_from(("soon", 20240501, 1.5)))
        return lambda frame: frame.assign(snapshot_at=value), "snapshot_at"
    return lambda frame: frame.assign(stage_since=["soon"] * len(frame)), "stage_since"


@pytest.fixture(scope="module")
def loaded(store: Any) -> registry.Loaded:
    with store.run("fit") as run:
        made = registry.log_version(
            run, "frames", {"churn": make_part(0)}, head=HEAD, description="", tags={}
        )
    return registry.load(store, "frames", version=made.version)


def both(loaded: registry.Loaded) -> list[Callable[[pd.DataFrame], pd.DataFrame]]:
    """By way of the registry with its signature, and directly as in the training."""
    parts = {"churn": make_part(0)}
    direct = lambda frame: predict_scores(parts, frame, HEAD["training_context"], HEAD)  # noqa: E731
    return [loaded.predict, direct]


@settings(max_examples=tries(20), deadline=None)
@given(changes=st.lists(harmless(), min_size=1, max_size=3))
def test_what_loses_nothing_changes_no_score(
    loaded: registry.Loaded, changes: list[Change]
) -> None:
    frame = make_frame(ROWS)
    changed = frame
    for change in changes:
        changed = change(changed)
    for predict in both(loaded):
        wanted = predict(frame).set_index("customer_id").loc[list(changed["customer_id"])]
        found = predict(changed).set_index("customer_id")
        pd.testing.assert_frame_equal(found, wanted, check_exact=True)


@settings(max_examples=tries(20), deadline=None)
@given(changes=st.lists(edged(), min_size=1, max_size=4), rows=st.integers(0, ROWS))
def test_unusual_numbers_give_every_row_a_defined_score(
    loaded: registry.Loaded, changes: list[Change], rows: int
) -> None:
    frame = make_frame(ROWS)
    for change in changes:
        frame = change(frame)
    frame = frame.head(rows)
    for predict in both(loaded):
        found = predict(frame)
        assert found["customer_id"].tolist() == frame["customer_id"].tolist()
        p = found["p_churn"].to_numpy(dtype=np.float64)
        eligible = found["churn_eligible"].to_numpy(dtype=bool)
        assert (np.isnan(p) == ~eligible).all()
        assert ((p[eligible] >= 0) & (p[eligible] <= 1)).all()
        named = found["stage"].notna().to_numpy()
        code = frame["stage__code"].to_numpy()
        assert (named == np.isin(code, [0.0, 1.0])).all()


@settings(max_examples=tries(20), deadline=None)
@given(broken=wrong(), changes=st.lists(harmless(), max_size=1))
def test_what_cannot_be_meant_is_refused_by_its_column(
    loaded: registry.Loaded, broken: tuple[Change, str], changes: list[Change]
) -> None:
    frame = make_frame(ROWS)
    for change in changes:
        frame = change(frame)
    change, name = broken
    for predict in both(loaded):
        with pytest.raises(ValueError, match=name) as caught:
            predict(change(frame))
        assert "c11" not in str(caught.value)
