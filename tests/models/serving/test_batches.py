"""Batches and worker processes change no score."""

from __future__ import annotations

import pandas as pd
import pytest

from flows.services.workspace import Workspace
from models.registry import registry
from models.serving import batches
from models.serving.batches import predict_batches
from models.serving.score import scoring_frame
from tests.flows.shop import Shop, flat


def test_workers_and_batches_change_no_score(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Workspace(shop.output)
    archive, loaded = space.archive(), registry.load(space.tracking())
    frame = scoring_frame(archive, archive.builder.last_snapshot)
    whole, context = predict_batches(loaded, frame, threads=2)
    assert len(whole) == len(frame)
    monkeypatch.setattr(batches, "_BATCH", 7)
    heard: list[tuple[str, int, int]] = []
    small, added = predict_batches(
        loaded, frame.head(66), threads=1, progress=lambda *one: heard.append(one)
    )
    assert heard == [
        (what, min(7 * batch, 66), 66)
        for what in ("customers counted", "customers scored")
        for batch in range(11)
    ]
    again = loaded.predict(frame.head(66), added)
    pd.testing.assert_frame_equal(small, again, check_exact=True)
    monkeypatch.setattr(batches, "_BATCH", 100)
    monkeypatch.setattr(batches, "_SIDE_BY_SIDE_FROM", 1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # workers ask no registry
    heard.clear()
    split, of_split = predict_batches(
        loaded, frame, threads=2, progress=lambda *one: heard.append(one)
    )
    assert heard[-1] == ("customers scored", len(frame), len(frame))
    assert flat(of_split) == pytest.approx(flat(context), rel=1e-12)
    pd.testing.assert_frame_equal(split, whole, rtol=1e-12)
    pd.testing.assert_frame_equal(split, loaded.predict(frame, of_split), check_exact=True)
