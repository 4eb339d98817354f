"""`stagecast serve` and the path of one row: milliseconds, equality with the batch, two minutes.

`uv run python benchmarks/online.py --folder FOLDER`: makes a shop of 2,000 customers there, runs
`stagecast run` on it (unless it is there), scores every customer alone from raw events and from
the feature vector, compares with the batch, and asks a started server. Milliseconds are medians and
99th percentiles of wall-clock time; beside them the load of the machine by then.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from benchmarks.serving import group_processor_seconds
from features.sources.api_events import checked_events
from features.storage.scores_store import read_current
from flows.services.score_events import open_scorer
from flows.services.workspace import Workspace, latest_event_day
from models.registry import registry
from models.serving.event_scoring import score_records
from models.serving.scoring_input import UnstoredFeatures, scoring_frame
from tests.flows.shop import stagecast, write_shop
from tests.local_servers import local_server

EVENTS = 100
WARM_UP = 5


def milliseconds(seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile of durations."""
    return {
        "p50_ms": round(1e3 * float(np.quantile(seconds, 0.5)), 2),
        "p99_ms": round(1e3 * float(np.quantile(seconds, 0.99)), 2),
    }


def timed(calls: list[Callable[[], Any]]) -> dict[str, float]:
    """Milliseconds of the calls, after a few for warming up, and of this process's processor."""
    for call in calls[:WARM_UP]:
        call()
    durations, used = [], []
    for call in calls:
        before, used_before = time.perf_counter(), time.process_time()
        call()
        durations.append(time.perf_counter() - before)
        used.append(time.process_time() - used_before)
    return {**milliseconds(durations), "processor_p50_ms": milliseconds(used)["p50_ms"]}


def shop_events(folder: Path) -> dict[str, list[dict[str, Any]]]:
    rows = pd.read_csv(folder / "orders.csv")
    rows["at"] = rows["at"].str.replace(" ", "T") + "Z"
    names = {"customer": "customer_id", "at": "occurred_at", "amount": "value", "order": "order_id"}
    rows = rows.rename(columns=names).assign(event_type="purchase")
    return {str(name): part.to_dict("records") for name, part in rows.groupby("customer_id")}


