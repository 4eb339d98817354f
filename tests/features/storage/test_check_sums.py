"""Stored tallies and features that changed on the disk are refused, wherever the change is."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pandas as pd
import pytest

from features.aggregates import segments
from features.config.config import Config
from features.errors import UserError
from features.sources.personal_files import Person, person_mask, personal_files, remove_rows
from features.storage.check_sums import has_sums
from features.table import feature_store
from features.table.feature_store import Archive, open_archive, read_tallies, required_manifest
from tests.oracles.orders import GOOD, HEADER, csv, read, shop


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Archive, Config]:
    config = shop(csv(tmp_path, HEADER + GOOD))
    return feature_store.store(tmp_path / "out", config, read(config, tmp_path)[0], []), config


def flipped(file: Path, draw: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.unlink()  # a new file, whatever the clock says
    file.write_bytes(content)


def test_a_bit_flipped_anywhere_in_stored_features_is_found(
    stored: tuple[Archive, Config], tmp_path: Path
) -> None:
    archive, _ = stored
    at = archive.builder.last_snapshot
    wanted, file = archive.features(at), archive.path(at)
    pd.testing.assert_frame_equal(archive.features(at), wanted)
    whole = tmp_path / "whole"
    shutil.copy(file, whole)
    for seed in range(60):
        flipped(file, random.Random(seed))
        with pytest.raises(UserError, match=r"features\.parquet: found content that is not"):
            archive.features(at)
        file.unlink()
        shutil.copy(whole, file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="not as it was stored"):
        archive.features(at)


def test_features_without_a_check_sum_are_built_again(stored: tuple[Archive, Config]) -> None:
    archive, _ = stored
    at = archive.builder.last_snapshot
    wanted, file = archive.features(at), archive.path(at)
    (file.parent / ".features.parquet.sum").unlink()
    file.write_bytes(b"anything")
    pd.testing.assert_frame_equal(archive.features(at), wanted)
    assert has_sums(file)


@pytest.mark.parametrize("table", ["daily", "attributes"])
def test_tallies_that_changed_are_refused_by_every_reader(
    stored: tuple[Archive, Config], table: str
) -> None:
    archive, config = stored
    output = archive.folder.parent
    names = required_manifest(output).segments
    folder = archive.folder / feature_store.TALLIES
    file = folder / names[0] / f"{table}.parquet"
    if not file.exists():
        pytest.fail(f"the shop has no {table}")
    flipped(file, random.Random(1))
    readers = {
        "open": lambda: open_archive(output, config),
        "read": lambda: read_tallies(output),
        "some": lambda: segments.read_customers(folder, names, "", None),
        "files": lambda: segments.table_files(folder, table),
    }
    for reader in readers.values():
        with pytest.raises(UserError, match=f"{table}.parquet: found content that is not"):
            reader()


def test_who_is_taken_out_of_stored_files_leaves_them_sound(
    stored: tuple[Archive, Config],
) -> None:
    archive, config = stored
    at = archive.builder.last_snapshot
    archive.features(at)
    for file in personal_files(archive.folder):
        remove_rows(file, person_mask(file, Person("a")))
    again = open_archive(archive.folder.parent, config)
    assert again.features(at)["customer_id"].tolist() == ["b"]
    assert again.builder.history.customers.tolist() == ["b"]


def test_tallies_without_check_sums_are_of_an_earlier_version(
    stored: tuple[Archive, Config],
) -> None:
    archive, config = stored
    for noted in archive.folder.rglob(".*.sum"):
        noted.unlink()
    with pytest.raises(UserError, match="no stored tallies of this version"):
        open_archive(archive.folder.parent, config)
