"""The catalogue: every produced column stands in it, and the reverse; a family of one's own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from features.config.config import load
from features.contracts import KEY
from features.table import families
from features.table.families import FAMILIES
from features.table.feature_columns import columns, expected_spec
from features.table.snapshot_builder import Builder
from tests.flows.shop import write_shop
from tests.oracles.histories import Event, builder, local

PAGE = Path(__file__).parents[3] / "docs" / "add-a-family.md"
DAYS = ("2021-02-26", "2021-03-06", "2021-03-07", "2021-03-10")  # Fri, Sat, Sun, Wed
EVENTS = [
    *(Event("a", "purchase", local(day), amount=1000, brand="x") for day in DAYS),
    Event("a", "refund", local("2021-03-11"), amount=500),
    Event("b", "touch", local("2021-03-08")),
    Event("b", "sent", local("2021-03-08")),
    Event("c", "redemption", local("2021-03-08")),
]


@pytest.fixture
def shop(tmp_path: Path) -> Builder:
    return builder(EVENTS, tmp_path / "events.csv")


def test_what_is_produced_is_catalogued_and_the_reverse(shop: Builder) -> None:
    frame = shop.features(shop.last_snapshot)
    listed = columns(shop.spec)
    assert [c.name for c in listed] == [c for c in frame.columns if c not in KEY]
    for column in listed:
        assert column.meaning
        assert column.unit
        kind = {"text": "O", "bool": "b", "float64": "f"}[column.dtype]
        assert frame[column.name].dtype.kind == kind, column.name
        if not column.null and kind == "f":
            assert frame[column.name].notna().all(), column.name


def test_the_columns_expected_of_a_config_are_those_of_its_data(tmp_path: Path) -> None:
    config = load(write_shop(tmp_path, customers=30))
    from features.aggregates.daily_aggregates import tally

    tallies, _ = tally(config, latest=30000, quarantine=tmp_path / "quarantine")
    assert expected_spec(config) == Builder.from_tallies(config, tallies).spec


def test_the_family_of_the_page_works(shop: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) < 30
    module = types.ModuleType("weekend")
    exec(compile(code, str(PAGE), "exec"), vars(module))
    monkeypatch.setattr(families, "FAMILIES", (*FAMILIES, module.weekend))
    frame = shop.features(shop.last_snapshot).set_index("customer_id")
    assert frame["weekend__purchase_share"]["a"] == 0.5
    assert frame["weekend__purchase_share"].isna().tolist() == [False, True, True]
    assert "weekend__purchase_share" in [c.name for c in columns(shop.spec)]


def test_the_command_writes_it_as_json(tmp_path: Path) -> None:
    config = write_shop(tmp_path, customers=30)
    file = tmp_path / "catalogue.json"
    command = [sys.executable, "-m", "flows.commands.cli", "catalog", "--config", str(config)]
    done = subprocess.run(
        [*command, "--json", str(file)], capture_output=True, text=True, check=True
    )
    assert "purchase__count_30d" in done.stdout
    listed = json.loads(file.read_text(encoding="utf-8"))
    assert [c["name"] for c in listed] == [c.name for c in columns(expected_spec(load(config)))]
    refused = subprocess.run(command[:4], capture_output=True, text=True, check=False)
    assert (refused.returncode, "--config" in refused.stderr) == (2, True)
