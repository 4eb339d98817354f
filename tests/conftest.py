"""Shared by all tests: hypothesis is repeatable, and long files begin first."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

# As the command line does, before numpy is imported: threads that spin slow the tests down.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Many tests start processes. Without byte code, each of these would compile all our modules.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest
from hypothesis import HealthCheck, settings

from features.config.store_location import VARIABLE
from tests.postgres_server import postgres_server
from tests.tries import tries

# Files that take a minute or more, the longest first: a worker that begins one of them last would
# work alone at the end. Of the plain tests, then of those that only CI runs.
LONG = (
    "test_pages_run",
    "test_kills",
    "test_examples",
    "test_example_runs",
    "test_monitor_drift",
    "test_promote",
    "test_serve",
    "test_processes_end",
    "test_init",
    "test_servers",
    "test_alarm_event",
    "test_loading",
    "test_leads",
    "test_privacy_postgres",
    "test_backfill",
    "test_schedule",
    "test_refused_at_once",
)

sys.dont_write_bytecode = False
# The same examples on every machine and no deadline: a slow machine is no failure.
settings.register_profile(
    "stagecast",
    max_examples=tries(100),
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("stagecast")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order in which they should begin; within each, the order of its tests."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


class _NamesFailures:
    """Names a failure when it happens: a run that is cut short still tells what failed."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.write_line(f"FAILED {report.nodeid} ({report.when})", red=True)
            terminal.write_line(report.longreprtext[-3000:])


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # not in xdist's workers, which show nothing
        config.pluginmanager.register(_NamesFailures(config))


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A PostgreSQL server of the module's own."""
    with postgres_server() as found:
        yield found


@pytest.fixture
def url(server: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a store in a schema of its own, which the environment names."""
    place = f"{server.get_uri()}&schema=s{abs(hash(request.node.nodeid)) % 10**9}"
    monkeypatch.setenv(VARIABLE, place)
    return place
