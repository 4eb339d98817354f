"""Simulated customers, made once for all tests that look at them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from features.aggregates.daily_aggregates import tally
from features.aggregates.tallies import Tallies
from features.calendar import day_number
from features.config import config as configs
from flows.simulate import simulate as simulate_with_config
from simulator import simulate


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    simulate.write_simulation("reference", customers=20_000, seed=11, output=folder, workers=2)
    return folder


@pytest.fixture(scope="session")
def btyd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("btyd")
    simulate.write_simulation("btyd", customers=20_000, seed=5, output=folder)
    return folder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the config beside it that the main job reads."""
    folder = tmp_path_factory.mktemp("small")
    simulate_with_config(2_000, 3, folder)
    return folder


@pytest.fixture(scope="session")
def tallied(small: Path) -> tuple[configs.Config, Tallies]:
    config = configs.load(small / "simulated.yaml")
    latest = day_number(dt.date(2026, 1, 1))
    tallies, reports = tally(config, latest=latest, quarantine=small / "quarantine")
    assert not any(report.quarantined for report in reports)
    return config, tallies
