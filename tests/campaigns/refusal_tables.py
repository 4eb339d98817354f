"""Made-up shops of which half the customers refuse, each in a spelling that a person can read."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

SNAPSHOT = dt.date(2021, 3, 1)
WRITTEN = dt.datetime(2021, 3, 20, 12, tzinfo=dt.UTC)
ZONE = ZoneInfo("America/Chicago")
BLANKS = ["", "", "", " ", "  ", "\t", "\u00a0", "\u200b", "\ufeff", "\u2009 "]
WORDS = {
    False: ["no", "n", "f", "false", "0", "0.0", "opt_out", "opt-out", "opted out", "withdrawn",
            "unsubscribed", "revoked", "declined", "denied", "refused", "rejected", ""],
    True: ["yes", "y", "t", "true", "1", "1.0", "opt_in", "opt-in", "granted", "subscribed"],
}  # fmt: skip
CHANNELS = {"email": ["email", "e-mail", "e mail"], "sms": ["sms", "text", "text message"]}
EVERY = ["all", "any", "every", ""]
PLACES = (
    "history", "history of mails", "history of phones", "column", "mark", "list of ids",
    "list of mails", "list of phones",
)  # fmt: skip
_KEYS = {"history of mails": "email", "history of phones": "phone"}
FILES = ("csv", "tsv", "csv.gz", "parquet", "jsonl")
IDS = ("whole", "float", "text", "uuid")
DATES: dict[str, dict[str, Any]] = {
    "iso": {"as": "local_date"},
    "european": {"as": "local_date", "format": "%d.%m.%Y"},
    "american": {"as": "local_date", "format": "%m/%d/%Y"},
    "offset": {"zone": "Asia/Tokyo"},
    "zone": {"zone": "Europe/Berlin"},
    "written": {"zone": "Europe/Berlin", "format": "%d.%m.%Y %H:%M"},
    "seconds": {"format": "seconds"},
    "typed": {"as": "local_date"},
    "instant": {},
}


@dataclass(frozen=True)
class Form:
    """How the tables of a shop are written."""

    place: str
    file: str
    ids: str
    dates: str
    channel: str
    target: str
    seed: int


@dataclass(frozen=True)
class Shop:
    """A config, and who must not, or must, be found in its exports.

    Attributes
    ----------
    refused, twins, willing
        Ids of those who refused, of others with the same address, and of those who agreed.
    traces
        Id -> texts by which the person would be found in an export.
    """

    config: Path
    scores: pd.DataFrame
    refused: list[str]
    twins: list[str]
    willing: list[str]
    traces: dict[str, list[str]]


class Writer:
    """Writes cells and tables in one form."""

    def __init__(self, form: Form, folder: Path) -> None:
        self.form, self.folder = form, folder
        self.rng = np.random.default_rng(form.seed)
        self.typed = form.file in ("parquet", "jsonl")

    def pick(self, options: list[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def cased(self, text: str) -> str:
        return self.pick([str, str.upper, str.title, str.lower])(text)

    def typed_signs(self, text: str) -> str:
        """A word with the wide letters or the dashes of some keyboards and programs."""
        if self.rng.random() < 0.2:
            return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)
        dash = self.pick(["-", "-", "\u2010", "\u2011", "\u2013", "\u2014", "\u2212", "\uff0d"])
        return text.replace("-", dash)

    def around(self, text: str) -> str:
        return f"{self.pick(BLANKS)}{text}{self.pick(BLANKS)}"

    def key(self, key: str, *, near: bool = True) -> Any:
        """An id as one of the tables has it; a near twin of it only where that may count."""
        if self.form.ids in ("whole", "float") and self.typed:
            return float(key) if self.form.ids == "float" else int(key)
        if self.form.ids in ("whole", "float"):
            return self.around(key + (".0" if self.form.ids == "float" else ""))
        if self.form.ids == "uuid":
            bare = self.pick([key, key.upper(), f"{{{key}}}", *([key.replace("-", "")] * near)])
            return self.around(bare)
        return self.around(key)

    def listed_key(self, key: str) -> Any:
        """An id as a list of refusals has it, perhaps with signs around that a hand has typed."""
        written = self.key(key)
        if isinstance(written, str) and self.form.ids != "uuid":
            return self.pick(["{}", "{}", "#{}", "({})", "'{}", "{};", "={}"]).format(written)
        return written

    def word(self, said: bool) -> Any:
        if self.typed:
            return said
        return self.around(self.typed_signs(self.cased(self.pick(WORDS[said]))))

    def channel(self, every: bool) -> str:
        names = EVERY if every else CHANNELS[self.form.channel]
        return self.around(self.typed_signs(self.cased(self.pick(names))))

    def moment(self, at: dt.datetime) -> Any:
        """A moment (wall clock of the shop) in the form of the dates; always the same local day."""
        form, instant = self.form.dates, at.replace(tzinfo=ZONE)
        if form == "iso":
            return at.strftime(self.pick(["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%Y-%m-%d %H:%M"]))
        if form in ("european", "american"):
            return at.strftime(DATES[form]["format"])
        if form == "offset":
            zone = self.pick([ZONE, dt.UTC, ZoneInfo("Asia/Tokyo")])
            text = instant.astimezone(zone).isoformat()
            return self.pick([text, text.replace("T", " "), text.replace("+00:00", "Z")])
        if form == "zone":
            return instant.astimezone(ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%d %H:%M:%S")
        if form == "written":
            return instant.astimezone(ZoneInfo("Europe/Berlin")).strftime("%d.%m.%Y %H:%M")
        if form == "seconds":
            seconds = int(instant.timestamp())
            return seconds if self.typed else str(seconds)
        if form == "typed":
            return at.date() if self.form.file == "parquet" else at.date().isoformat()
        if self.form.file == "parquet":
            return instant.astimezone(dt.UTC)
        return instant.isoformat()

    def mail(self, number: int) -> str:
        text = f"person.{number}@example.com"
        return self.around(self.pick([text, text.upper(), text.title()]))

    def refused_mail(self, number: int) -> str:
        """An address as people and programs note it where it refused or bounced."""
        mail = self.mail(number)
        bare = mail.strip()
        return self.pick([mail, mail, f"Person <{bare}>", f"mailto:{bare}?subject=stop",
                          f"{bare} (bounced)", f"smtp:{bare}", f"<{bare}>;", f"Mr Person {bare}",
                          bare.replace("@", " @ "), bare.replace("@", "(at)"),
                          f"https://example.org/stop?id=7&of={bare}"])  # fmt: skip

    def phone(self, number: int, *, national: bool = True) -> str:
        area, line = "30", str(1_000_000 + number)
        return self.pick([f"+49{area}{line}", f"0049 {area} {line}", f"+49 (0){area} {line}",
                          f"+49 {area} {line[:3]}-{line[3:]}",
                          *[f"0{area}/{line}"] * national])  # fmt: skip

    def table(self, name: str, rows: list[dict[str, Any]]) -> str:
        """Write rows in any order; returns the file's name."""
        order = self.rng.permutation(len(rows))
        rows = [rows[place] for place in order]
        file = self.folder / f"{name}.{self.form.file}"
        if self.form.file == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), file)
        elif self.form.file == "jsonl":
            lines = [json.dumps(row, default=str) for row in rows]
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            separator = "\t" if self.form.file == "tsv" else ","
            frame = pd.DataFrame(rows).astype(object)
            frame.to_csv(file, index=False, sep=separator)
        return file.name


