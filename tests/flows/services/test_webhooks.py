"""The outbox of webhooks: every message arrives, none is doubled silently, no person is named."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from features.config.store_location import VARIABLE as STORE
from features.config.webhooks import WebhookTarget
from features.errors import UserError
from features.storage.runs import run_folder
from flows.services.signed_request import secret_bytes, signature
from flows.services.subscriptions import subscribe, subscriptions, unsubscribe
from flows.services.webhooks import notify, refuse_unknown_campaigns
from tests.features.storage.test_scores_store import NOVEMBER, OCTOBER, publish_example, record
from tests.flows.shop import Shop, stagecast

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two signs: hello").decode()
NOW = dt.datetime(2017, 12, 1, 5, 0, tzinfo=dt.UTC)
PLAN = "campaign_id,members,added,kept,removed\nwin_back,3,2,1,0\nvip,5,0,5,0\n"


@dataclass
class Inbox:
    """A receiver of messages: what came, and the statuses that it answers, the last one for ever.

    Attributes
    ----------
    url
        Its address.
    statuses
        To answer, in order.
    received
        Headers and bodies.
    """

    url: str
    statuses: list[int] = field(default_factory=lambda: [204])
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            box.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
            status = box.statuses.pop(0) if len(box.statuses) > 1 else box.statuses[0]
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    box = Inbox(f"http://127.0.0.1:{server.server_port}/hook?from=shop")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("CRM_URL", box.url)
    monkeypatch.setenv("CRM_SECRET", SECRET)
    monkeypatch.setenv(STORE, "")
    yield box
    server.shutdown()
    server.server_close()
    thread.join()


def target(**changes: Any) -> WebhookTarget:
    known = {"name": "crm", "url": "CRM_URL", "signed_with": "CRM_SECRET", "allow_private": True}
    return WebhookTarget.model_validate(known | changes)


def publish(output: Path, name: str, day: dt.date, plan: str = PLAN) -> None:
    members = {"person-1": "added", "person-2": "added", "person-3": "kept"}
    publish_example(output, record(name, day), list(members), members=members)
    folder = run_folder(output, name) / "audiences"
    folder.mkdir()
    (folder / "plan.csv").write_text(plan, encoding="utf-8")


def files(output: Path, state: str) -> list[dict[str, Any]]:
    return [json.loads(p.read_text("utf-8")) for p in (output / "webhooks" / state).glob("*.json")]


def test_a_change_is_told_once_signed_and_without_persons(tmp_path: Path, inbox: Inbox) -> None:
    publish(tmp_path, "one", OCTOBER)
    (message,) = notify(tmp_path, [target()], NOW)
    assert (message["state"], message["attempts"], message["problem"]) == ("delivered", 1, "")
    ((headers, body),) = inbox.received
    content = json.loads(body)
    assert content["type"] == "audiences.changed"
    assert content["data"]["campaigns"] == [
        {"campaign_id": "win_back", "added": 2, "kept": 1, "removed": 0, "members": 3},
        {"campaign_id": "vip", "added": 0, "kept": 5, "removed": 0, "members": 5},
    ]
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    expected = signature(
        secret_bytes(SECRET, ""), headers["webhook-id"], int(NOW.timestamp()), body
    )
    assert headers["webhook-signature"] == expected
    stored = b"".join(p.read_bytes() for p in (tmp_path / "webhooks").rglob("*") if p.is_file())
    for private in (b"person-", SECRET.encode(), inbox.url.encode()):
        assert private not in body
        assert private not in stored
    assert notify(tmp_path, [target()], NOW + dt.timedelta(days=1)) == []
    assert len(inbox.received) == 1
    publish(tmp_path, "two", NOVEMBER)
    (message,) = notify(tmp_path, [target()], NOW + dt.timedelta(days=1))
    assert message["run_id"] == "two"
    assert inbox.received[1][0]["webhook-id"] != headers["webhook-id"]


def test_what_is_not_accepted_is_sent_again_later_under_the_same_id(
    tmp_path: Path, inbox: Inbox
) -> None:
    inbox.statuses = [500, 302, 200]
    publish(tmp_path, "one", OCTOBER)
    moment, waits = NOW, []
    (message,) = notify(tmp_path, [target()], moment)
    assert (message["state"], message["problem"]) == ("pending", "status 500")
    (message,) = notify(tmp_path, [target()], moment + dt.timedelta(seconds=5))
    assert len(inbox.received) == 1
    while message["state"] == "pending":
        due = dt.datetime.fromisoformat(message["next_at"])
        waits.append((due - moment).total_seconds())
        moment = due
        (message,) = notify(tmp_path, [target()], moment)
    # The redirect was no acceptance, and was not followed.
    assert (message["state"], message["attempts"], waits) == ("delivered", 3, [30, 60])
    assert len({headers["webhook-id"] for headers, _ in inbox.received}) == 1
    assert [headers["webhook-attempt"] for headers, _ in inbox.received] == ["1", "2", "3"]
    assert {body for _, body in inbox.received} == {inbox.received[0][1]}


@pytest.mark.parametrize("point", ["webhook attempt noted", "webhook answered"])
def test_a_process_killed_while_it_sends_neither_loses_nor_hides_a_second_sending(
    tmp_path: Path, inbox: Inbox, point: str
) -> None:
    publish(tmp_path, "one", OCTOBER)
    code = (
        "import datetime as dt, sys; from pathlib import Path\n"
        "from features.config.webhooks import WebhookTarget\n"
        "from flows.services.webhooks import notify\n"
        "target = WebhookTarget(\n"
        "    name='crm', url='CRM_URL', signed_with='CRM_SECRET', allow_private=True)\n"
        "notify(Path(sys.argv[1]), [target], dt.datetime(2017, 12, 1, 5, tzinfo=dt.UTC))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], check=False,
        env={**os.environ, "STAGECAST_FAULT": point},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    sent = 1 if point == "webhook answered" else 0
    assert len(inbox.received) == sent
    (waiting,) = files(tmp_path, "pending")
    assert (waiting["attempts"], waiting["problem"]) == (1, "no answer was noted")
    notify(tmp_path, [target()], NOW)
    assert len(inbox.received) == sent
    (message,) = notify(tmp_path, [target()], NOW + dt.timedelta(minutes=1))
    assert message["state"] == "delivered"
    assert [h["webhook-attempt"] for h, _ in inbox.received] == ["1", "2"][1 - sent :]
    assert len({h["webhook-id"] for h, _ in inbox.received}) == 1
    assert files(tmp_path, "pending") == []


def test_it_is_given_up_when_the_address_is_gone_or_after_three_days(
    tmp_path: Path, inbox: Inbox
) -> None:
    inbox.statuses = [410]
    publish(tmp_path, "one", OCTOBER)
    (message,) = notify(tmp_path, [target()], NOW)
    assert message["state"] == "failed"
    inbox.statuses = [503]
    publish(tmp_path, "two", NOVEMBER)
    assert notify(tmp_path, [target()], NOW)[0]["state"] == "pending"
    (message,) = notify(tmp_path, [target()], NOW + dt.timedelta(days=4))
    assert (message["state"], message["problem"]) == ("failed", "status 503")
    notify(tmp_path, [target()], NOW + dt.timedelta(days=40))
    assert len(inbox.received) == 3
    # The first is forgotten; that of the current run stays, so that it is not written again.
    assert [message["run_id"] for message in files(tmp_path, "failed")] == ["two"]


def test_a_delivered_message_is_not_sent_again_however_old_the_run_is(
    tmp_path: Path, inbox: Inbox
) -> None:
    publish(tmp_path, "one", OCTOBER)
    notify(tmp_path, [target()], NOW)
    for days in (29, 31, 32, 400):
        assert notify(tmp_path, [target()], NOW + dt.timedelta(days=days)) == []
    assert len(inbox.received) == 1
    assert len(files(tmp_path, "delivered")) == 1
    # A target that is new to an old run gets no news of it.
    assert notify(tmp_path, [target(name="later")], NOW + dt.timedelta(days=5)) == []
    assert len(inbox.received) == 1


def test_a_campaign_that_is_planned_no_more_loses_its_members(tmp_path: Path, inbox: Inbox) -> None:
    publish(tmp_path, "one", OCTOBER)
    publish(tmp_path, "two", NOVEMBER, "campaign_id,members,added,kept,removed\nvip,5,0,5,0\n")
    notify(tmp_path, [target()], NOW)
    ((_, body),) = inbox.received
    assert json.loads(body)["data"]["campaigns"] == [
        {"campaign_id": "vip", "added": 0, "kept": 5, "removed": 0, "members": 5},
        {"campaign_id": "win_back", "added": 0, "kept": 0, "removed": 3, "members": 0},
    ]


def test_a_misspelt_campaign_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    publish(tmp_path, "one", OCTOBER)
    refuse_unknown_campaigns(tmp_path, [target(campaigns=("new", "vip")), target()], ["new"])
    with pytest.raises(UserError, match="did you mean win_back") as refused:
        refuse_unknown_campaigns(tmp_path, [target(campaigns=("win_bcak",))], ["new"])
    assert refused.value.where == "webhooks: crm: campaigns"


def test_who_registered_is_told_as_those_of_the_config(tmp_path: Path, inbox: Inbox) -> None:
    publish(tmp_path, "one", OCTOBER)
    row = subscribe(tmp_path, inbox.url, campaigns=["win_back"], allow_private=True, now=NOW)
    assert subscriptions(tmp_path) == [row]
    (file,) = (tmp_path / "webhooks" / "subscriptions").glob("*")
    assert file.stat().st_mode & 0o077 == 0
    (message,) = notify(tmp_path, [], NOW)
    assert (message["target"], message["state"]) == (row.id, "delivered")
    ((headers, body),) = inbox.received
    moment = int(headers["webhook-timestamp"])
    expected = signature(secret_bytes(row.secret, ""), headers["webhook-id"], moment, body)
    assert headers["webhook-signature"] == expected
    assert row.secret not in repr(row)
    assert unsubscribe(tmp_path, row.id)
    assert not unsubscribe(tmp_path, row.id)
    assert not unsubscribe(tmp_path, "../../stagecast")
    assert notify(tmp_path, [], NOW) == []


def test_inner_addresses_are_neither_registered_nor_sent_to(tmp_path: Path, inbox: Inbox) -> None:
    publish(tmp_path, "one", OCTOBER)
    with pytest.raises(UserError):
        subscribe(tmp_path, inbox.url, campaigns=[], allow_private=False, now=NOW)
    subscribe(tmp_path, "https://localhost:9/", campaigns=[], allow_private=False, now=NOW)
    (message,) = notify(tmp_path, [], NOW)
    assert "inner network" in message["problem"]


def test_targets_hear_of_their_campaigns_alone_and_do_not_wait_for_each_other(
    tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWAY_URL", "http://127.0.0.1:9/")
    publish(tmp_path, "one", OCTOBER)
    targets = [
        target(name="away", url="AWAY_URL"), target(campaigns=("win_back",)),
        target(name="unchanged", campaigns=("vip",)),
    ]  # fmt: skip
    states = {m["target"]: (m["state"], m["problem"]) for m in notify(tmp_path, targets, NOW)}
    assert states == {"away": ("pending", "ConnectionRefusedError"), "crm": ("delivered", "")}
    ((_, body),) = inbox.received
    assert [c["campaign_id"] for c in json.loads(body)["data"]["campaigns"]] == ["win_back"]
    (gone,) = notify(tmp_path, [target()], NOW)
    assert (gone["target"], gone["state"]) == ("away", "failed")


def test_inner_addresses_need_permission_and_variables_must_be_there(
    tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, "one", OCTOBER)
    (message,) = notify(tmp_path, [target(allow_private=False)], NOW)
    assert message["state"] == "pending"
    assert "address" in message["problem"]
    assert inbox.received == []
    monkeypatch.setenv("CRM_SECRET", "short")
    with pytest.raises(UserError, match="another form"):
        notify(tmp_path, [target()], NOW)
    monkeypatch.delenv("CRM_URL")
    with pytest.raises(UserError, match="CRM_URL"):
        notify(tmp_path, [target()], NOW)
    assert notify(tmp_path, [], NOW) == []


def test_a_run_tells_and_the_command_shows_what_waits(
    shop: Shop, tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    shutil.copytree(shop.output, output)
    config = yaml.safe_load((output / "config.yaml").read_text(encoding="utf-8"))
    config["webhooks"] = [{"name": "crm", "url": "CRM_URL", "signed_with": "CRM_SECRET"}]
    (output / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    done = stagecast("target", "--output", output)
    assert done.returncode == 0, done.stderr
    assert "webhook crm: an address of another form" in " ".join(done.stderr.split())
    config["webhooks"][0]["allow_private"] = True
    (output / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (waiting,) = files(output, "pending")
    (path,) = (output / "webhooks" / "pending").glob("*.json")
    path.write_text(json.dumps(waiting | {"next_at": "2020-01-01T00:00:00+00:00"}))
    done = stagecast("webhooks", "--output", output, "--json", "-")
    assert done.returncode == 0, done.stderr
    (message,) = json.loads(done.stdout)
    assert (message["target"], message["state"], message["attempts"]) == ("crm", "delivered", 2)
    assert len(inbox.received) == 1
    monkeypatch.delenv("CRM_SECRET")
    done = stagecast("webhooks", "--output", output)
    assert done.returncode == 2
    assert "CRM_SECRET" in done.stderr
