"""A compressed source that is cut or changed is refused; the engine would read what it can."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import UserError
from tests.oracles.orders import HEADER, read, refusal, rows, shop
from tests.tries import tries

LINES = 400
TEXT = HEADER + "".join(
    f"c{n % 37:02d},2021-01-{1 + n % 28:02d} 12:00:00,{n % 90}.50\n" for n in range(LINES)
)
WHOLE = gzip.compress(TEXT.encode(), mtime=0)


def packed(folder: Path, content: bytes) -> Path:
    path = folder / "orders.csv.gz"
    path.unlink(missing_ok=True)  # a new file, whatever the clock says
    path.write_bytes(content)
    return path


def test_a_whole_file_is_read_as_if_it_were_not_compressed(tmp_path: Path) -> None:
    plain = tmp_path / "orders.csv"
    plain.write_text(TEXT)
    wanted = rows(shop(plain), tmp_path)
    for content in (WHOLE, gzip.compress(TEXT.encode(), 1)):
        pd.testing.assert_frame_equal(rows(shop(packed(tmp_path, content)), tmp_path), wanted)


@pytest.mark.parametrize("lost", [1, 4, 8, 9, 20, 200])
def test_a_file_that_lost_its_end_is_refused(lost: int, tmp_path: Path) -> None:
    message = refusal(shop(packed(tmp_path, WHOLE[:-lost])), tmp_path)
    assert "orders.csv.gz" in message
    assert "deliver the file again" in message


@settings(
    max_examples=tries(150), deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True,
)  # fmt: skip
@given(
    at=st.integers(0, len(WHOLE) - 1),
    bit=st.integers(0, 7),
    kind=st.sampled_from(["flip", "cut", "add", "lose"]),
)
def test_no_damaged_file_is_read_in_part(tmp_path: Path, at: int, bit: int, kind: str) -> None:
    changed = {
        "flip": WHOLE[:at] + bytes([WHOLE[at] ^ (1 << bit)]) + WHOLE[at + 1 :],
        "cut": WHOLE[:at],
        "add": WHOLE + bytes([1 + bit]) * (at + 1),
        "lose": WHOLE[:at] + WHOLE[at + 1 :],
    }[kind]
    path = packed(tmp_path, changed)
    try:
        unpacked = gzip.decompress(changed)
    except Exception:
        unpacked = b""
    if unpacked.decode(errors="replace") != TEXT:
        assert "orders.csv.gz" in refusal(shop(path), tmp_path)
        return
    # Only the name or the time of packing has changed: the engine may be stricter, not laxer.
    try:
        daily = read(shop(path), tmp_path)[0].daily
    except UserError:
        return
    assert sum(daily["count"].to_pylist()) == LINES


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_parquet_file_that_was_cut_is_refused(kept: float, tmp_path: Path) -> None:
    frame = pd.DataFrame({"customer": ["a", "b"] * 5000, "at": ["2021-01-05 12:00:00"] * 10000,
                          "amount": [float(n) for n in range(10000)]})  # fmt: skip
    path = tmp_path / "orders.parquet"
    frame.to_parquet(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert "orders.parquet" in refusal(shop(path), tmp_path)
