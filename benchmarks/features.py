"""`stagecast features` against scripts of other tools: from event files to stored features.

    uv run python benchmarks/features.py --customers 20000 --peers polars_snapshots

Every engine is one whole process, timed from its start to its end, with its imports. Ours is the
command: it checks and tallies the events, and writes all columns of the product. The peers get the
dates and windows of the command, compute counts and sums only, and write one parquet file a date.
A time counts only where the check sums of all shared columns are equal. Peers run in environments
of their own, made by uv from the pins beside `peers/`. An engine over the limits is stopped.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import event_table
import numpy as np
import psutil
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
PEERS = (
    "duckdb_join",
    "polars_snapshots",
    "pandas_snapshots",
    "featuretools_cutoffs",
    "temporian_sampling",
)
# Every event type has a role of its own, so that its columns are those of the peers.
ROLES = {
    "touch": "visit",
    "lead": "email_open",
    "redemption": "email_click",
    "intent": "cart",
    "purchase": "purchase",
    "support": "support",
}
WINDOWS = (7, 14, 30, 60, 90, 180, 365)  # the default of the config; the whole past beside them
MOST_SECONDS, MOST_MB = 1800, 20_000
THREADS = 2
MIX = 1009  # customers weigh differently, so that values of the wrong customer show


def config_text(events: Path, most_dates: int) -> str:
    """Config of a shop with these events, and training dates at most for each task."""
    grid = {"train": {"at_most": most_dates}}
    return json.dumps(
        {
            "name": "features-benchmark",
            "sources": [
                {
                    "events": str(events),
                    "columns": {
                        "customer_id": "customer_id",
                        "occurred_at": {"column": "occurred_at"},
                        "value": "value",
                    },
                    "event_type": {"column": "event_type"},
                }
            ],
            "roles": {role: [name] for role, name in ROLES.items()},
            "stages": {"file": "stages/recency_frequency.yaml"},
            "windows": list(WINDOWS),
            "threads": THREADS,
            **{task: grid for task in ("stage", "transition", "churn", "clv")},
        }
    )


def peer_python(peer: str, folder: Path) -> Path:
    """The Python of a peer's own environment, made where it is missing."""
    place = folder / peer
    python = place / "bin" / "python"
    if not python.is_file():
        pins = HERE / "peers" / f"{peer}.txt"
        subprocess.run(["uv", "venv", "--quiet", str(place), "--python", "3.11"], check=True)
        # The project's own pins are no matter of the peers'.
        command = ["uv", "pip", "install", "--quiet", "--no-config", "--python", str(python)]
        subprocess.run([*command, "-r", str(pins)], check=True, cwd=folder)
    return python


