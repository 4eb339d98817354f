"""Measure the nightly run on simulated customers: time and peak memory of each step.

    python benchmarks/nightly.py --customers 20000 100000 --folder FOLDER [--profile]

Customers are simulated once (about 100 events each) and kept in the folder. The champion comes from
a training on 300 others, kept too. Each step of a night runs in a process of its own, on the bodies
of the flow's tasks: read and tally, score, plan and export, publish. Two nights: the first reads
everything; before the next, files come in with the events of one more day, of customers and of
visitors, and with links that tell who some of these were.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset, parquet

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

LEARNERS = 300
LOOK_EVERY = 2.0  # seconds between two looks at the memory held, each of which costs a little
NIGHTS = ("first", "next")
NEW = "part-new-day.parquet"
STEPS = ("read and tally", "score", "plan and export", "publish")


def step_of(name: str, output: Path, run_id: str) -> Callable[[], Any]:
    """What a step of the night does, without Prefect around it."""
    from flows.services import settings

    settings.apply_defaults()
    from flows.score import score_customers
    from flows.services.update_aggregates import refresh_tallies
    from flows.services.workspace import Workspace
    from flows.target import plan_audiences, publish_run

    space, folder = Workspace(output), str(output)
    steps: dict[str, Callable[[], Any]] = {
        "read and tally": lambda: refresh_tallies(space, space.config()),
        "score": lambda: score_customers.fn(folder, run_id),
        "plan and export": lambda: plan_audiences.fn(folder, run_id),
        "publish": lambda: publish_run.fn(folder, run_id),
    }
    return steps[name]


def in_this_process(name: str, output: Path, run_id: str, profile: Path | None) -> None:
    """Run one step, and keep a profile where asked."""
    work = step_of(name, output, run_id)
    if profile is None:
        work()
        return
    with cProfile.Profile() as measured:
        work()
    with profile.open("a", encoding="utf-8") as out:
        out.write(f"== {name}\n")
        pstats.Stats(measured, stream=out).sort_stats("cumulative").print_stats(45)


def measured(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Seconds, processor seconds and peak memory of a process and all that it starts."""
    begun, peak = time.perf_counter(), 0.0
    process = subprocess.Popen(command, env=environment)
    while True:
        peak = max(peak, held(process.pid))
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        time.sleep(LOOK_EVERY)
    if status:
        raise SystemExit(f"{command} ended with {status}")
    return {
        "seconds": round(time.perf_counter() - begun, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(peak),
    }


def held(pid: int) -> float:
    """MiB that a process and those it started hold now; what they share counts once."""
    total = 0
    try:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            total += each.memory_full_info().pss
    except psutil.Error:
        pass  # one ended meanwhile; the next look sees the others
    return total / 2**20


def stagecast(*arguments: object) -> None:
    command = [sys.executable, "-m", "flows.commands.cli", "--quiet", *map(str, arguments)]
    subprocess.run(command, check=True, cwd=ROOT)


def simulated(folder: Path, customers: int) -> Path:
    """Folder of simulated customers, made once."""
    place = folder / f"customers-{customers}"
    if not (place / "simulated.yaml").is_file():
        stagecast("simulate", "--customers", customers, "--output", place)
    return place


def champion(folder: Path) -> Path:
    """Output folder of a training on a few customers, made once."""
    output = folder / "champion"
    if not (output / "stagecast.duckdb").is_file():
        data = simulated(folder, LEARNERS)
        stagecast("run", "--config", data / "simulated.yaml", "--output", output)
    return output


def nights(folder: Path, customers: int, profile: Path | None) -> list[dict[str, Any]]:
    """Figures of each step of both nights for so many customers."""
    from flows.services.workspace import prepare_workspace, settle_config

    config = simulated(folder, customers) / "simulated.yaml"
    registry, output = champion(folder), folder / f"night-{customers}"
    shutil.rmtree(output, ignore_errors=True)
    for file in config.parent.glob(f"*/{NEW}"):
        file.unlink()
    prepare_workspace(output, str(config), ())
    settle_config(output, keep=True)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{registry / 'mlflow.db'}"}
    rows = []
    for night in NIGHTS:
        if night == "next":
            new_day(config.parent)
        for step in STEPS:
            command = [sys.executable, __file__, "--folder", output, "--step", step]
            command += ["--night", night, *(["--profile", profile] if profile else [])]
            row = {"customers": customers, "night": night, "step": step}
            rows.append({**row, **measured([str(word) for word in command], environment)})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def new_day(folder: Path) -> None:
    """Write the last day once more, with other orders and sessions, and as many links as it had."""
    days = {}
    for name in ("events", "anonymous_events"):
        rows = days[name] = of_last_day(folder / name, "occurred_at")
        for column in ("order_id", "session_id"):
            others = pc.add(rows[column], 10**12)
            rows = rows.set_column(rows.schema.get_field_index(column), column, others)
        parquet.write_table(rows, folder / name / NEW)
    links = of_last_day(folder / "identities", "linked_at")
    visitors, known = (
        days[name]["customer_id"].unique() for name in ("anonymous_events", "events")
    )
    linked = parquet.read_table(folder / "identities", columns=["anonymous_id"])["anonymous_id"]
    strangers = pc.filter(visitors, pc.invert(pc.is_in(visitors, linked)))
    number = min(len(links), len(strangers))
    found = links.slice(0, number)
    found = found.set_column(0, "anonymous_id", pc.cast(strangers[:number], pa.string()))
    found = found.set_column(1, "customer_id", pc.cast(known[:number], pa.string()))
    parquet.write_table(found, folder / "identities" / NEW)


def of_last_day(folder: Path, at: str) -> pa.Table:
    """Rows of the last day in a folder of files."""
    rows = dataset.dataset(sorted(folder.glob("part-*.parquet")))
    latest = max(pc.max(batch[at]).as_py() for batch in rows.to_batches([at]) if len(batch))
    midnight = latest.replace(hour=0, minute=0, second=0, microsecond=0)
    return rows.to_table(filter=pc.field(at) >= midnight)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="*", default=[20_000])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--profile", type=Path, help="append where the time goes to this file")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--night", choices=NIGHTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step is not None:
        in_this_process(given.step, given.folder, f"score-{given.night}", given.profile)
        return
    rows = [row for n in given.customers for row in nights(given.folder, n, given.profile)]
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