def shop(form: Form, folder: Path, *, refusers: int, willing: int) -> Shop:
    """Write a shop's tables and config.

    Each of the refusers has a twin: another customer, who agreed, with the same address spelled
    anew.
    """
    writer = Writer(form, folder)
    total = 2 * refusers + willing
    keys = [_id(form, number) for number in range(total)]
    refused, twins = keys[:refusers], keys[refusers : 2 * refusers]
    numbers = [n % refusers if n < 2 * refusers else n for n in range(total)]
    by_mail = form.channel == "email"
    of_mails, of_phones = form.place.endswith("mails"), form.place.endswith("phones")
    people, history = [], []
    for place, key in enumerate(keys):
        shared, own = numbers[place], total + place
        mail = shared if by_mail or of_mails else own
        phone = shared if not by_mail or of_phones else own
        refuses = place < refusers
        row = {
            "id": writer.key(key, near=place < 2 * refusers),
            "mail": writer.mail(mail), "phone": writer.phone(phone),
            "land": "DE", "ok": writer.word(not (refuses and form.place == "column")),
            "mark": writer.word(refuses and form.place == "mark"),
        }  # fmt: skip
        if form.place == "mark" and not writer.typed:
            row["mark"] = writer.around(
                writer.pick(["yes", "1", "TRUE"] if refuses else ["no", "0"])
            )
        if form.place == "column" and not writer.typed and refuses:
            row["ok"] = writer.around(writer.cased(writer.pick(WORDS[False][:-1])))
        people.append(row)
        granted = dt.datetime(2020, 5, 4, 9) + dt.timedelta(days=int(writer.rng.integers(200)))
        changes = [_change(writer, key, True, granted)]
        if refuses and form.place.startswith("history"):
            changes += _withdrawals(writer, key, granted)
        if form.place in _KEYS:
            # A later grant of the twin would be one of the address; the refuser's changes are all.
            changes = changes if refuses or place >= 2 * refusers else []
            for change in changes:
                # A number without its country refuses, and agrees to nothing.
                change["id"] = (
                    writer.refused_mail(mail)
                    if of_mails and refuses
                    else writer.mail(mail)
                    if of_mails
                    else writer.phone(phone, national=refuses)
                )
        history += changes
    content = _config(form)
    columns = {
        "customer_id": "id",
        "contact": {"email": "mail", "phone": "phone", "country": "land"},
    }
    if form.place == "column":
        columns["consent"] = {form.channel: "ok"}
    if form.place == "mark":
        columns["suppress"] = {"staff": "mark"}
    content["customers"] = {"table": writer.table("people", people), "columns": columns}
    if form.place != "column":
        changed = {"column": "changed", **DATES[form.dates]}
        content["consents"] = {
            "table": writer.table("history", history),
            "columns": {_KEYS.get(form.place, "customer_id"): "id", "channel": "channel",
                        "granted": "ok", "changed_at": changed},
        }  # fmt: skip
    if form.place.startswith("list"):
        content["suppressions"] = [_list(writer, refused, numbers)]
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    (folder / "orders.csv").write_text("customer,at\na,2020-01-01T00:00:00Z\n")
    traces = {
        key: _traces(f"person.{number}@example.com" if by_mail else f"+4930{1_000_000 + number}")
        for key, number in zip(keys, numbers, strict=True)
    }
    scores = pd.DataFrame(
        {"customer_id": keys, "stage": "lapsed", "p_reactivate": 0.5, "clv": 10.0}
    )
    return Shop(path, scores, refused, twins, keys[2 * refusers :], traces)


