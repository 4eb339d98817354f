"""A small shop with every kind of table, and faults that can be put into it one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Content = dict[str, Any]

FILES = {
    "orders.csv": "who,at,paid,order,brand,kind\n"
    + "".join(
        f"c{n % 7},2024-0{1 + n % 6}-1{n % 9} 10:00:00,{n}.50,o{n},apex,purchase\n"
        for n in range(60)
    ),
    "visits.jsonl": "".join(
        f'{{"who": "c{n % 7}", "visitor": "v{n % 5}", "at": "2024-03-0{1 + n % 8}T08:00:00Z"}}\n'
        for n in range(30)
    ),
    "links.csv": "visitor,who,at\nv1,c1,2024-03-02\nv2,c2,2024-03-03\n",
    "customers.csv": "id,mail,ok,staff,since\nc0,a@b.example,yes,no,2024-01-02\n"
    "c1,c@d.example,no,,2024-01-02\nc2,,true,0,\n",
    "consents.csv": "id,channel,granted,day\nc0,email,granted,2024-01-05\nc1,sms,no,2024-01-06\n",
    "bounces.csv": "id,why,from\nc2,bounce,2024-02-01\n",
    "products.csv": "sku,margin,back\np1,0.3,2024-01-01\n",
    "spend.csv": "day,amount,channel\n2024-01-01,10.5,search\n",
    "crm.csv": "id,at,stage\nc0,2024-02-01,active_buyer\nc1,2024-02-01,Prospect\n",
    "send.csv": "id,day,got,ordered\nc0,2024-03-01,1,0\nc1,2024-03-01,0,1\nc2,2024-03-01,1,1\n",
}
STAGES = """\
name: own
params: {L: 30}
buying_stage: active_buyer
stages:
  - {name: lapsed, rank: 1, silent: true, when: {days_since_last: purchase, '>': L}}
  - {name: active_buyer, rank: 2, when: {count: purchase, '>=': 1}}
  - {name: visitor, rank: 0, default: true}
"""
PLAYBOOK = """\
campaign: win_them
title: Win them
description: A message to those who lapsed
kind: promotional
stages: {other: all}
trigger: [{when: schedule, every: week}]
audience: {column: p_churn, '>=': 0.5}
expires_days: 14
re_entry_days: 30
max_contacts: 1
rank_by: [p_churn]
channel: email
offer: {text: Come back}
value: {product: [clv], means: spend}
contact_cost: 0.1
control_share: 0.1
success: {metric: orders, within_days: 30}
priority: 1
"""
EXPORT = """\
target: tool
title: A tool
columns:
  - {name: Mail, from: email, as: email}
  - {name: Campaign, from: campaign_id}
