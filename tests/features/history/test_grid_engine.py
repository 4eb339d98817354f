"""Windowed counts and sums straight from event files: equal to loops, however they are cut."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from features.errors import UserError
from features.history.grid import Grid, cell_sums
from features.history.grid_engine import EventFiles, Shard, windowed_features
from features.history.shards import Plan
from tests.oracles.histories import Event, shops, write

TYPES = ("purchase", "touch", "open", "sent")
NAMES = {"customer_id": "customer", "event_type": "type", "occurred_at": "at", "value": "amount"}


def files(file: Path) -> EventFiles:
    return EventFiles([file], TYPES, **NAMES, known_at="known", timezone="America/New_York")


def expected(events: list[Event], grid: Grid, at: int) -> dict[str, dict[str, int]]:
    """Every column of every customer with an event before a snapshot, by a loop."""
    found: dict[str, dict[str, int]] = {}
    for event in events:
        if max(event.day, event.known_day) >= at or event.type not in TYPES:
            continue
        row = found.setdefault(event.customer, {})
        for days in grid.windows:
            if days is not None and event.day < at - days:
                continue
            name = "all" if days is None else f"{days}d"
            for column, n in ((f"count_{name}", 1), (f"sum_{name}", event.amount or 0)):
                key = f"{event.type}__{column}"
                row[key] = row.get(key, 0) + n
    return found


def check(events: list[Event], grid: Grid, shards: list[Shard]) -> None:
    for number, at in enumerate(grid.snapshots):
        frame = pa.concat_tables([shard.frame(number) for shard in shards]).to_pylist()
        made = {
            str(row["customer_id"]): {
                k: v for k, v in row.items() if "__" in k and (v or "count" in k)
            }
            for row in frame
        }
        wanted = expected(events, grid, at)
        columns = {k for k in frame[0] if "__" in k} if frame else set()
        assert len(columns) in (0, 2 * len(TYPES) * len(grid.windows))
        filled = {
            who: {k: row.get(k, 0) for k in columns if row.get(k, 0) or "count" in k}
            for who, row in wanted.items()
        }
        assert made == filled


@settings(max_examples=12, phases=(Phase.explicit, Phase.generate), deadline=None)
@given(
    events=shops(),
    offsets=st.lists(st.integers(1, 50), min_size=1, max_size=4, unique=True),
    windows=st.lists(st.sampled_from((1, 2, 7, 30)), max_size=3, unique=True),
    memory=st.sampled_from((1 << 30, 900)),
)
def test_equal_to_loops_also_where_memory_is_short(
    events: list[Event], offsets: list[int], windows: list[int], memory: int
) -> None:
    first = min(e.day for e in events)
    grid = Grid(tuple(sorted(first + o for o in offsets)), (*windows, None))
    with tempfile.TemporaryDirectory() as folder:
        file = write(events, Path(folder) / "events.parquet")
        shards = list(windowed_features(files(file), grid, memory=memory, spill=Path(folder)))
        assert [p.name for p in Path(folder).iterdir()] == ["events.parquet"]
    assert (len(shards) > 1) == (memory == 900 and len({e.customer for e in events}) > 1)
    check(events, grid, shards)


def test_a_plan_stays_within_memory() -> None:
    grid = Grid(tuple(range(19000, 19365, 7)), (7, 30, 365, None))
    roomy = Plan.of(grid, kinds=6, customers=1_000_000, rows=10**8, memory=16 << 30, threads=2)
    tight = Plan.of(grid, kinds=6, customers=1_000_000, rows=10**8, memory=1 << 30, threads=2)
    assert not roomy.spilled
    assert tight.spilled
    cells = 6 * (grid.bins + len(grid.snapshots) * len(grid.windows))
    assert tight.block * cells * 16 <= (1 << 30) // 8
    assert roomy.block >= tight.block


def test_sums_are_exact_beyond_floats_and_refused_beyond_integers() -> None:
    cells = np.zeros(3, dtype=np.int64)
    large = np.array([2**53, 1, 1], dtype=np.int64)
    assert cell_sums(cells, large, 1).tolist() == [2**53 + 2]
    with pytest.raises(UserError, match="add up to"):
        cell_sums(cells, np.full(3, 2**61, dtype=np.int64), 1)


@pytest.mark.parametrize(("column", "message"), [("amount", "no column 'spent'"), ("at", "spent")])
def test_a_missing_column_is_named(tmp_path: Path, column: str, message: str) -> None:
    file = tmp_path / "events.parquet"
    pq.write_table(pa.table({"customer": ["a"], "type": ["open"], column: [1]}), file)
    with pytest.raises(UserError, match=message):
        list(
            windowed_features(
                EventFiles([file], TYPES, **{**NAMES, "value": "spent", "occurred_at": column}),
                Grid((19000,), (None,)),
            )
        )
