"""The example package of a plug-in in an environment of its own, from wheels, outside a clone."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from features.storage.row_reader import open_reader
from flows.serving.served_run import ServedRun
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


def _stored_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert files
    states = [path.stat() for path in files]
    return {
        str(path): (state.st_size, state.st_mtime_ns)
        for path, state in zip(files, states, strict=True)
    }


def test_a_plugin_is_learned_from_and_required_where_it_is_missing(
    environment: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
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
    stored = _stored_files(output / "features")
    for arguments in (["score", "--config", config], ["report"], ["monitor"], ["explain", "c0003"]):
        refused = subprocess.run(
            [sys.executable, "-m", "flows.commands.cli", *arguments, "--output", output],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        assert refused.returncode == 2, refused.stderr
        assert "pip install stagecast-weekend==0.1.0" in refused.stderr
        assert _stored_files(output / "features") == stored, arguments
    served = ServedRun(output, open_reader(output))
    with caplog.at_level(logging.WARNING, "stagecast.serve"):
        assert served.refresh() is False
        assert served.refresh() is False
    (logged,) = [record for record in caplog.records if record.name == "stagecast.serve"]
    assert "pip install stagecast-weekend==0.1.0" in logged.getMessage()
    again = _stagecast(environment, tmp_path, "score", "--output", output)
    assert again.returncode == 0, again.stderr
