"""Tell other programs that audiences have changed: an outbox on disk, retries, signatures.

A message names the run and counts; it holds no customer. The receiver reads the audience itself.
Every message is a file until it was accepted: ``pending``, then ``delivered`` or ``failed``. Its id
follows from target and run, so a message that is sent twice after a crash can be recognised.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import http.client
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.config.webhooks import WebhookTarget
from features.errors import UserError
from features.similar_names import did_you_mean
from features.storage import scores_store
from features.storage.disk import sync
from features.storage.fault_injection import boundary
from features.storage.output_lock import exclusive
from features.storage.runs import PublishedRun, run_folder
from flows.services.signed_request import post, secret_bytes, signature
from flows.services.subscriptions import FOLDER, subscriptions

PENDING, DELIVERED, FAILED = "pending", "delivered", "failed"
_FIRST_WAIT, _LONGEST_WAIT = dt.timedelta(seconds=30), dt.timedelta(hours=6)
_GIVE_UP_AFTER = dt.timedelta(days=3)
_KEPT = dt.timedelta(days=30)  # delivered and failed messages
_COUNTS = ("added", "kept", "removed", "members")


@dataclass(frozen=True)
class Receiver:
    """A program that is told, with what the environment or its registration says.

    Attributes
    ----------
    name
        For messages.
    url, key
        Address, and key of the signature.
    campaigns
        Those that matter to it; none: all.
    allow_private
        True: the address may be an inner one.
    """

    name: str
    url: str = field(repr=False)
    key: bytes = field(repr=False)
    campaigns: tuple[str, ...] = ()
    allow_private: bool = False


def notify(
    output: Path, targets: Sequence[WebhookTarget], now: dt.datetime
) -> list[dict[str, Any]]:
    """Put what the current run changed into the outbox, and send what is due.

    Parameters
    ----------
    output
        The output folder.
    targets
        Whom to tell, beside those who registered (`flows.services.subscriptions`).
    now
        UTC moment.

    Returns
    -------
    list of dict
        All messages that are pending, or were sent now: id, target, run_id, state, attempts,
        problem (of the last attempt; empty if it was accepted) and next_at (null if done).

    Raises
    ------
    UserError
        If an address or a secret is missing, or another process sends at the moment.
    """
    receivers = [_configured(target) for target in targets] + _registered(output)
    if not receivers:
        return []
    with exclusive(output / FOLDER, "webhooks"):
        for state in (PENDING, DELIVERED, FAILED):
            (output / FOLDER / state).mkdir(exist_ok=True)
        run = scores_store.current_run(output)
        _put_in(output, run, receivers, now)
        messages = list(_sent(output / FOLDER, {r.name: r for r in receivers}, now))
        _drop_old(output / FOLDER, run.run_id, now)
    return messages


def _put_in(output: Path, run: PublishedRun, targets: Sequence[Receiver], now: dt.datetime) -> None:
    """Write a message for every target that does not have one about the current run."""
    if now - run.finished_at.replace(tzinfo=dt.UTC) > _GIVE_UP_AFTER:
        return  # no news; and after a rollback the mark of its delivery may be gone
    for target in targets:
        name = _message_id(target, run)
        if any((output / FOLDER).glob(f"*/{name}.json")):
            continue
        changes = _changes(output, run, target)
        if not any(row["added"] or row["removed"] for row in changes):
            continue
        body = {
            "type": "audiences.changed",
            "timestamp": run.finished_at.replace(tzinfo=dt.UTC).isoformat(),
            "data": {
                "dataset": run.dataset,
                "run_id": run.run_id,
                "snapshot_at": str(run.snapshot_at),
                "campaigns": changes,
            },
        }
        message = {
            "id": name,
            "target": target.name,
            "run_id": run.run_id,
            "attempts": 0,
            "created_at": body["timestamp"],
            "next_at": body["timestamp"],
            "problem": "",
            "body": json.dumps(body, separators=(",", ":")),
        }
        _write(output / FOLDER / PENDING / f"{name}.json", message)


def _message_id(target: Receiver, run: PublishedRun) -> str:
    return f"msg_{hashlib.sha256(f'{target.name}/{run.run_id}'.encode()).hexdigest()[:32]}"


def _changes(output: Path, run: PublishedRun, target: Receiver) -> list[dict[str, Any]]:
    """Counts of the target's campaigns; none where the run has no plan.

    A campaign of the run before that is planned no more has lost all its members.
    """
    planned = _plan(output, run)
    if planned is None:
        return []
    counts = {name: {part: int(row[part]) for part in _COUNTS} for name, row in planned.items()}
    earlier = [
        past
        for past in scores_store.published_runs(output)
        if past.status == "published" and past.snapshot_at < run.snapshot_at
    ]
    before = max(earlier, key=lambda past: past.snapshot_at, default=None)
    for name, row in (_plan(output, before) or {}).items() if before else ():
        members = int(row["members"])
        if name not in counts and members:
            counts[name] = dict(zip(_COUNTS, (0, 0, members, 0), strict=True))
    return [
        {"campaign_id": name, **row}
        for name, row in counts.items()
        if not target.campaigns or name in target.campaigns
    ]


def _plan(output: Path, run: PublishedRun) -> dict[str, dict[str, str]] | None:
    """Rows of a run's plan by campaign; None without a plan."""
    file = run_folder(output, run.run_id) / "audiences" / "plan.csv"
    if not file.is_file():
        return None
    with file.open(encoding="utf-8", newline="") as stream:
        return {row["campaign_id"]: row for row in csv.DictReader(stream)}