def hundred(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many events of one customer: those there are, again on other days."""
    again = [
        {**row, "order_id": f"{row['order_id']}-{number}", "occurred_at": moved(row, number)}
        for number in range(1, EVENTS)
        for row in rows
    ]
    return [*rows, *again][:EVENTS]


def moved(row: dict[str, Any], days: int) -> str:
    at = pd.Timestamp(row["occurred_at"]) - pd.Timedelta(days=days)
    return str(at.isoformat())


def alike(row: dict[str, Any]) -> dict[str, Any]:
    """A scored row without stamps and reasons, which only the run's audiences have."""
    stamps = ("run_id", "scored_at", "scorer_version")
    return {k: v for k, v in row.items() if k not in stamps and not k.startswith("reason_")}


def in_process(output: Path, events: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Equality with the batch, and milliseconds without a server."""
    opened, space = open_scorer(output), Workspace(output)
    archive = space.archive()
    frame = scoring_frame(archive, archive.builder.last_snapshot)
    batch = {r["customer_id"]: alike(r) for r in score_records(read_current(output).scores)}
    loaded = registry.load(space.tracking(), version=int(opened.run.scorer_version))
    scorer, context = loaded.scorer, opened.scorer.scoring_context
    names = [feature["name"] for feature in scorer.head["features"]]
    vectors, others = frame[names].to_numpy(), frame.drop(columns=names).to_dict("records")
    by_vector = [
        alike(scorer.score_one(row, context, vector=vector))
        for row, vector in zip(others, vectors, strict=True)
    ]
    by_events = [alike(r) for rows in events.values() for r in opened.score(rows)["scores"]]
    calls: list[Callable[[], Any]] = [
        lambda row=row, vector=vector: scorer.score_one(row, context, vector=vector)
        for row, vector in zip(others[:1000], vectors, strict=False)
    ]
    many = [hundred(rows) for rows in list(events.values())[:1000]]
    event_calls: list[Callable[[], Any]] = [lambda rows=rows: opened.score(rows) for rows in many]
    day = archive.builder.last_snapshot
    frame_calls: list[Callable[[], Any]] = [
        lambda at=at: loaded.predict(frame.iloc[at : at + 1], context) for at in range(100)
    ]

    def by_engine(rows: list[dict[str, Any]]) -> None:
        """The way of the batch for one customer: an engine for the events, then frames."""
        checked = checked_events(rows, opened.scorer.config)
        tallies = opened.scorer._tallied_by_engine(checked, latest_event_day())
        builder = opened.scorer._outline.with_customers(tallies)
        loaded.predict(scoring_frame(UnstoredFeatures(builder), day), context)

    engine_calls: list[Callable[[], Any]] = [lambda rows=rows: by_engine(rows) for rows in many]
    return {
        "customers": len(batch),
        "features": len(names),
        "differ_by_vector": sum(row != batch[row["customer_id"]] for row in by_vector),
        "differ_by_events": sum(row != batch[row["customer_id"]] for row in by_events),
        "scored_from_events": len(by_events),
        "frame_of_one_row": timed(frame_calls),
        "vector": timed(calls),
        f"{EVENTS}_events_by_engine_and_frames": timed(engine_calls[:30]),
        f"{EVENTS}_events": timed(event_calls),
    }


class Client:
    """One connection that stays open; a wrong answer stops the benchmark."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, path: str, body: bytes | None = None) -> None:
        self.connection.request("GET" if body is None else "POST", path, body)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(content[:300])


def over_http(port: int, pid: int, events: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Milliseconds of one client that waits for each answer, and of the server's processor."""
    client = Client(port)
    bodies = [
        json.dumps({"events": hundred(rows)}).encode() for rows in list(events.values())[:1000]
    ]
    posts: list[Callable[[], Any]] = [
        lambda body=body: client.ask("/scores/events", body) for body in bodies
    ]
    gets: list[Callable[[], Any]] = [
        lambda name=name: client.ask(f"/scores/{name}") for name in list(events)[:1000]
    ]
    figures = {}
    for name, calls in ((f"http_{EVENTS}_events", posts), ("http_stored_row", gets)):
        used = group_processor_seconds(pid)
        durations = timed(calls)
        used = group_processor_seconds(pid) - used
        server = round(1e3 * used / (len(calls) + WARM_UP), 2)
        figures[name] = {**durations, "server_processor_ms": server}
    return figures


def steady_rate(
    port: int, pid: int, events: dict[str, list[dict[str, Any]]], per_second: float, seconds: float
) -> dict[str, Any]:
    """Requests at a rate for some time, each sent when it is due; memory before and after."""
    bodies = [json.dumps({"events": rows}).encode() for rows in list(events.values())[:1000]]
    clients, durations = 8, []

    def one_client(number: int) -> list[float]:
        client, begin, own = Client(port), time.perf_counter(), []
        for count in range(int(per_second * seconds / clients)):
            due = begin + (count * clients + number) / per_second
            time.sleep(max(due - time.perf_counter(), 0.0))
            client.ask("/scores/events", bodies[(count * clients + number) % len(bodies)])
            own.append(time.perf_counter() - due)
        return own

    memory_before, before = memory(pid), time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for own in pool.map(one_client, range(clients)):
            durations += own
    return {
        "asked_per_s": per_second,
        "answered_per_s": round(len(durations) / (time.perf_counter() - before), 1),
        "requests": len(durations),
        **milliseconds(durations),
        "memory_mb": [round(memory_before), round(memory(pid))],
    }


def shown(figures: dict[str, Any]) -> None:
    """Print figures as soon as they are known."""
    print(json.dumps(figures, indent=1), flush=True)


def memory(leader: int) -> float:
    """Resident memory of all processes of a session, MB."""
    listed = subprocess.run(
        ["ps", "-o", "rss=", "-s", str(leader)], capture_output=True, text=True, check=True
    )
    return sum(int(line) for line in listed.stdout.split()) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--customers", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--per-second", type=float, default=200.0)
    options = parser.parse_args()
    output = options.folder.absolute() / "out"
    if not output.exists():
        config = write_shop(options.folder.absolute(), customers=options.customers)
        done = stagecast("run", "--config", config, "--output", output)
        assert done.returncode == 0, done.stderr
    events = shop_events(options.folder)
    shown({"load": os.getloadavg()[0], **in_process(output, events)})
    command = ("flows.commands.cli", "serve", "--output", str(output), "--rate", "100000")
    with local_server(*command, health="/ready", env={}) as server:
        shown({"load": os.getloadavg()[0], **over_http(server.port, server.process.pid, events)})
    with local_server(*command, "--workers", "2", health="/ready", env={}) as server:
        time.sleep(5)  # the other worker loads, too
        steady_rate(server.port, server.process.pid, events, options.per_second, 10.0)
        figures = steady_rate(
            server.port, server.process.pid, events, options.per_second, options.seconds
        )
        shown({"load": os.getloadavg()[0], "steady_rate": figures})


if __name__ == "__main__":
    main()
