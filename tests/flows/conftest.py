"""One run of the made-up shop, shared by the tests that look at its results."""

from __future__ import annotations

import pytest

from tests.flows.shop import Shop, stagecast, write_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop after `stagecast run`."""
    folder = tmp_path_factory.mktemp("shop")
    config, output = write_shop(folder), folder / "out"
    # This one as a user has it: no server, Prefect's own little one for the time of the run.
    done = stagecast("run", "--config", config, "--output", output, env={})
    assert done.returncode == 0, done.stderr
    return Shop(config, output, done.stdout)
