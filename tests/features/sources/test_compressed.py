"""Compressed sources: read whole or refused, whatever was cut, changed or blown up."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import UserError
from features.sources import compressed
from tests.oracles.orders import GOOD, HEADER, csv, refusal, rows, shop
from tests.tries import tries

TEXT = HEADER + GOOD * 30
PACKED = gzip.compress(TEXT.encode(), mtime=0)


def test_a_whole_file_is_read_also_in_several_members(tmp_path: Path) -> None:
    parts = gzip.compress(HEADER.encode()) + gzip.compress(GOOD.encode())
    found = rows(shop(csv(tmp_path, parts, "orders.csv.gz")), tmp_path)
    assert found["customer_id"].tolist() == ["a", "b"]


@settings(max_examples=tries(60))
@given(kept=st.integers(0, len(PACKED) - 1))
def test_a_file_that_is_cut_anywhere_is_refused(
    kept: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = csv(tmp_path_factory.mktemp("cut"), PACKED[:kept], "orders.csv.gz")
    if kept == 0:  # an empty file is one that holds no table, which is told as such
        assert "empty" in refusal(shop(path), path.parent)
        return
    with pytest.raises(UserError, match="cut off or damaged"):
        compressed.require_whole([str(path)])


@settings(max_examples=tries(60))
@given(place=st.integers(10, len(PACKED) - 1), bit=st.integers(0, 7))
def test_a_changed_bit_is_refused(
    place: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(PACKED)
    content[place] ^= 1 << bit
    path = csv(tmp_path_factory.mktemp("bit"), bytes(content), "orders.csv.gz")
    with pytest.raises(UserError, match="cut off or damaged"):
        compressed.require_whole([str(path)])


@pytest.mark.parametrize("name", ["orders.csv.gz", "orders.CSV.GZ", "orders.jsonl.gz"])
def test_reading_a_cut_file_names_it(name: str, tmp_path: Path) -> None:
    message = refusal(shop(csv(tmp_path, PACKED[:-9], name)), tmp_path)
    assert name in message
    assert "cut off" in message


def test_a_file_that_unpacks_without_end_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "SAFE_BYTES", 1_000_000)
    path = csv(tmp_path, gzip.compress(b"\0" * 20_000_000), "orders.csv.gz")
    assert "300-fold" in refusal(shop(path), tmp_path)
