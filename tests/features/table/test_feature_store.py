"""The archive of features: stored once, read back the same, also by tasks side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from features.aggregates.daily_aggregates import tally
from features.config.config import load
from features.errors import UserError
from features.table.feature_store import Archive, open_archive, store
from tests.flows.shop import write_shop


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    config = load(write_shop(tmp_path, customers=30))
    tallies, _ = tally(config, latest=30000, quarantine=tmp_path / "quarantine")
    return store(tmp_path / "out", config, tallies, [])


def test_a_stored_snapshot_is_read_back_as_it_was_built(archive: Archive) -> None:
    at = archive.builder.last_snapshot
    built, stored = archive.features(at), archive.features(at)
    assert archive.stored() == [at]
    pd.testing.assert_frame_equal(built, stored, check_dtype=False)


def test_tasks_that_ask_for_one_snapshot_together_all_get_it(archive: Archive) -> None:
    days = [archive.builder.last_snapshot - 7 * week for week in range(4)] * 4
    with ThreadPoolExecutor(8) as pool:
        frames = list(pool.map(archive.features, days))
    assert archive.stored() == sorted(set(days))
    for day, frame in zip(days, frames, strict=True):
        pd.testing.assert_frame_equal(frame, archive.features(day), check_dtype=False)


def test_an_empty_folder_names_the_step_to_run(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stagecast features"):
        open_archive(tmp_path / "nowhere", archive.builder.config)
