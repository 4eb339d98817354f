"""Windowed counts and sums at many snapshots, by us and by others: time, memory, equal sums.

    uv run python benchmarks/features.py --customers 20000 --peers all --json result.json

Every engine runs in a process and an environment of its own (made by uv from the pins beside
`peers/`), on two threads, from parquet on disk to features in memory. A time counts only where all
check sums equal ours. An engine over ten minutes or 20 GB is stopped and recorded as a lower bound.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import event_table
import psutil

HERE = Path(__file__).resolve().parent
PEERS = (
    "duckdb_join",
    "polars_snapshots",
    "pandas_snapshots",
    "featuretools_cutoffs",
    "temporian_sampling",
)
WINDOWS = (7, 30, 90, 180, 365, None)
MOST_SECONDS, MOST_MB = 600, 20_000
THREADS = 2


def environment(peer: str, folder: Path) -> Path:
    """The Python of a peer's own environment, made where it is missing."""
    if peer == "ours":
        return Path(sys.executable)
    place = folder / peer
    python = place / "bin" / "python"
    if not python.is_file():
        pins = HERE / "peers" / f"{peer}.txt"
        subprocess.run(["uv", "venv", "--quiet", str(place), "--python", "3.11"], check=True)
        # The project's own pins are no matter of the peers'.
        command = ["uv", "pip", "install", "--quiet", "--no-config", "--python", str(python)]
        subprocess.run([*command, "-r", str(pins)], check=True, cwd=folder)
    return python


def measure(peer: str, case: dict[str, Any], environments: Path, work: Path) -> dict[str, Any]:
    """One run of an engine: seconds, peak_mb, rows and check sums, or why it was stopped."""
    case_file, result_file = work / "case.json", work / f"{peer}.json"
    case_file.write_text(json.dumps(case), encoding="utf-8")
    result_file.unlink(missing_ok=True)
    limits = dict.fromkeys(
        ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(THREADS)
    )
    process = subprocess.Popen(
        [str(environment(peer, environments)), "-W", "ignore",
         str(HERE / "peers" / f"{peer}.py"), str(case_file), str(result_file)],
        env={**os.environ, **limits, "PYTHONPATH": str(HERE.parent) if peer == "ours" else ""},
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    start, peak, stopped = time.monotonic(), 0.0, ""
    while process.poll() is None:
        try:
            peak = max(peak, psutil.Process(process.pid).memory_info().rss / 2**20)
        except psutil.NoSuchProcess:
            break
        if time.monotonic() - start > MOST_SECONDS:
            stopped = "time"
        if peak > MOST_MB:
            stopped = "memory"
        if stopped:
            process.kill()
            break
        time.sleep(0.2)
    _, said = process.communicate()
    if stopped:
        seconds = min(time.monotonic() - start, MOST_SECONDS)
        return {"seconds": seconds, "peak_mb": peak, "stopped": stopped}
    if not result_file.is_file():
        return {"seconds": None, "peak_mb": peak, "stopped": said.strip().splitlines()[-1:]}
    found: dict[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
    return found


def same(ours: dict[str, list[int]], theirs: dict[str, list[int]]) -> bool:
    """Whether all check sums are equal; a column that an engine leaves out is all zero."""
    return all(ours.get(k, [0, 0]) == theirs.get(k, [0, 0]) for k in ours.keys() | theirs.keys())


def records(case: dict[str, Any], peers: list[str], arguments: argparse.Namespace) -> list[Any]:
    """A record for each engine; ours is the fastest of its runs and so is theirs."""
    found = []
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        work = Path(folder)
        given = {**case, "spill": folder}
        runs = {
            peer: min(
                (measure(peer, given, arguments.environments, work)
                 for _ in range(arguments.repeat)),
                key=lambda run: run["seconds"] or 0,
            )
            for peer in ["ours", *peers]
        }  # fmt: skip
    for peer, run in runs.items():
        ratio = None if run["seconds"] is None else run["seconds"] / runs["ours"]["seconds"]
        found.append(
            {
                "case": case["name"],
                "engine": peer,
                "seconds": run["seconds"],
                "processor_seconds": run.get("processor_seconds"),
                "peak_mb": run["peak_mb"],
                "rows": run.get("rows"),
                "times_slower_than_ours": ratio,
                "equal": same(runs["ours"]["checks"], run["checks"]) if "checks" in run else None,
                "lower_bound": run.get("stopped"),
            }
        )
        print(line(found[-1]), flush=True)
    return found


def line(record: dict[str, Any]) -> str:
    """A record as a row of a table."""
    more = "> " if record["lower_bound"] else ""
    seconds, ratio = record["seconds"], record["times_slower_than_ours"]
    return (
        f"| {record['case']} | {record['engine']} | "
        f"{'-' if seconds is None else f'{more}{seconds:.2f}'} | "
        f"{record['processor_seconds'] or 0:.2f} | {record['peak_mb']:,.0f} | "
        f"{'-' if ratio is None else f'{more}{ratio:.1f}'} | {record['equal']} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="+", default=[2_000])
    parser.add_argument("--peers", nargs="*", default=["all"], choices=["all", "none", *PEERS])
    parser.add_argument("--grid", choices=["monthly", "weekly"], default="monthly")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; the fastest counts")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks"))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    arguments.environments = arguments.work.resolve() / "environments"
    arguments.environments.mkdir(exist_ok=True)
    peers = list(PEERS) if "all" in arguments.peers else [p for p in arguments.peers if p != "none"]
    dates = event_table.monthly() if arguments.grid == "monthly" else event_table.weekly()
    found = []
    print("| case | engine | seconds | processor s | peak MB | times ours | equal |")
    print("|---|---|---|---|---|---|---|")
    for customers in arguments.customers:
        file = arguments.work / f"events-{customers}.parquet"
        if not file.is_file():
            event_table.write(file, customers=customers)
        case = {
            "name": f"{customers} customers, {len(dates)} {arguments.grid} snapshots",
            "file": str(file.resolve()),
            "types": list(event_table.TYPES),
            "windows": list(WINDOWS),
            "snapshots": [(day - event_table.EPOCH).days for day in dates],
            "threads": THREADS,
        }
        found += records(case, peers, arguments)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
