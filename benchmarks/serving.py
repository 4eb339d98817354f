"""The champion over HTTP: requests a second, and how long the slowest hundredth takes.

`uv run python benchmarks/serving.py --output FOLDER`, where FOLDER is what `stagecast run` (or
train and promote) left. Starts `mlflow models serve` on the champion and asks it from as many
clients as told, each with its own connection; beside it the same rows in this process, and what
logging a version takes.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd

from flows.services.workspace import Workspace
from models.registry import registry
from models.registry.registry import SCORER
from models.serving.score import scoring_frame, stage_late_days
from tests.local_servers import local_server


@contextmanager
def serving(uri: str) -> Iterator[tuple[int, int]]:
    """Port and process of `mlflow models serve`, once it answers."""
    command = ("mlflow", "models", "serve", "-m", f"models:/{SCORER}@champion")
    env = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with local_server(*command, "--env-manager", "local", health="/ping", env=env) as server:
        yield server.port, server.process.pid


def asked(port: int, bodies: list[bytes]) -> list[float]:
    """Milliseconds of each request of one client; a wrong answer stops the benchmark."""
    connection, found = http.client.HTTPConnection("127.0.0.1", port, timeout=120), []
    for body in bodies:
        before = time.perf_counter()
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        found.append(1e3 * (time.perf_counter() - before))
        if answer.status != 200:
            raise RuntimeError(content[:300])
    return found


def body(frame: pd.DataFrame, context: str) -> bytes:
    split = json.loads(frame.to_json(orient="split", date_format="iso", index=False))
    return json.dumps({"dataframe_split": split, "params": {"scoring_context": context}}).encode()


def measured(port: int, frame: pd.DataFrame, context: str, setting: tuple[int, int, int]) -> Any:
    """One row of the table."""
    rows, clients, requests = setting
    bodies = [body(frame.sample(rows, random_state=seed), context) for seed in range(20)]
    asked(port, bodies[:3])
    each = [bodies[number % len(bodies)] for number in range(requests // clients)]
    before = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        times = np.concatenate(list(pool.map(lambda _: asked(port, each), range(clients))))
    seconds = time.perf_counter() - before
    return {
        "rows": rows,
        "clients": clients,
        "requests": len(times),
        "requests_per_s": len(times) / seconds,
        "customers_per_s": rows * len(times) / seconds,
        "p50_ms": float(np.quantile(times, 0.5)),
        "p99_ms": float(np.quantile(times, 0.99)),
    }


def group_processor_seconds(leader: int) -> float:
    """Processor seconds of all processes of a session, from /proc."""
    used, tick = 0.0, os.sysconf("SC_CLK_TCK")
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            used += (int(fields[11]) + int(fields[12])) / tick
    return used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder with a champion")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    space = Workspace(given.output.absolute())
    store, archive = space.tracking(), space.archive()
    loaded = registry.load(store)
    late = stage_late_days(loaded.scorer.parts)
    frame = scoring_frame(archive, archive.builder.last_snapshot, late_days=late)
    known = set(loaded.model.metadata.signature.inputs.input_names())
    frame = frame[[name for name in frame.columns if name in known]]
    context = json.dumps(loaded.scorer.head["training_context"])
    found: dict[str, Any] = {"served": []}
    before = time.process_time()
    for number in range(100):
        loaded.predict(frame.iloc[number : number + 1])
    found["in_process_ms_a_row"] = 10 * (time.process_time() - before)
    with serving(store.uri) as (port, pid):
        for rows, clients, requests in (
            (1, 1, given.requests),
            (1, 4, given.requests),
            (100, 1, 100),
        ):
            used = group_processor_seconds(pid)
            row = measured(port, frame, context, (rows, clients, requests))
            spent = group_processor_seconds(pid) - used
            found["served"].append({**row, "processor_ms": 1e3 * spent / (row["requests"] + 3)})
    before, wall = time.process_time(), time.perf_counter()
    with store.run("benchmark of logging") as run:
        parts, head = loaded.scorer.parts, loaded.scorer.head
        registry.log_version(run, "benchmark", parts, head=head, description="", tags={})
    found["log_version_s"] = time.perf_counter() - wall
    found["log_version_processor_s"] = time.process_time() - before
    store.client.delete_registered_model("benchmark")
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
