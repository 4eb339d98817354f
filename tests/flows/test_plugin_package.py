"""The example package of a plug-in in an environment of its own, from wheels, outside a clone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.shop import write_shop
from tests.plugin_packages import EXAMPLE

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of a fresh environment with both wheels."""
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv is not None, "uv makes the environment: run the tests by `uv run pytest`"
    folder = tmp_path_factory.mktemp("plugin")
    python = folder / "env" / "bin" / "python"
    for command in (
        [uv, "build", "--quiet", "--wheel", "--out-dir", folder / "wheels", ROOT],
        [uv, "build", "--quiet", "--wheel", "--out-dir", folder / "wheels", EXAMPLE],
        [uv, "venv", "--quiet", "--python", sys.executable, folder / "env"],
        [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python,
         *(folder / "wheels" / name for name in WHEELS)],
    ):  # fmt: skip
        # From the project's folder, whose pins then hold for what the packages need.
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return python.parent


WHEELS = (
    "stagecast-0.1.0-py3-none-any.whl",
    "stagecast_weekend-0.1.0-py3-none-any.whl",
)


def _stagecast(
    programs: Path, folder: Path, *arguments: object
) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if k not in ("UV", "VIRTUAL_ENV")}
    return subprocess.run(
        [programs / "stagecast", *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, check=False, timeout=900,
        env={**variables, "DO_NOT_TRACK": "1"},
    )  # fmt: skip


def test_a_plugin_is_learned_from_and_required_where_it_is_missing(
    environment: Path, tmp_path: Path
) -> None:
    config, output = write_shop(tmp_path), tmp_path / "out"
    text = config.read_text(encoding="utf-8") + "exports: [exports/call_centre.yaml]\n"
    config.write_text(text, encoding="utf-8")
    done = _stagecast(environment, tmp_path, "run", "--config", config, "--output", output)
    assert done.returncode == 0, done.stderr
    figures = json.loads((output / "training" / "training.json").read_text(encoding="utf-8"))
    methods = {f["method"] for f in figures["figures"] if f["model"] == "churn"}
    assert "weekend_share" in methods
    listed = _stagecast(environment, tmp_path, "catalog", "--output", output, "--json", "-")
    assert "weekend__purchase_share" in {column["name"] for column in json.loads(listed.stdout)}
    assert "call_centre.yaml" in (output / "config.yaml").read_text(encoding="utf-8")
    metrics = _stagecast(environment, tmp_path, "metrics", "--output", output, "--json", "-")
    assert "weekend_buyers" in json.loads(metrics.stdout)["definitions"]
    # Here, in the clone's environment, the package is not installed.
    config.write_text(text.replace("exports: [exports/call_centre.yaml]\n", ""), encoding="utf-8")
    refused = subprocess.run(
        [sys.executable, "-m", "flows.commands.cli", "score", "--config", config,
         "--output", output],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert refused.returncode == 2, refused.stderr
    assert "pip install stagecast-weekend==0.1.0" in refused.stderr
    again = _stagecast(environment, tmp_path, "score", "--output", output)
    assert again.returncode == 0, again.stderr
