"""A scorer in a local registry is read without MLflow, or left to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models.registry import registry
from models.registry.local_scorer import local_scorer
from models.registry.tracking import Tracking, open_tracking
from models.registry.version import SCORER
from tests.models.registry.test_registry import HEAD, make_part

ROOT = Path(__file__).parents[3]
WITHOUT_MLFLOW = """
import sys
from pathlib import Path
from models.registry.local_scorer import local_scorer
scorer = local_scorer(Path(sys.argv[1]), "stagecast-scorer", 1)
assert "mlflow" not in sys.modules
print(sorted(scorer.parts))
"""


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = open_tracking(tmp_path_factory.mktemp("out put+1 é"))
        with store.run("fit") as run:
            parts = {"churn": make_part(0)}
            registry.log_version(run, SCORER, parts, head=HEAD, description="", tags={})
        return store


def output_of(tracking: Tracking) -> Path:
    return registry.artifacts(tracking, SCORER, 1).parents[3]


def test_it_is_what_mlflow_loads(tracking: Tracking) -> None:
    scorer = local_scorer(output_of(tracking), SCORER, 1)
    loaded = registry.load(tracking, version=1)
    assert scorer is not None
    assert scorer.head == loaded.scorer.head
    assert scorer.folder == loaded.folder
    assert list(scorer.parts) == list(loaded.scorer.parts)
    read, logged = scorer.parts["churn"], loaded.scorer.parts["churn"]
    assert type(read) is type(logged)  # the code that was logged, not today's
    assert read.parameters == logged.parameters


def test_mlflow_is_not_imported(tracking: Tracking) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MLFLOW, str(output_of(tracking))],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "['churn']\n"


def test_what_is_elsewhere_or_damaged_is_left_to_mlflow(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = output_of(tracking)
    assert local_scorer(output, SCORER, 2) is None
    assert local_scorer(output / "none", SCORER, 1) is None
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://server")
        assert local_scorer(output, SCORER, 1) is None
    head = registry.artifacts(tracking, SCORER, 1) / "artifacts" / "scorer" / "scorer.json"
    content = head.read_bytes()
    head.write_bytes(content.replace(b"1", b"2", 1))
    try:
        assert local_scorer(output, SCORER, 1) is None
    finally:
        head.write_bytes(content)
    assert local_scorer(output, SCORER, 1) is not None
