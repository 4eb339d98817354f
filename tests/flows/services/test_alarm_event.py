"""An alarm of the monitor as an event on a real Prefect server, and the automation of the docs."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.services import alarm_event
from tests.flows.commands.test_schedule import ask, prefect, wait_for
from tests.flows.shop import Shop, settle, shared_prefect, stagecast

ROOT = Path(__file__).parents[3]
NO_BLOCK = "00000000-0000-0000-0000-000000000000"


def events(dataset: str) -> list[dict[str, Any]]:
    """Alarm events of a data set as the server has them, oldest first."""
    resource = {"id": [f"stagecast.monitor.{dataset}"]}
    found = ask(
        "events/filter", filter={"event": {"name": [alarm_event.EVENT_NAME]}, "resource": resource}
    )
    return sorted(found["events"], key=lambda event: str(event["occurred"]))


def webhook(url: str) -> str:
    """Id of a new notification block that posts to a URL."""
    kind = ask("block_types/slug/custom-webhook")["id"]
    schema = ask("block_schemas/filter", block_schemas={"block_type_id": {"any_": [kind]}})[0]["id"]
    data = {"name": "inbox", "url": url, "json_data": {"title": "{{subject}}", "text": "{{body}}"}}
    made = ask(
        "block_documents/",
        name=f"inbox-{os.getpid()}", data=data, block_type_id=kind, block_schema_id=schema,
    )  # fmt: skip
    return str(made["id"])


@pytest.mark.services
def test_an_alarm_is_an_event_and_the_automation_of_the_docs_tells_a_person_once(
    shop: Shop, tmp_path: Path, inbox: tuple[str, list[dict[str, str]]]
) -> None:
    output = tmp_path / "out"
    shutil.copytree(shop.output, output)
    settle(output, max_age_days=3)
    url, received = inbox
    docs = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    (example,) = [
        t for t in re.findall(r"```yaml\n(.*?)```", docs, re.S) if alarm_event.EVENT_NAME in t
    ]
    text = example.replace(NO_BLOCK, webhook(url.replace("json://someone:secretword@", "http://")))
    assert text != example
    (tmp_path / "alarms.yaml").write_text(text, encoding="utf-8")
    prefect("automation", "create", "--from-file", "alarms.yaml", folder=tmp_path)

    for said in ("yes", "no"):
        done = stagecast("monitor", "--output", output, "--json", "-", env=shared_prefect())
        assert done.returncode == 3, done.stderr
        found = json.loads(done.stdout)
        wanted = 1 if said == "yes" else 2
        wait_for("event", lambda n=wanted: len(events("shop")) >= n, seconds=120)
        event = events("shop")[-1]
        assert event["resource"]["stagecast.news"] == said
        assert event["resource"]["stagecast.alarms"] == "1"
        assert event["payload"]["told"] == found["told"]
        assert any(r["prefect.resource.role"] == "flow-run" for r in event["related"])
    (alarm,) = event["payload"]["alarms"]
    assert alarm["check"] == "freshness"
    assert alarm["value"] > alarm["limit"] == 3
    assert event["payload"]["output"] == str(output)
    assert event["payload"]["page"] == found["page"]
    assert event["payload"]["mlflow_run_id"] == found["mlflow_run_id"]
    wait_for("notification", lambda: received, seconds=120)
    assert len(received) == 1
    assert "freshness: all events" in received[0]["text"]
    assert "monitor of shop" in received[0]["title"]


FOUND = {
    "alarms": 1,
    "findings": [
        {name: None for name in alarm_event.ALARM_FIELDS} | {"alarm": alarm}
        for alarm in (True, False)
    ],
}


def test_outside_of_a_run_nothing_is_emitted_and_a_server_that_fails_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OSError("no way to the server")

    monkeypatch.setattr("prefect.events.emit_event", away)
    alarm_event.emit_alarm_event("shop", "out", FOUND, ["a"])
    assert not capsys.readouterr().err
    monkeypatch.setattr(alarm_event, "in_a_run", lambda: True)
    alarm_event.emit_alarm_event("shop", "out", FOUND, ["a"])
    assert "as an event: OSError" in capsys.readouterr().err
    alarm_event.emit_alarm_event("shop", "out", {"alarms": 0, "findings": []}, [])
    assert not capsys.readouterr().err
    assert len(alarm_event.event_payload("out", FOUND, [])["alarms"]) == 1
