"""Worker processes: each opens the archive itself, and errors keep their message on the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from features.aggregates.daily_aggregates import tally
from features.config.config import load
from features.errors import UserError
from features.table.feature_store import Archive, store
from models.evaluation.workers import workers
from tests.flows.shop import write_shop


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    config = load(write_shop(tmp_path, customers=10))
    tallies, _ = tally(config, latest=30000, quarantine=tmp_path / "quarantine")
    return store(tmp_path / "out", config, tallies, [])


def customers_and_process(archive: Archive, offset: int) -> tuple[int, int]:
    return len(archive.features(archive.builder.last_snapshot - offset)), os.getpid()


def refuse(archive: Archive) -> None:
    raise UserError("here", found=archive.builder.config.name, expected="that", hint="so")


def test_workers_see_the_same_customers_in_processes_of_their_own(archive: Archive) -> None:
    with workers(archive, 2) as submit:
        futures = [submit(customers_and_process, 0) for _ in range(6)]
        found = [future.result() for future in futures]
    assert {count for count, _ in found} == {len(archive.features(archive.builder.last_snapshot))}
    assert os.getpid() not in {process for _, process in found}


def test_a_user_error_arrives_whole(archive: Archive) -> None:
    with workers(archive, 1) as submit, pytest.raises(UserError) as error:
        submit(refuse).result()
    assert str(error.value) == "here: found shop\n  expected: that\n  hint:     so"
