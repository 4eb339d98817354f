"""The made-up shop with consent, exports and accounts, and its plan held until a person looks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient

from tests.flows.pages.page_client import add_accounts, client
from tests.flows.shop import Shop, stagecast


@pytest.fixture(scope="module")
def output(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder of its own: pages change it."""
    folder = tmp_path_factory.mktemp("pages") / "out"
    shutil.copytree(shop.output, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    config |= {"consent": "managed_elsewhere", "exports": ["exports/csv.yaml"]}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    done = stagecast("--quiet", "target", "--output", folder)
    assert done.returncode == 0, done.stderr
    add_accounts(folder)
    return folder


@pytest.fixture(scope="module")
def browser(output: Path) -> Iterator[TestClient]:
    """A client of the service on this folder."""
    with client(output) as opened:
        yield opened
