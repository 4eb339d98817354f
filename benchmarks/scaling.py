"""Time and peak memory of the engine against events, snapshots and windows.

    uv run python benchmarks/scaling.py --events 1 10 100 --json result.json

Each case runs in a process of its own: from parquet on disk to features, which are handed over
shard by shard and let go. `--memory` is the engine's own limit in GB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import event_table

HERE = Path(__file__).resolve().parent
EACH = 100  # events a customer
MEASURED = """
import json, resource, sys, time
from pathlib import Path
import pandas
from features.history.grid_engine import EventFiles, windowed_features
from features.history.grid import Grid
case = json.loads(sys.argv[1])
start, cpu, rows = time.perf_counter(), time.process_time(), 0
grid = Grid(tuple(case["snapshots"]), tuple(case["windows"]))
events = EventFiles([Path(case["file"])], tuple(case["types"]))
memory = int(case["memory"] * 2**30)
for shard in windowed_features(events, grid, threads=2, memory=memory, spill=Path(case["spill"])):
    rows += sum(shard.frame(number).num_rows for number in range(len(grid.snapshots)))
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "processor_seconds": time.process_time() - cpu,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "rows": rows,
}))
"""


def measure(case: dict[str, Any]) -> dict[str, Any]:
    # In the repository's root, so that `features` is the package and not the script beside this.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURED, json.dumps(case)],
        capture_output=True, text=True, check=True, cwd=HERE.parent,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1, 10], help="millions")
    parser.add_argument("--snapshots", type=int, nargs="+", default=[1, 12, 52])
    parser.add_argument("--windows", type=int, nargs="+", default=[6, 24], help="how many")
    parser.add_argument("--memory", type=float, default=4.0, help="GB")
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = []
    print("| events, M | snapshots | windows | seconds | processor s | peak MB |")
    print("|---|---|---|---|---|---|")
    for millions in arguments.events:
        file = arguments.work / f"scaling-{millions}.parquet"
        if not file.is_file():
            event_table.write(file, customers=millions * 1_000_000 // EACH, events_each=EACH)
        for snapshots, count in _cases(arguments):
            days = event_table.monthly(12) if snapshots == 12 else event_table.weekly(snapshots)
            case = {
                "file": str(file.resolve()),
                "spill": str(arguments.work.resolve()),
                "types": list(event_table.TYPES),
                "snapshots": [(day - event_table.EPOCH).days for day in days],
                "windows": windows(count),
                "memory": arguments.memory,
            }
            result = measure(case)
            found.append(
                {"events": millions * 10**6, "snapshots": snapshots, "windows": count, **result}
            )
            print(
                f"| {millions} | {snapshots} | {count} | {result['seconds']:.1f} | "
                f"{result['processor_seconds']:.1f} | {result['peak_mb']:,.0f} |",
                flush=True,
            )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _cases(arguments: argparse.Namespace) -> list[tuple[int, int]]:
    """Snapshots with the first number of windows, and one snapshot with the others."""
    first, *others = arguments.windows
    return [*((n, first) for n in arguments.snapshots), *((12, count) for count in others)]


def windows(count: int) -> list[int | None]:
    """The whole past, and windows of rising length."""
    usual = [7, 30, 90, 180, 365]
    more = [n for n in range(14, 365, 14) if n not in usual]
    return [*sorted([*usual, *more][: count - 1]), None]


if __name__ == "__main__":
    main()