def refuse_unknown_campaigns(
    output: Path, targets: Sequence[WebhookTarget], playbooks: Iterable[str]
) -> None:
    """Refuse targets with a campaign that neither a playbook nor a past run has.

    Raises
    ------
    UserError
        Naming the target and the campaign.
    """
    plans = (output / "runs").glob("*/audiences/plan.csv")
    known = {*playbooks}
    for target in targets:
        unknown = set(target.campaigns) - known
        if unknown:  # past runs are only read where they matter
            for file in plans:
                with file.open(encoding="utf-8", newline="") as stream:
                    known |= {row["campaign_id"] for row in csv.DictReader(stream)}
            unknown -= known
        for name in sorted(unknown)[:1]:
            raise UserError(
                f"webhooks: {target.name}: campaigns",
                found=repr(name),
                expected=f"of: {', '.join(sorted(known)) or 'none, there is no campaign'}",
                hint=did_you_mean(name, known),
            )


def _sent(folder: Path, targets: dict[str, Receiver], now: dt.datetime) -> Iterator[dict[str, Any]]:
    """Send what is due, the oldest first; a target that does not answer is not asked again."""
    silent: set[str] = set()
    began = time.monotonic()
    files = [(json.loads(path.read_text(encoding="utf-8")), path)
             for path in (folder / PENDING).glob("msg_*.json")]  # fmt: skip
    for message, path in sorted(files, key=lambda pair: (pair[0]["created_at"], pair[0]["id"])):
        target, state = targets.get(message["target"]), PENDING
        is_due = dt.datetime.fromisoformat(message["next_at"]) <= now
        if target is None:
            message["problem"], state = "no such target any more", FAILED
        elif is_due and target.name not in silent:
            # Those before it may have taken a while; receivers refuse an old time stamp.
            sent_at = now + dt.timedelta(seconds=time.monotonic() - began)
            state = _attempt(target, message, path, now, sent_at)
            if message["problem"]:
                silent.add(target.name)
        if state != PENDING:
            message["next_at"] = None
            _write(path, message)
            os.replace(path, folder / state / path.name)
            sync(folder / state)
        shown = ("id", "target", "run_id", "attempts", "problem", "next_at")
        yield {"state": state, **{name: message[name] for name in shown}}


def _attempt(
    target: Receiver,
    message: dict[str, Any],
    path: Path,
    now: dt.datetime,
    sent_at: dt.datetime,
) -> str:
    """Send a message once; return its state."""
    message["attempts"] += 1
    wait = min(_FIRST_WAIT * 2 ** min(message["attempts"] - 1, 16), _LONGEST_WAIT)
    message["next_at"] = (now + wait).isoformat()
    # Before it is sent: a process that is killed while it sends must not begin again at once.
    message["problem"] = "no answer was noted"
    _write(path, message)
    boundary("webhook attempt noted")
    body, timestamp = message["body"].encode(), int(sent_at.timestamp())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "stagecast",
        "webhook-id": message["id"],
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(target.key, message["id"], timestamp, body),
        "webhook-attempt": str(message["attempts"]),
    }
    try:
        status = post(target.url, body, headers, allow_private=target.allow_private)
        message["problem"] = "" if 200 <= status < 300 else f"status {status}"
    except UserError as error:
        message["problem"] = str(error.found)
    except (OSError, http.client.HTTPException, ValueError) as error:
        message["problem"] = type(error).__name__  # its text may hold the address
    boundary("webhook answered")
    if not message["problem"]:
        return DELIVERED
    created = dt.datetime.fromisoformat(message["created_at"])
    is_gone = message["problem"] == f"status {http.client.GONE:d}"
    if is_gone or now - created > _GIVE_UP_AFTER:
        return FAILED
    _write(path, message)
    return PENDING


def _write(path: Path, message: dict[str, Any]) -> None:
    """Replace a message's file; it is there as a whole or as it was."""
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_text(json.dumps(message, indent=1), encoding="utf-8")
    sync(unfinished)
    os.replace(unfinished, path)
    sync(path.parent)


def _drop_old(folder: Path, current: str, now: dt.datetime) -> None:
    """Remove messages that were done long ago; those of the current run prove its delivery."""
    for state in (DELIVERED, FAILED):
        for path in (folder / state).glob("msg_*.json"):
            message = json.loads(path.read_text(encoding="utf-8"))
            age = now - dt.datetime.fromisoformat(message["created_at"])
            if age > _KEPT and message["run_id"] != current:
                path.unlink()


def _configured(target: WebhookTarget) -> Receiver:
    url, secret = _variable(target, "url"), _variable(target, "signed_with")
    key = secret_bytes(secret, f"webhooks: {target.signed_with}")
    return Receiver(target.name, url, key, target.campaigns, target.allow_private)


def _registered(output: Path) -> list[Receiver]:
    return [
        Receiver(
            row.id, row.url, secret_bytes(row.secret, row.id), row.campaigns, row.allow_private
        )
        for row in subscriptions(output)
    ]


def _variable(target: WebhookTarget, part: str) -> str:
    name = str(getattr(target, part))
    text = os.environ.get(name, "").strip()
    if not text:
        raise UserError(
            f"webhooks: {target.name}: {name}",
            found="no such environment variable",
            expected=f"an environment variable: the value of `{part}`",
            hint=f"set {name}, or remove the target from `webhooks`",
        )
    return text
