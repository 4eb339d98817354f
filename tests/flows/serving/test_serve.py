"""The service, really started: the batch's numbers, limits, hostile requests, moved runs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest

from features.config.store_location import VARIABLE as STORE
from features.storage.scores_store import STORE_FILE, read_current
from flows.services.workspace import Workspace
from flows.serving.access import VARIABLE
from models.serving.event_scoring import score_records
from tests.flows.shop import Shop, another_champion, stagecast
from tests.local_servers import LocalServer, local_server

KEY = "a key of more than 16 signs"
SECRET = "Anna-Secret-77"


@contextmanager
def serving(output: Path, *options: object, log: Path, keys: str = "") -> Iterator[LocalServer]:
    """`stagecast serve` on an output folder."""
    command = ("flows.commands.cli", "serve", "--output", str(output), *map(str, options))
    env = {VARIABLE: keys, STORE: ""}
    with local_server(*command, health="/ready", env=env, log=log) as server:
        yield server


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve") / "log.txt"


@pytest.fixture(scope="module")
def served(shop: Shop, log: Path) -> Iterator[str]:
    """Address of the service on the shop."""
    with serving(shop.output, "--max-body", 3000, log=log) as server:
        yield server.address


def ask(
    address: str, path: str, body: bytes | dict[str, Any] | None = None, **headers: str
) -> tuple[int, Any]:
    """Status and JSON of an answer; every answer must be JSON, also a refusal."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(address + path, data=data, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, strict(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, strict(error.read())


def strict(text: bytes) -> Any:
    def never(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=never)


def events_of(shop: Shop) -> dict[str, list[dict[str, Any]]]:
    """All events of every customer of the shop, in the contract's columns."""
    rows = pd.read_csv(shop.config.parent / "orders.csv")
    rows["at"] = rows["at"].str.replace(" ", "T") + "Z"
    names = {"customer": "customer_id", "at": "occurred_at", "amount": "value", "order": "order_id"}
    rows = rows.rename(columns=names).assign(event_type="purchase")
    return {str(name): part.to_dict("records") for name, part in rows.groupby("customer_id")}


def unstamped(row: dict[str, Any]) -> dict[str, Any]:
    """A scored row without stamps and reasons, which only the run's audiences have."""
    stamps = ("run_id", "scored_at")
    return {k: v for k, v in row.items() if k not in stamps and not k.startswith("reason_")}


def test_stored_rows_are_those_of_the_run(shop: Shop, served: str) -> None:
    wanted = score_records(read_current(shop.output).scores)
    for row in wanted[::10]:
        status, found = ask(served, f"/scores/{row['customer_id']}")
        assert (status, {name: found[name] for name in row}) == (200, row)


def test_rows_from_events_are_those_of_the_batch(shop: Shop, served: str) -> None:
    wanted = {row["customer_id"]: row for row in score_records(read_current(shop.output).scores)}
    events = events_of(shop)
    together = [row for rows in events.values() for row in rows]
    status, answer = ask(served, "/scores/events", {"events": together})
    assert status == 200
    scored = {row["customer_id"]: row for row in answer["scores"]}
    assert {c: unstamped(r) for c, r in scored.items()} == {
        c: unstamped(r) for c, r in wanted.items()
    }
    for customer, rows in list(events.items())[::5]:
        status, answer = ask(served, "/scores/events", {"events": rows})
        assert status == 200
        for row in answer["scores"]:
            assert unstamped(row) == unstamped(wanted[customer])
        assert answer["scorer_version"] == wanted[customer]["scorer_version"]


