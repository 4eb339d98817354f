"""How long training takes: all four models, before their gates and again for use, wide data.

    uv run python -m benchmarks.training --customers 20000 --snapshots 12

Simulates customers, builds the features, then trains as `stagecast train` does: one worker process
a processor, one thread a fit. Told are processor seconds of each model and the time of all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from features.table.feature_store import Archive
from features.table.prediction_targets import TASK_NAMES, TaskName
from flows.services.workspace import Workspace
from flows.train import SLOWEST_FIRST
from models.evaluation.fit_and_test import train_one
from models.evaluation.workers import worker_pool
from models.plots.task_plots import part_features


def timed(archive: Archive, task: TaskName) -> tuple[float, int, int]:
    """Processor seconds of one model, rows of its last training set, and columns it reads."""
    start = time.process_time()
    trained = train_one(archive, task)
    spent = time.process_time() - start
    return spent, trained.learned.rows, len(part_features(trained.part))


def prepared(folder: Path, *, customers: int, snapshots: int) -> Path:
    """Output folder with tallies and features of so many simulated customers and snapshots."""
    stagecast = [sys.executable, "-m", "flows.commands.cli"]
    simulated, output = folder / "simulated", folder / "out"
    subprocess.run(
        [*stagecast, "simulate", "--customers", str(customers), "--output", str(simulated)],
        check=True,
    )
    grid = [f"--set={task}.train.at_most={snapshots}" for task in TASK_NAMES]
    config = simulated / "simulated.yaml"
    subprocess.run(
        [*stagecast, "features", "--config", str(config), *grid, "--output", str(output)],
        check=True,
    )
    return output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--snapshots", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, help="Folder of earlier features: skips both steps.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output = given.output or prepared(
            Path(folder), customers=given.customers, snapshots=given.snapshots
        )
        archive = Workspace(output.absolute()).archive()
        start = time.monotonic()
        with worker_pool(archive, given.workers) as submit:
            found = {task: submit(timed, task) for task in SLOWEST_FIRST}
            results = {task: future.result() for task, future in found.items()}
        whole = time.monotonic() - start
    print("| model | rows | columns read | processor s |\n|---|---:|---:|---:|")
    for task, (spent, rows, columns) in results.items():
        print(f"| {task} | {rows:,} | {columns} | {spent:.0f} |")
    total = sum(spent for spent, _, _ in results.values())
    print(f"\nall four with {given.workers} workers: {whole:.0f} s, {total:.0f} processor s")


if __name__ == "__main__":
    main()
