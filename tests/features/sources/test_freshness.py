"""Tables too old to be exported by."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from features.config import config as configs
from features.config.config import Config
from features.errors import UserError
from features.sources.freshness import refuse_old_tables

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
THROUGH = dt.date(2026, 4, 30)


def loaded(folder: Path, ages: dict[str, int], **keys: Any) -> Config:
    """A config whose files were last changed so many days before."""
    for name in ("orders.csv", "returns.csv", "people.csv", "consents.csv", "bounces.csv"):
        path = folder / name
        path.write_text("customer,at,channel,ok\na,2020-01-01T00:00:00Z,email,yes\n")
        changed = (NOW - dt.timedelta(days=ages.get(name, 0))).timestamp()
        os.utime(path, (changed, changed))
    columns = {"customer_id": "customer", "occurred_at": {"column": "at"}}
    content = {
        "name": "shop",
        "sources": [
            {"events": name, "columns": columns, "event_type": kind}
            for name, kind in (("orders.csv", "purchase"), ("returns.csv", "refund"))
        ],
        "stages": {"file": "stages/recency_frequency.yaml"},
        "consent": "recorded",
        "customers": {"table": "people.csv", "columns": {"customer_id": "customer"}},
        "consents": {
            "table": "consents.csv",
            "columns": {"customer_id": "customer", "channel": "channel", "granted": "ok",
                        "changed_at": {"column": "at"}},
        },
        "suppressions": [{"table": "bounces.csv", "columns": {"customer_id": "customer"}}],
        **keys,
    }  # fmt: skip
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return configs.load(path)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("consents.csv", "consents"),
        ("people.csv", "consents"),
        ("bounces.csv", "suppressions"),
    ],
)
def test_an_old_table_stops_an_export(tmp_path: Path, name: str, key: str) -> None:
    refuse_old_tables(loaded(tmp_path, {name: 30}), NOW, events_through=THROUGH)
    config = loaded(tmp_path, {name: 31})
    with pytest.raises(UserError) as caught:
        refuse_old_tables(config, NOW, events_through=THROUGH)
    for part in (f"max_age.{key}", name, "31 days", "--dry-run"):
        assert part in str(caught.value)
    for days in (31, None):
        config = loaded(tmp_path, {name: 31}, max_age={key: days})
        refuse_old_tables(config, NOW, events_through=THROUGH)


def test_events_are_as_old_as_their_youngest_source(tmp_path: Path) -> None:
    refuse_old_tables(loaded(tmp_path, {"orders.csv": 400}), NOW, events_through=THROUGH)
    config = loaded(tmp_path, {"orders.csv": 400, "returns.csv": 40})
    with pytest.raises(UserError, match=r"max_age\.events"):
        refuse_old_tables(config, NOW, events_through=THROUGH)


def test_of_events_in_a_database_the_last_day_of_the_scores_counts(tmp_path: Path) -> None:
    columns = {"customer_id": "customer", "occurred_at": {"column": "at"}}
    source = {
        "events": {"url": "postgresql://db.example/shop", "table": "orders"},
        "columns": columns,
        "event_type": "purchase",
    }
    config = loaded(tmp_path, {}, sources=[source])
    refuse_old_tables(config, NOW, events_through=THROUGH)
    with pytest.raises(UserError, match=r"max_age\.events"):
        refuse_old_tables(config, NOW, events_through=dt.date(2026, 3, 1))