def test_events_since_the_run_are_added_to_the_stored_history(shop: Shop, served: str) -> None:
    at, new = "2021-03-05", {"event_type": "purchase", "brand": "north"}
    for customer, rows in [*list(events_of(shop).items())[::60], ("someone-new", [])]:
        since = [
            {**new, "customer_id": customer, "occurred_at": f"2021-03-0{day}", "value": 10 * day}
            for day in (1, 4)
        ]
        wanted = ask(served, "/scores/events", {"events": [*rows, *since], "at": at})
        found = ask(served, "/scores/events", {"events": since, "at": at, "since_run": True})
        assert wanted[0] == found[0] == 200
        assert [unstamped(r) for r in found[1]["scores"]] == [
            unstamped(r) for r in wanted[1]["scores"]
        ]
        assert found[1]["scores"][0]["stage"] != "lapsed"
    early = {**since[0], "occurred_at": "2021-02-27"}
    status, content = ask(served, "/scores/events", {"events": [early], "since_run": True})
    assert (status, content["error"]["where"]) == (422, "events")
    status, content = ask(served, "/scores/events", {"events": since, "since_run": "yes"})
    assert (status, content["error"]["where"]) == (422, "since_run")


def test_audiences_are_those_of_the_run(shop: Shop, served: str) -> None:
    audience = read_current(shop.output).audience
    for campaign, members in audience[audience["change"] != "removed"].groupby("campaign_id"):
        found, offset = [], 0
        while offset is not None:
            path = f"/audiences/{campaign}?offset={offset}&limit=7"
            status, page = ask(served, path)
            assert status == 200
            found += page["members"]
            offset = page["next_offset"]
        assert [m["customer_id"] for m in found] == members.sort_values("rank")[
            "customer_id"
        ].tolist()


def test_a_planned_campaign_without_members_is_empty(shop: Shop, served: str) -> None:
    folder = shop.output / "runs" / read_current(shop.output).run.run_id
    for campaign in pd.read_csv(folder / "audiences" / "plan.csv")["campaign_id"]:
        assert ask(served, f"/audiences/{campaign}")[0] == 200
    assert ask(served, "/audiences/of_no_plan")[0] == 404


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800", "x\udfff"])
@pytest.mark.parametrize("column", ["customer_id", "event_type", "occurred_at"])
def test_texts_that_no_store_can_hold_are_refused(served: str, column: str, text: str) -> None:
    event = {"customer_id": "c1", "event_type": "purchase", "occurred_at": "2020-11-30"}
    status, content = ask(served, "/scores/events", {"events": [event, {**event, column: text}]})
    assert (status, content["error"]["where"]) == (422, f"events: event 2: {column}")


@pytest.mark.parametrize(
    "path",
    [
        "/scores/" + SECRET,
        "/scores/%00",
        "/scores/%ff%fe",
        "/scores/" + quote("' OR 1=1 --"),
        "/scores/" + quote("../" * 30 + "etc/passwd"),
        "/scores/" + "x" * 5000,
        "/audiences/" + SECRET,
        f"/audiences/win_back?offset={SECRET}",
        "/audiences/win_back?offset=-1",
        "/audiences/win_back?limit=1000000",
        f"/audiences/win_back?limit={'9' * 4000}",
        "/" + SECRET,
        "/openapi.json/" + SECRET,
    ],
)
def test_what_does_not_exist_is_refused_and_not_repeated(served: str, log: Path, path: str) -> None:
    status, content = ask(served, path)
    assert status in (404, 422)
    assert set(content["error"]) == {"where", "found", "expected", "hint"}
    assert SECRET not in json.dumps(content)
    assert SECRET not in log.read_text(encoding="utf-8")


