"""stagecast's own engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas  # noqa: F401  DuckDB would import it within the time
from measured_run import Frame, run

from features.history.grid import Grid
from features.history.grid_engine import EventFiles, windowed_features


def frames(case: dict[str, Any]) -> Iterator[Frame]:
    grid = Grid(tuple(case["snapshots"]), tuple(case["windows"]))
    events = EventFiles([Path(case["file"])], tuple(case["types"]))
    for shard in windowed_features(events, grid, threads=case["threads"]):
        for number in range(len(grid.snapshots)):
            table = shard.frame(number)
            columns = {n: table[n].to_numpy() for n in table.column_names[2:]}
            yield number, table["customer_id"].to_numpy(), columns


if __name__ == "__main__":
    run(frames, cents=True)
