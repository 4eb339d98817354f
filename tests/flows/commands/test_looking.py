"""Commands that only look start no server, and import neither Prefect nor MLflow's server."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.flows.shop import Shop

LOOKING = [
    "--help", "--version", "models", "runs", "explain c0001", "why c0001 -C win_back", "doctor",
    "leads", "report", "catalog", "stages show", "metrics", "check", "schedule --help",
]  # fmt: skip
WITHOUT_OUTPUT = ("--help", "--version", "schedule --help")
# Of these commands the registry is only listed, which needs no MLflow at all.
LISTING = ("--help", "--version", "models", "runs", "doctor", "schedule --help")
SCRIPT = """
import sys
from flows.commands.cli import main
try:
    main()
finally:
    print("MODULES", *sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("command", LOOKING)
def test_a_command_that_looks_imports_no_prefect_and_no_server(shop: Shop, command: str) -> None:
    place = [] if command in WITHOUT_OUTPUT else ["--output", str(shop.output)]
    environment = {name: v for name, v in os.environ.items() if name != "PREFECT_API_URL"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *command.split(), *place],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    imported = done.stderr.rpartition("MODULES")[2].split()
    assert "flows.commands.cli" in imported
    unwanted = ["prefect", "mlflow.server", "uvicorn", *(["mlflow"] if command in LISTING else [])]
    assert [name for name in unwanted if name in imported] == []