GOOD = {"customer_id": SECRET, "event_type": "purchase", "occurred_at": "2021-01-05", "value": 3}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (SECRET.encode(), 400),
        (b'{"events": [' + SECRET.encode(), 400),
        (b"[" * 100_000, 400),
        (b'{"events": [NaN]}', 400),
        (b"\xff\xfe\x00", 400),
        (b'{"events": [], "events": []}', 400),
        (b'{"events": [{"customer_id": "a", "customer_id": "%s"}]}' % SECRET.encode(), 400),
        ({"rows": [GOOD]}, 422),
        ({"events": SECRET}, 422),
        ({"events": [SECRET]}, 422),
        ({"events": []}, 422),
        ({"events": [{}]}, 422),
        ({"events": [GOOD], "at": SECRET}, 422),
        ({"events": [GOOD], "at": 20210501}, 422),
        ({"events": [GOOD], "at": "2199-01-01"}, 422),
        ({"events": [GOOD], SECRET: 1}, 422),
        ({"events": [{**GOOD, "event_type": SECRET}]}, 422),
        ({"events": [{**GOOD, "value": SECRET}]}, 422),
        ({"events": [{**GOOD, "value": [SECRET]}]}, 422),
        ({"events": [{**GOOD, "value": None}]}, 422),
        ({"events": [{**GOOD, "value": 1e300}]}, 422),
        ({"events": [{**GOOD, "occurred_at": SECRET}]}, 422),
        ({"events": [{**GOOD, "occurred_at": "9999-12-31T23:59:59-14:00"}]}, 422),
        ({"events": [{**GOOD, "occurred_at": "1969-01-01"}]}, 422),
        ({"events": [{**GOOD, SECRET: "1"}]}, 422),
        ({"events": [{**GOOD, "attributes": SECRET}]}, 422),
        ({"events": [GOOD] * 20_001}, 413),
        (b"x" * 3_000_001, 413),
    ],
)
def test_hostile_bodies_are_refused_and_not_repeated(
    served: str, log: Path, body: Any, status: int
) -> None:
    found, content = ask(served, "/scores/events", body)
    assert found == status, content
    assert set(content["error"]) == {"where", "found", "expected", "hint"}
    for text in (json.dumps(content), log.read_text(encoding="utf-8")):
        assert SECRET not in text
        assert "Traceback" not in text
    assert ask(served, "/health")[0] == 200


@pytest.mark.parametrize("value", [SECRET, None, 1e300])
def test_events_that_the_batch_would_refuse_are_named_by_their_number(
    served: str, value: object
) -> None:
    events = [GOOD, {**GOOD, "value": value}, GOOD, {**GOOD, "value": value}]
    status, content = ask(served, "/scores/events", {"events": events})
    assert (status, content["error"]["where"]) == (422, "events: event 2, 4")


