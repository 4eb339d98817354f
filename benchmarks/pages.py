"""Pages of `stagecast serve` over a store of a million customers: milliseconds on the server.

`uv run python benchmarks/pages.py --run FOLDER --folder NEW`: copies the output folder of a
finished run, repeats its customers with other ids and other spend and risk until the DuckDB store
holds a million, starts the service on it, and asks each page fifteen times over one connection.
Processor time is that of the service for one page: it says the same on a machine that others use.
Tallies are those of the run: the card of a customer reads the tallies of this one customer.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import duckdb
import httpx
import numpy as np

from benchmarks.serving import group_processor_seconds
from features.storage.duckdb_store import STORE_FILE
from tests.flows.pages.page_client import PASSWORD, add_accounts, token
from tests.local_servers import local_server

CUSTOMERS = 1_000_000
ASKED = 15
PAGES = {
    "customers, by spend": "/customers",
    "customers, by risk": "/customers?sort=p_churn&order=down",
    "customers, by date": "/customers?sort=expected_next_order_at&order=up",
    "customers, by id": "/customers?sort=customer_id&order=up",
    "customers of a stage": "/customers?stage=lapsed",
    "customers of a segment": "/customers?segment=Win+back",
    "customers of a campaign": "/customers?campaign=win_back",
    "part of an id": "/customers?search=0042",
    "all filters": "/customers?stage=lapsed&segment=Win+back&campaign=win_back&search=1",
    "card of a customer": "/customers/{customer}",
    "campaigns": "/campaigns",
    "a campaign": "/campaigns/win_back",
    "results": "/results",
    "models": "/models",
    "monitor": "/monitor",
}


def grown_store(run: Path, folder: Path) -> str:
    """Copy a run, and repeat the customers of its store; returns the id of one of the run's own."""
    shutil.copytree(run, folder)
    with duckdb.connect(str(folder / STORE_FILE), config={"threads": 2}) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM customer_scores").fetchall()[0]
        times = -(-CUSTOMERS // rows)
        name = "customer_id || CASE r WHEN 0 THEN '' ELSE '-' || lpad(r::VARCHAR, 5, '0') END"
        connection.execute("SELECT setseed(0.5)")
        connection.execute(
            f"CREATE TABLE many AS SELECT s.* REPLACE ({name} AS customer_id, "
            "clv * (0.5 + random()) AS clv, p_churn * (0.5 + random() / 2) AS p_churn) "
            f"FROM customer_scores s, range({times}) t(r) ORDER BY r, customer_id "
            f"LIMIT {CUSTOMERS}"
        )
        connection.execute(
            f"CREATE TABLE members AS SELECT m.* REPLACE ({name} AS customer_id) "
            f"FROM audience_members m, range({times}) t(r) ORDER BY campaign_id, customer_id"
        )
        for old, new in (("customer_scores", "many"), ("audience_members", "members")):
            connection.execute(f"DROP TABLE {old}")
            connection.execute(f"ALTER TABLE {new} RENAME TO {old}")
        connection.execute("CHECKPOINT")
        query = "SELECT min(customer_id) FROM customer_scores"
        return str(connection.execute(query).fetchall()[0][0])


def asked(browser: httpx.Client, path: str, server: int) -> dict[str, Any]:
    """Milliseconds of a page: the first time, median and longest of all others, and processor."""
    durations, used = [], group_processor_seconds(server)
    for _ in range(ASKED):
        before = time.perf_counter()
        answer = browser.get(path)
        durations.append(1e3 * (time.perf_counter() - before))
        assert answer.status_code == 200, (path, answer.status_code)
    first, *others = durations
    used = group_processor_seconds(server) - used
    return {
        "processor_ms": round(1e3 * used / ASKED),
        "first_ms": round(first),
        "median_ms": round(float(np.median(others))),
        "longest_ms": round(max(others)),
    }


def deep(browser: httpx.Client, pages: int) -> dict[str, Any]:
    """Milliseconds of pages that lie one behind the other."""
    path, durations = "/pages/customers", []
    for _ in range(pages):
        before = time.perf_counter()
        text = browser.get(path).text
        durations.append(1e3 * (time.perf_counter() - before))
        (following,) = re.findall(r'rel="next" href="([^"]+)"', text)
        path = following.replace("&amp;", "&")
    return {"first_ms": round(durations[0]), "median_ms": round(float(np.median(durations[1:]))),
            "longest_ms": round(max(durations[1:]))}  # fmt: skip


def main() -> None:
    """Print a table of pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    customer = grown_store(chosen.run.absolute(), chosen.folder.absolute())
    add_accounts(chosen.folder.absolute())
    rows = {}
    command = ("flows.commands.cli", "serve", "--output", str(chosen.folder.absolute()))
    env = {"STAGECAST_API_KEYS": "", "OMP_NUM_THREADS": "1"}
    with (
        local_server(*command, health="/ready", env=env) as server,
        httpx.Client(base_url=server.address, timeout=120) as browser,
    ):
        form = {"name": "read", "password": PASSWORD}
        form["token"] = token(browser.get("/pages/sign-in").text)
        browser.post("/pages/sign-in", data=form)
        for name, path in PAGES.items():
            rows[name] = asked(
                browser, "/pages" + path.format(customer=customer), server.process.pid
            )
        rows["40 pages, one behind the other"] = deep(browser, 40)
        before, used = time.perf_counter(), group_processor_seconds(server.process.pid)
        form = {"token": token(browser.get("/pages/customers").text)}
        size = 0
        with browser.stream("POST", "/pages/customers.csv", data=form) as answer:
            for part in answer.iter_bytes():
                size += len(part)
        rows["all customers as CSV"] = {
            "processor_seconds": round(group_processor_seconds(server.process.pid) - used),
            "seconds": round(time.perf_counter() - before, 1), "megabytes": round(size / 1e6),
        }  # fmt: skip
    rows["load of the machine"] = {"load": [round(load, 1) for load in os.getloadavg()]}
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
