"""Tallies opened by blocks of customers give what all of them at once give."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.storage import scores_store
from features.table import customer_partitions
from features.table.campaign_conditions import past
from features.table.customer_partitions import Blocks, of_each, open_blocks, too_large
from features.table.feature_store import FOLDER, feature_file, read_features
from features.table.population_statistics import Everybody
from flows.services.reasons import reasons_in_run
from flows.services.workspace import Workspace
from models.registry import registry
from models.serving.block_scoring import score_by_blocks
from models.serving.event_scoring import POPULATION_KEY, population_facts
from models.serving.score import RowFinisher, ScoreStamp, score_snapshot
from tests.flows.shop import Shop, flat

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def space(shop: Shop, tmp_path: Path) -> Workspace:
    """A copy of a trained shop, whose features may be written anew."""
    shutil.copytree(shop.output, tmp_path / "out")
    return Workspace(tmp_path / "out")


@pytest.fixture
def blocks(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> Blocks:
    """Blocks of at most 100 customers, as so little memory would have them."""
    monkeypatch.setattr(customer_partitions, "LEAST_CUSTOMERS", 40)
    monkeypatch.setattr(customer_partitions, "too_large", lambda *_: True)
    scarce = space.config().model_copy(update={"memory_limit": "1MB"})
    return open_blocks(space.output, scarce)


def test_every_customer_lies_in_one_block(space: Workspace, blocks: Blocks) -> None:
    whole = space.archive().builder.history.customers.tolist()
    found = [blocks.opened(number).history.customers.tolist() for number in range(len(blocks))]
    assert len(blocks) > 2
    assert max(map(len, found)) <= 100
    assert [customer for block in found for customer in block] == whole


def test_the_outline_knows_what_a_look_at_all_would(space: Workspace, blocks: Blocks) -> None:
    whole = space.archive().builder
    assert blocks.builder.span == whole.span
    assert blocks.builder.spec == whole.spec
    assert blocks.builder.needed_days() == whole.needed_days()


@pytest.mark.slow
def test_scores_by_blocks_equal_scores_at_once(
    space: Workspace, blocks: Blocks, tmp_path: Path
) -> None:
    archive, loaded = space.archive(), registry.load(space.tracking())
    at = archive.builder.last_snapshot
    customers = archive.builder.history.customers
    margins = pd.Series([0.1, 0.5], index=[customers[3], customers[50]])
    finish = RowFinisher.of(ScoreStamp("here", AT), None, margins)
    expected, context = score_snapshot(loaded, archive, at, finish)
    features = archive.features(at)

    left = blocks.part(99, at, aside=True)  # by a run that was killed
    left.parent.mkdir(parents=True, exist_ok=True)
    features.head(3).to_parquet(left, index=False)
    into = tmp_path / "scores"
    into.mkdir()
    found = score_by_blocks(loaded, blocks, at, finish, into=into)
    rows = pd.concat([pd.read_parquet(file) for file in sorted(into.iterdir())], ignore_index=True)

    expected.to_parquet(tmp_path / "expected.parquet", index=False)  # files know no seconds
    expected = pd.read_parquet(tmp_path / "expected.parquet")
    assert found.customers == len(expected)
    # Sums of the population are added block by block: equal to the last bits but one or two.
    assert flat(found.context) == pytest.approx(flat(context), rel=1e-9)
    pd.testing.assert_frame_equal(rows, expected, check_dtype=False, rtol=1e-9)
    everybody = Everybody.from_json(population_facts(archive.builder, at)[POPULATION_KEY])
    assert found.everybody.responses == pytest.approx(everybody.responses)
    stored = feature_file(space.output / FOLDER, at)
    assert stored.is_dir()
    pd.testing.assert_frame_equal(read_features(stored), features)
    assert list(read_features(stored, [customers[3]])["customer_id"]) == [customers[3]]


@pytest.mark.slow
def test_a_block_of_which_nobody_existed_yet_has_no_rows(
    space: Workspace, blocks: Blocks, tmp_path: Path
) -> None:
    archive, loaded = space.archive(), registry.load(space.tracking())
    history = archive.builder.history
    at = int(np.sort(history.exists_from)[3])  # when four of them exist
    expected, _ = score_snapshot(loaded, archive, at, RowFinisher(ScoreStamp("here", AT)))
    few = replace(blocks, bounds=tuple(history.customers[:6].tolist()))  # of one customer each
    found = score_by_blocks(loaded, few, at, RowFinisher(ScoreStamp("here", AT)), into=tmp_path)
    files = [pd.read_parquet(file) for file in sorted(tmp_path.glob("*.parquet"))]
    assert found.customers == len(expected) == sum(map(len, files))
    assert len(files) < len(few)


@pytest.mark.slow
def test_pasts_by_blocks_equal_pasts_at_once(
    space: Workspace, blocks: Blocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = {
        "silent": {"days_since_last": "purchase", ">": 40},
        "second": {"days_since_first": "purchase", ">": "median_gap"},
    }
    config, at = space.config(), space.archive().builder.last_snapshot
    found = past(space.output, config, rules, at=at)  # as too large
    monkeypatch.setattr(customer_partitions, "too_large", lambda *_: False)
    expected = past(space.output, config, rules, at=at)
    pd.testing.assert_frame_equal(found.rules, expected.rules)
    pd.testing.assert_frame_equal(found.contacts, expected.contacts)
    pd.testing.assert_series_equal(found.sunset, expected.sunset)
    assert found.parameters == expected.parameters


def test_what_fits_is_asked_at_once(space: Workspace) -> None:
    config = space.config()
    assert not too_large(space.output, config)
    assert too_large(space.output, config.model_copy(update={"memory_limit": "1MB"}))
    (customers,) = of_each(space.output, config, lambda tallies: tallies.daily.num_rows)
    assert customers > 0


@pytest.mark.slow
def test_reasons_of_parts_equal_reasons_of_one_file(
    space: Workspace, blocks: Blocks, tmp_path: Path
) -> None:
    archive = space.archive()
    run, customers = scores_store.read_current(space.output).run, archive.builder.history.customers
    asked = [*customers[::7].tolist(), "nobody"]
    expected = reasons_in_run(space, run.run_id, asked)
    finish = RowFinisher(ScoreStamp("here", AT))
    loaded, at = registry.load(space.tracking()), archive.builder.last_snapshot
    score_by_blocks(loaded, blocks, at, finish, into=tmp_path)
    assert feature_file(space.output / FOLDER, at).is_dir()
    found = reasons_in_run(space, run.run_id, asked)
    assert len(expected) > 20
    pd.testing.assert_frame_equal(found, expected)
