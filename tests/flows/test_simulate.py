"""`stagecast simulate` writes a data set with its truth apart, and a config that reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from features.config import config as configs
from tests.flows.shop import stagecast


@pytest.mark.parametrize(
    ("scenario", "name"), [("reference", "simulated"), ("btyd", "simulated-btyd")]
)
def test_a_simulation_can_be_read_at_once(tmp_path: Path, scenario: str, name: str) -> None:
    done = stagecast(
        "simulate", "--customers", 300, "--seed", 4, "--output", tmp_path, "--scenario", scenario
    )
    assert done.returncode == 0, done.stderr
    config = configs.load(tmp_path / "simulated.yaml")
    about = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert config.name == name
    assert str(config.data_through) == about["last_day"]
    shown = stagecast(
        "stages", "show", "--config", tmp_path / "simulated.yaml", "--output", tmp_path / "out",
        "--at", "2024-01-01", "--json", tmp_path / "stages.json",
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    counts = json.loads((tmp_path / "stages.json").read_text(encoding="utf-8"))["counts"]
    assert 0 < sum(counts.values()) <= 300


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [("--customers", "0", "customers"), ("--seed", "-1", "seed"), ("--scenario", "moon", "moon")],
)
def test_a_wrong_number_or_scenario_is_named(
    tmp_path: Path, option: str, value: str, word: str
) -> None:
    done = stagecast("simulate", "--output", tmp_path / "sim", option, value)
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "sim" / "manifest.json").exists()
