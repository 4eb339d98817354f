"""Tables behind a database URL, and secrets that stay in the environment."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from features.config import load
from features.errors import UserError
from features.tallies import tally

CONFIG = """\
name: shop
sources:
  - events: {{url: "{url}", table: orders}}
    columns: {{customer_id: c, occurred_at: {{column: d, as: local_date}}, value: v}}
    event_type: purchase
stages: {{file: stages/recency_frequency.yaml}}
"""


def config_of(tmp_path: Path, url: str) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(CONFIG.format(url=url), encoding="utf-8")
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with duckdb.connect(str(path)) as con:
        con.execute("create table orders as select 'a' c, date '2021-01-02' d, 9.5 v")
    return path


def test_a_table_behind_a_url_is_read(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DATABASE", str(database))
    config = load(config_of(tmp_path, "duckdb://${SHOP_DATABASE}"))
    tallies, _ = tally(config, latest=30000, quarantine=tmp_path / "quarantine")
    assert tallies.daily["value"].to_pylist() == [950]


def test_an_unset_secret_is_named_and_no_url_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)
    config = load(config_of(tmp_path, "postgres://me:${SHOP_PASSWORD}@localhost/shop"))
    with pytest.raises(UserError, match="SHOP_PASSWORD"):
        tally(config, latest=30000, quarantine=tmp_path / "quarantine")


def test_an_unreachable_table_is_one_message_without_the_url(tmp_path: Path) -> None:
    config = load(config_of(tmp_path, "duckdb://nowhere/secret-name.db"))
    with pytest.raises(UserError) as error:
        tally(config, latest=30000, quarantine=tmp_path / "quarantine")
    assert "secret-name" not in str(error.value)