"""
EXPERIMENT = """\
name: first_send
table: send.csv
treatment: got
outcome: ordered
customer_id: id
sent_at: {column: day, as: local_date}
"""
YAMLS = {
    "stages.yaml": STAGES,
    "win.yaml": PLAYBOOK,
    "tool.yaml": EXPORT,
    "send.yaml": EXPERIMENT,
}


def _content() -> Content:
    local = {"as": "local_date"}
    return {
        "name": "shop",
        "timezone": "Europe/Berlin",
        "sources": [
            {
                "events": "orders.csv",
                "columns": {
                    "customer_id": "who",
                    "occurred_at": {"column": "at", "zone": "UTC"},
                    "value": "paid",
                    "order_id": "order",
                    "brand": "brand",
                },
                "event_type": {"column": "kind"},
            },
            {
                "events": "visits.jsonl",
                "columns": {
                    "customer_id": "who",
                    "anonymous_id": "visitor",
                    "occurred_at": {"column": "at"},
                },
                "event_type": "touch",
            },
        ],
        "identities": {
            "table": "links.csv",
            "columns": {
                "anonymous_id": "visitor",
                "customer_id": "who",
                "linked_at": {"column": "at", **local},
            },
        },
        "stages": {"file": "stages.yaml"},
        "stage": {"truth": "history"},
        "stage_history": {
            "table": "crm.csv",
            "columns": {
                "customer_id": "id",
                "occurred_at": {"column": "at", **local},
                "stage": "stage",
            },
            "stages": {"Prospect": "visitor"},
        },
        "customers": {
            "table": "customers.csv",
            "columns": {
                "customer_id": "id",
                "contact": {"email": "mail"},
                "consent": {"email": {"granted": "ok", "at": {"column": "since", **local}}},
                "suppress": {"staff": "staff"},
            },
        },
        "consents": {
            "table": "consents.csv",
            "columns": {
                "customer_id": "id",
                "channel": "channel",
                "granted": "granted",
                "changed_at": {"column": "day", **local},
            },
        },
        "suppressions": [
            {
                "table": "bounces.csv",
                "columns": {
                    "customer_id": "id",
                    "reason": "why",
                    "from": {"column": "from", **local},
                },
            }
        ],
        "products": {
            "table": "products.csv",
            "columns": {
                "product_id": "sku",
                "margin": "margin",
                "restocked_at": {"column": "back", **local},
            },
        },
        "spend": {
            "table": "spend.csv",
            "columns": {"date": "day", "amount": "amount", "channel": "channel"},
        },
        "consent": "recorded",
        "campaigns": ["win.yaml"],
        "exports": ["tool.yaml"],
        "experiments": ["send.yaml"],
    }


@dataclass
class Draft:
    """A shop before it is written: its config, and its files by name."""

    content: Content
    files: dict[str, str]

    def replace(self, name: str, old: str, new: str) -> None:
        """Change a file's text; the old text must be there."""
        assert old in self.files[name], (name, old)
        self.files[name] = self.files[name].replace(old, new)

    def write(self, folder: Path) -> Path:
        """Write all files; returns the config's path."""
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        path = folder / "shop.yaml"
        path.write_text(yaml.safe_dump(self.content, sort_keys=False), encoding="utf-8")
        return path


def draft() -> Draft:
    """The shop in order."""
    return Draft(_content(), {**FILES, **YAMLS})


@dataclass(frozen=True)
class Fault:
    """One thing to break.

    Attributes
    ----------
    area
        Faults of one area would hide or change each other, so one of them is taken.
    apply
        Breaks it.
    said
        Parts of the one problem that must name it.
    """

    area: str
    apply: Callable[[Draft], None]
    said: tuple[str, ...]


def _header(name: str, column: str) -> Callable[[Draft], None]:
    def apply(shop: Draft) -> None:
        head, _, rest = shop.files[name].partition("\n")
        cells = [f"{c}_old" if c == column else c for c in head.split(",")]
        shop.files[name] = ",".join(cells) + "\n" + rest

    return apply


def _text(name: str, old: str, new: str) -> Callable[[Draft], None]:
    return lambda shop: shop.replace(name, old, new)


def _gone(name: str) -> Callable[[Draft], None]:
    def apply(shop: Draft) -> None:
        del shop.files[name]

    return apply


def _key(*path: Any, value: Any) -> Callable[[Draft], None]:
    def apply(shop: Draft) -> None:
        level: Any = shop.content
        for part in path[:-1]:
            level = level[part]
        level[path[-1]] = value

    return apply