def _traces(address: str) -> list[str]:
    """An address in the forms and hashes in which exports write it."""
    bare = address.removeprefix("+")
    return [bare, *(hashlib.sha256(text.encode()).hexdigest() for text in (address, bare))]


def _id(form: Form, number: int) -> str:
    if form.ids == "uuid":
        return f"550e8400-e29b-41d4-a716-4466554{number:05d}"
    return str(700_000_000 + number) if form.ids != "text" else f"Kd{number:05d}"


def _change(writer: Writer, key: str, said: bool, at: dt.datetime | None, **more: Any) -> Any:
    moment = None if at is None else writer.moment(at)
    every = bool(more.get("every"))
    # A refusal of a near twin counts, a grant does not.
    return {"id": writer.key(key, near=not said), "channel": writer.channel(every),
            "ok": writer.word(said), "changed": moment}  # fmt: skip


def _withdrawals(writer: Writer, key: str, granted: dt.datetime) -> list[dict[str, Any]]:
    """A refusal after a grant, in one of the ways in which it may stand in a history."""
    every = writer.rng.random() < 0.3
    late = dt.datetime(2021, 3, 2, 8)
    ways: list[Callable[[], list[dt.datetime | None]]] = [
        lambda: [granted],  # at the same moment
        lambda: [granted + dt.timedelta(days=30)],
        lambda: [dt.datetime(2021, 2, 28, 20)],
        lambda: [dt.datetime(2021, 3, 1)],  # on the day of the scores
        lambda: [late + dt.timedelta(days=int(writer.rng.integers(18)))],
        lambda: [None],  # nobody knows when
    ]
    times = writer.pick(ways)()
    rows = [_change(writer, key, False, at, every=every) for at in times]
    if writer.rng.random() < 0.3:
        # Agreed again, after the scores: too late for this export.
        rows.append(_change(writer, key, True, dt.datetime(2021, 3, 19, 9)))
    return rows


def _list(writer: Writer, refused: list[str], numbers: list[int]) -> dict[str, Any]:
    form, rows = writer.form, []
    named = {"list of ids": "customer_id", "list of mails": "email", "list of phones": "phone"}
    for place, key in enumerate(refused):
        who = {
            "customer_id": lambda key=key: writer.listed_key(key),
            "email": lambda place=place: writer.refused_mail(numbers[place]),
            "phone": lambda place=place: writer.phone(numbers[place]),
        }[named[form.place]]()
        # The channel by which the address is reached, or every one.
        rows.append({"who": who, "where": writer.channel(every=writer.rng.random() < 0.5),
                     "since": writer.moment(dt.datetime(2021, 2, 3, 12))})  # fmt: skip
    columns: dict[str, Any] = {named[form.place]: "who", "channel": "where"}
    columns["from"] = {"column": "since", **DATES[form.dates]}
    return {"table": writer.table("listed", rows), "reason": "hard bounce", "columns": columns}


def _config(form: Form) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": "shop",
        "timezone": "America/Chicago",
        "sources": [
            {
                "events": "orders.csv",
                "columns": {"customer_id": "customer", "occurred_at": {"column": "at"}},
                "event_type": "purchase",
            }
        ],
        "stages": {"file": "stages/recency_frequency.yaml"},
        "consent": "recorded",
    }
    return content