def measure(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Seconds, processor seconds and peak memory of a process with all its children."""
    start, peak = time.monotonic(), 0.0
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    exit_status: list[Any] = []
    waiter = threading.Thread(target=lambda: exit_status.extend(os.wait4(process.pid, 0)))
    waiter.start()
    stopped = ""
    while waiter.is_alive():
        peak = max(peak, _tree_mb(process.pid))
        if time.monotonic() - start > MOST_SECONDS or peak > MOST_MB:
            stopped = "memory" if peak > MOST_MB else "time"
            process.kill()
        waiter.join(0.2)
    _, status, usage = exit_status
    if status and not stopped:
        stopped = f"exit status {status}"
    return {
        "seconds": time.monotonic() - start,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": peak,
        "stopped": stopped,
    }


def _tree_mb(pid: int) -> float:
    try:
        process = psutil.Process(pid)
        tree = [process, *process.children(recursive=True)]
        return sum(part.memory_info().rss for part in tree) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


def check_sums(files: dict[int, Path], names: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Plain and weighted sums of columns (file's name -> shared name); an absent column is zero."""
    sums = {}
    for day, file in files.items():
        present = set(pq.read_schema(file).names)
        wanted = [name for name in names if name in present]
        table = pq.read_table(file, columns=["customer_id", *wanted])
        weight = np.array(table["customer_id"].to_pylist(), dtype=np.int64) % MIX
        for name in wanted:
            values = np.nan_to_num(table[name].to_numpy().astype(np.float64))
            cents = np.rint(values * (100 if "__sum_" in name else 1)).astype(np.int64)
            if cents.any():
                sums[f"{day}:{names[name]}"] = (int(cents.sum()), int((cents * weight).sum()))
    return sums


def snapshot_files(output: Path) -> dict[int, Path]:
    """Files of features that the command stored, by day number."""
    return {
        (dt.date.fromisoformat(file.parent.name.split("=")[1]) - event_table.EPOCH).days: file
        for file in sorted(output.glob("features/snapshots/*/features.parquet"))
    }


def run_ours(case: dict[str, Any], work: Path) -> tuple[dict[str, Any], Any]:
    """The command's measures, and its check sums by day and column."""
    config, output = work / "config.yaml", work / "output"
    config.write_text(config_text(Path(case["file"]), case["most_dates"]), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", "-m", "flows.commands.cli", "features"]
    command += ["--config", str(config), "--output", str(output)]
    measures = measure(command, {"PYTHONPATH": str(HERE.parent)})
    files = snapshot_files(output)
    case["snapshots"] = list(files)
    windows = [*(f"{days}d" for days in WINDOWS), "all"]
    names = {
        f"{role}__{fact}_{window}": f"{name}__{fact}_{window}"
        for role, name in ROLES.items()
        for fact in ("count", *(["sum"] if role == "purchase" else []))
        for window in windows
    }
    return measures, check_sums(files, names)


def run_peer(peer: str, case: dict[str, Any], work: Path, environments: Path) -> Any:
    """A peer's measures, and its check sums by day and column."""
    output = work / peer
    output.mkdir()
    case_file = work / "case.json"
    case_file.write_text(json.dumps({**case, "output": str(output)}), encoding="utf-8")
    limits = dict.fromkeys(
        ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(THREADS)
    )
    script = str(HERE / "peers" / f"{peer}.py")
    command = [str(peer_python(peer, environments)), "-W", "ignore", script, str(case_file)]
    measures = measure(command, {**limits, "PYTHONPATH": ""})
    files = {day: output / f"{number}.parquet" for number, day in enumerate(case["snapshots"])}
    present = {day: file for day, file in files.items() if file.is_file()}
    names = {name: name for name in pq.read_schema(next(iter(present.values()))).names[1:]}
    return measures, check_sums(present, names)


def records(case: dict[str, Any], peers: list[str], arguments: argparse.Namespace) -> list[Any]:
    """One record an engine: the run with the least processor time of each."""
    runs: dict[str, Any] = {}
    for repeat in range(arguments.repeat):
        work = arguments.work.resolve() / f"run-{repeat}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        measures, sums = run_ours(case, work)
        runs.setdefault("stagecast features", []).append({**measures, "equal": True})
        for peer in peers:
            measures, peer_sums = run_peer(peer, case, work, arguments.environments)
            runs.setdefault(peer, []).append({**measures, "equal": sums == peer_sums})
        shutil.rmtree(work)
    best = {
        name: min(tries, key=lambda run: run["processor_seconds"]) for name, tries in runs.items()
    }
    ours = best["stagecast features"]["processor_seconds"]
    return [
        {
            **case,
            "engine": name,
            **run,
            "processor_against_ours": run["processor_seconds"] / ours,
        }
        for name, run in best.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="+", default=[2_000])
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--most-dates", type=int, default=4, help="training dates of each task")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; the best counts")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks"))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    arguments.environments = arguments.work.resolve() / "environments"
    arguments.environments.mkdir(exist_ok=True)
    rows = []
    print("| customers | dates | engine | processor s | times ours | seconds | peak MB | equal |")
    print("|---:|---:|---|---:|---:|---:|---:|---|")
    for customers in arguments.customers:
        file = arguments.work.resolve() / f"events-{customers}.parquet"
        if not file.is_file():
            event_table.write(file, customers=customers)
        case = {
            "file": str(file),
            "types": list(event_table.TYPES),
            "money_types": ["purchase"],
            "windows": [*WINDOWS, None],
            "threads": THREADS,
            "most_dates": arguments.most_dates,
        }
        for row in records(case, arguments.peers, arguments):
            rows.append({"customers": customers, **row})
            outcome = row["stopped"] or row["equal"]
            print(
                f"| {customers:,} | {len(row['snapshots'])} | {row['engine']} | "
                f"{row['processor_seconds']:.1f} | {row['processor_against_ours']:.2f} | "
                f"{row['seconds']:.1f} | {row['peak_mb']:,.0f} | {outcome} |",
                flush=True,
            )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