FAULTS = [
    Fault("orders", _header("orders.csv", "brand"), ("columns.brand", "no column 'brand'")),
    Fault("orders", _header("orders.csv", "at"), ("columns.occurred_at", "no column 'at'")),
    Fault("orders", _header("orders.csv", "who"), ("columns.customer_id", "no column 'who'")),
    Fault("orders", _gone("orders.csv"), ("orders.csv", "no such file")),
    Fault("orders", _text("orders.csv", ",purchase", ",bought"), ("unknown event types", "bought")),
    Fault("orders", _text("orders.csv", "2024-", "24."), ("orders.csv", "60 bad rows of 60")),
    Fault(
        "orders",
        _key("sources", 0, "columns", "occurred_at", value={"column": "at"}),
        ("instants without a zone",),
    ),
    Fault("visits", _gone("visits.jsonl"), ("visits.jsonl", "no such file")),
    Fault("visits", _text("visits.jsonl", '"visitor"', '"tourist"'), ("no column 'visitor'",)),
    Fault("links", _header("links.csv", "who"), ("identities", "no column 'who'")),
    Fault("links", _gone("links.csv"), ("links.csv", "no such file")),
    Fault("links", _text("links.csv", "v1,c1,2024-03-02", "v1,c1,soon"), ("links", "linked_at")),
    Fault("mail", _header("customers.csv", "mail"), ("customers", "no column 'mail'")),
    Fault("ok", _text("customers.csv", "example,yes", "example,oui"), ("email", "oui: yes")),
    Fault("ok", _text("customers.csv", "example,yes", "example,ture"), ("did you mean", "true")),
    Fault("staff", _text("customers.csv", "true,0", "true,vielleicht"), ("staff", "vielle")),
    Fault("since", _text("customers.csv", "2024-01-02", "neulich"), ("since", "no dates")),
    Fault("granted", _text("consents.csv", "email,granted", "email,ja"), ("consents", "ja: yes")),
    Fault("granted", _text("consents.csv", ",no,", ",hmm,"), ("consents", "hmm")),
    Fault("granted", _header("consents.csv", "granted"), ("consents", "no column 'granted'")),
    Fault("day", _text("consents.csv", "2024-01-05", "bald"), ("day", "no dates")),
    Fault("channel", _header("consents.csv", "channel"), ("consents", "no column 'channel'")),
    Fault("bounces", _gone("bounces.csv"), ("bounces.csv", "no such file")),
    Fault("bounces", _header("bounces.csv", "why"), ("suppressions", "no column 'why'")),
    Fault("products", _header("products.csv", "sku"), ("products", "no column 'sku'")),
    Fault("products", _gone("products.csv"), ("products.csv", "no such file")),
    Fault("spend", _text("spend.csv", "10.5", "ten"), ("spend", "1 of 1 rows")),
    Fault("spend", _header("spend.csv", "amount"), ("spend", "no column 'amount'")),
    Fault("crm", _text("crm.csv", "Prospect", "Dreamer"), ("stage_history", "Dreamer")),
    Fault("crm", _header("crm.csv", "stage"), ("stage_history", "no column 'stage'")),
    Fault("crm", _gone("crm.csv"), ("crm.csv", "no such file")),
    Fault("send", _header("send.csv", "got"), ("first_send", "no column 'got'")),
    Fault("send", _text("send.yaml", "treatment:", "hue: red\ntreatment:"), ("send.yaml", "hue")),
    Fault("send", _gone("send.yaml"), ("send.yaml", "no such file")),
    Fault("playbook", _text("win.yaml", "priority:", "hue: red\npriority:"), ("win.yaml", "hue")),
    Fault("playbook", _text("win.yaml", "[p_churn]", "[churns]"), ("rank_by", "churns")),
    Fault("playbook", _gone("win.yaml"), ("win.yaml", "no such file")),
    Fault("export", _text("tool.yaml", "from: email", "from: e_mail"), ("tool.yaml", "e_mail")),
    Fault("export", _gone("tool.yaml"), ("tool.yaml", "no such file")),
    Fault("policy", _key("contact_policy", value={"suppress": {"odd": {"count": "moon", ">=": 1}}}),
          ("suppress odd", "moon")),
    Fault("timezone", _key("timezone", value="Mars"), ("timezone", "Mars")),
    Fault("key", _key("colour", value="red"), ("colour", "unknown key")),
    Fault("seed", _key("seed", value="many"), ("seed", "many")),
]  # fmt: skip
# Of the taxonomy; recorded stages cannot be told apart without it.
STAGE_FAULTS = [
    Fault("stages", _text("stages.yaml", "{count: purchase", "{count: pruchase"), ("pruchase",)),
    Fault("stages", _text("stages.yaml", "'>': L", "'>': Z"), ("stages.yaml", "'Z'")),
    Fault("stages", _text("stages.yaml", "rank: 2", "rnk: 2"), ("stages.yaml", "rnk")),
]