def test_a_request_that_is_cut_off_or_no_http_leaves_the_service_up(served: str) -> None:
    port = int(served.rpartition(":")[2])
    for text in (
        b"GARBAGE\r\n\r\n",
        b"POST /scores/events HTTP/1.1\r\nContent-Length: 99\r\n\r\n{",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(text)
    assert ask(served, "/health") == (200, {"status": "ok"})


def test_a_flood_is_answered_or_refused_and_the_service_stays_up(shop: Shop, served: str) -> None:
    rows = [row for rows in list(events_of(shop).values())[:40] for row in rows]
    body = json.dumps({"events": rows}).encode()
    with ThreadPoolExecutor(100) as pool:
        asking = [pool.submit(ask, served, "/scores/events", body) for _ in range(100)]
        assert ask(served, "/health")[0] == 200
        answers = [one.result() for one in asking]
    assert {status for status, _ in answers} <= {200, 503}
    scores = [unstamped_rows(content) for status, content in answers if status == 200]
    assert len(scores) >= 64
    assert all(rows == scores[0] for rows in scores)
    assert ask(served, "/scores/events", body)[0] == 200


def unstamped_rows(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [unstamped(row) for row in content["scores"]]


def test_metrics_and_schema_name_no_customer(shop: Shop, served: str) -> None:
    customer = str(read_current(shop.output).scores["customer_id"].iloc[0])
    assert ask(served, f"/scores/{customer}")[0] == 200
    with urllib.request.urlopen(f"{served}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert 'stagecast_requests_total{route="/scores/...",status="200"}' in text
    assert "stagecast_ready 1.0" in text
    assert customer not in text
    status, schema = ask(served, "/openapi.json")
    assert status == 200
    assert {"/scores/{customer}", "/scores/events", "/audiences/{campaign}"} <= set(schema["paths"])


@pytest.mark.services
def test_two_workers_count_together_and_leave_no_folder(shop: Shop, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = ("flows.commands.cli", "serve", "--output", str(shop.output), "--workers", "2")
    env = {VARIABLE: "", STORE: "", "TMPDIR": str(temporary)}
    with local_server(*command, health="/ready", env=env, log=tmp_path / "log") as server:
        log = tmp_path / "log"
        wait_for(lambda: log.read_text(encoding="utf-8").count("serving run") == 2)
        for _ in range(20):
            assert ask(server.address, "/scores/c0001")[0] == 200
        with urllib.request.urlopen(f"{server.address}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        assert 'stagecast_requests_total{route="/scores/...",status="200"} 20.0' in text
        assert "stagecast_ready 1.0" in text
        assert list(temporary.glob("stagecast-metrics-*"))
    wait_for(lambda: not list(temporary.glob("stagecast-metrics-*")))


def test_keys_rates_and_open_addresses(shop: Shop, tmp_path: Path) -> None:
    with serving(shop.output, "--rate", 2, log=tmp_path / "log", keys=f"{KEY},{KEY}2") as server:
        address = server.address
        assert ask(address, "/health")[0] == ask(address, "/ready")[0] == 200
        for wrong in ({}, {"X_API_Key": KEY[:-1]}, {"Authorization": f"Basic {KEY}"}):
            for path in ("/scores/c0001", "/metrics", "/openapi.json", "/nothing"):
                status, content = ask(address, path, **wrong)
                assert (status, content["error"]["where"]) == (401, "API key")
        assert ask(address, "/", Authorization=f"Bearer {KEY}")[0] == 200
        statuses = [ask(address, "/", X_API_Key=KEY)[0] for _ in range(8)]
        assert statuses.count(429) >= 3
        assert ask(address, "/", X_API_Key=f"{KEY}2")[0] == 200
    refused = stagecast("serve", "--output", shop.output, "--host", "0.0.0.0", env={VARIABLE: ""})
    assert (refused.returncode, VARIABLE in refused.stderr) == (2, True)
    short = stagecast("serve", "--output", shop.output, env={VARIABLE: "short-key"})
    assert short.returncode == 2
    assert "short-key" not in short.stderr


def wait_for(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.services
def test_a_new_run_and_a_moved_alias_are_served_without_a_gap(shop: Shop, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(shop.output, output)
    customer, events = list(events_of(shop).items())[3]
    answers: list[tuple[int, Any]] = []
    stop = threading.Event()
    with serving(output, "--reload-seconds", 0.2, log=tmp_path / "log") as server:
        address = server.address

        def keep_asking() -> None:
            while not stop.is_set():
                answers.append(ask(address, "/scores/events", {"events": events}))
                answers.append(ask(address, f"/scores/{customer}"))

        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(keep_asking)
            try:
                another_champion(Workspace(output).tracking())
                wait_for(lambda: ask(address, "/ready")[1]["champion_waits"])
                # Until a run of the new champion is published, all answers are of the old one.
                assert ask(address, "/ready")[1]["scorer_version"] == "1"
                assert ask(address, f"/scores/{customer}")[1]["scorer_version"] == "1"
                done = stagecast("score", "--output", output)
                assert done.returncode == 0, done.stderr
                wait_for(lambda: ask(address, "/ready")[1]["scorer_version"] == "2")
                assert ask(address, f"/scores/{customer}")[1]["scorer_version"] == "2"
            finally:
                stop.set()
            asking.result()
        assert {status for status, _ in answers} == {200}
        by_events = [answer for _, answer in answers if "scores" in answer]
        for answer in by_events:
            for row in answer["scores"]:
                assert row["scorer_version"] == answer["scorer_version"]
        versions = [answer["scorer_version"] for answer in by_events]
        assert versions == sorted(versions)
        assert set(versions) == {"1", "2"}
        # The store goes away and comes back: stored rows are refused, rows from events are not.
        os.rename(output / STORE_FILE, tmp_path / "aside")
        status, content = ask(address, f"/scores/{customer}")
        assert (status, content["error"]["where"]) == (503, STORE_FILE)
        assert ask(address, "/scores/events", {"events": events})[0] == 200
        os.rename(tmp_path / "aside", output / STORE_FILE)
        assert ask(address, f"/scores/{customer}")[0] == 200
