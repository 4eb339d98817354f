"""A PostgreSQL server for the tests of stores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from features.config.store_location import VARIABLE
from tests.postgres_server import postgres_server


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with postgres_server() as found:
        yield found


@pytest.fixture
def url(server: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a schema of its own, which the environment names."""
    place = f"{server.get_uri()}&schema=s{abs(hash(request.node.name)) % 10**9}"
    monkeypatch.setenv(VARIABLE, place)
    return place
