"""The commands of README and docs run as they stand there, one after the other, in a fresh clone.

First the three commands of docs/own-data.md, in an environment that knows only pip; then, in the
folder they leave, the blocks of the other pages. Run with `pytest -m services`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import yaml

from flows.services.workspace import Workspace
from tests.flows.shop import another_champion
from tests.page_blocks import ROOT, Block, all_blocks

pytestmark = pytest.mark.services

HERE = "tests/flows/test_pages_run.py"
# In the order in which a reader could follow them; the person is erased last.
ORDER = (
    "docs/own-data.md",
    "README.md",
    "docs/operate.md",
    "docs/monitoring.md",
    "docs/consume.md",
    "docs/exports.md",
    "docs/howto-subscriptions.md",
    "docs/privacy.md",
)
BLOCKS = [block for block in all_blocks() if block.runs_in == HERE]
# The monitor's exit code for an alarm.
ALSO_FINE = {"docs/monitoring.md": (3,)}
NOT_OURS = (
    "VIRTUAL_ENV",
    "PYTHONDONTWRITEBYTECODE",
    "PREFECT_API_URL",
    "MLFLOW_TRACKING_URI",
    "UV",
)


@dataclass(frozen=True)
class Place:
    """A clone, and the environment of the reader's shell."""

    folder: Path
    environment: dict[str, str]

    def run(self, block: Block) -> str:
        """What the block prints."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.commands()],
            cwd=self.folder,
            env=self.environment,
            input="",
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        assert done.returncode in (0, *ALSO_FINE.get(block.page, ())), done.stdout + done.stderr
        return done.stdout

    def report(self, output: str) -> str:
        """The latest report of an output folder."""
        reports = sorted((self.folder / output / "runs").glob("*/report.html"))
        assert reports, f"no report in {output}"
        return max(reports, key=lambda path: path.stat().st_mtime).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A clone as it would be after a commit, and a shell whose Python has nothing but pip."""
    folder, tools = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("tools")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv is not None, "uv makes the environment: run the tests by `uv run pytest`"
    made = [uv, "venv", "--quiet", "--seed", "--python", sys.executable, tools / "env"]
    subprocess.run(made, check=True)
    own = {str(Path(sys.executable).parent), str(Path(uv).parent)}
    others = [p for p in os.environ["PATH"].split(os.pathsep) if p not in own]
    # What the pages leave to the reader's machine: a program that opens a page.
    _program(tools / "open", 'for page; do test -s "$page" && echo "opened $page"; done')
    paths = [tools / "env" / "bin", tools, folder / ".venv" / "bin", *others]
    environment = {k: v for k, v in os.environ.items() if k not in NOT_OURS}
    environment |= {"PATH": os.pathsep.join(map(str, paths)), "COLUMNS": "160"}
    yield Place(folder, environment)
    shutil.rmtree(folder, ignore_errors=True)


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/usr/bin/env bash\nset -e\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def of(page: str) -> list[Block]:
    found = [block for block in BLOCKS if block.page == page]
    assert found, f"{page}: no block is marked as run here"
    return found


def test_every_page_has_its_place_in_the_order() -> None:
    assert {block.page for block in BLOCKS} == set(ORDER)


def test_own_orders_become_a_report_in_three_commands(place: Place) -> None:
    (block,) = of("docs/own-data.md")
    commands = block.commands().splitlines()
    assert len(commands) == 3
    place.run(block)
    report = place.report("my-shop")
    orders = pd.read_csv(place.folder / "configs" / "example" / "orders.csv")
    customers = orders["customer"].nunique()
    assert f"Everyone: {customers:,} customers" in report
    config = yaml.safe_load((place.folder / "my-shop.yaml").read_text(encoding="utf-8"))
    assert f"<h1>{config['name']} " in report
    assert "src=" not in re.sub(r"<script.*?</script>", "", report, flags=re.S)
    with duckdb.connect(str(place.folder / "my-shop" / "stagecast.duckdb"), read_only=True) as db:
        assert db.sql("SELECT count(*) FROM customer_scores").fetchone() == (customers,)
    page = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
    for told in re.findall(r"\| `(my-shop/[^`]+)` \|", page):
        assert list(place.folder.glob(told.replace("<run>", "*"))), told


def test_the_readme_s_three_commands_are_those_of_the_page_and_open_its_report(
    place: Place,
) -> None:
    (block,), (page,) = of("README.md"), of("docs/own-data.md")
    looked, ran, opened = block.commands().splitlines()
    # The page's commands were run above; the README's name another file and leave the rest.
    names = {"configs/example/orders.csv": "orders.csv", "--output my-shop.yaml ": ""}
    names |= {"my-shop.yaml": "orders.yaml"}
    for said, theirs in zip((looked, ran), page.commands().splitlines()[1:], strict=True):
        for name, other in names.items():
            theirs = theirs.replace(name, other)
        assert said.split("#")[0].strip() == theirs
    assert place.run(replace(block, text=opened)).count("opened my-shop/runs/") >= 1


def test_the_operator_s_commands(place: Place) -> None:
    back, fill = of("docs/operate.md")
    another_champion(Workspace(place.folder / "my-shop").tracking())
    assert "champion" in place.run(back)
    place.run(fill)
    with duckdb.connect(str(place.folder / "my-shop" / "stagecast.duckdb"), read_only=True) as db:
        dates = db.sql("SELECT count(DISTINCT snapshot_at) FROM customer_scores_history").fetchone()
    assert dates is not None
    assert dates[0] >= 4


def test_the_monitor_s_commands(place: Place) -> None:
    (block,) = of("docs/monitoring.md")
    assert '"findings"' in place.run(block)


def test_events_are_scored_from_a_pipe(place: Place) -> None:
    (block,) = of("docs/consume.md")
    told = json.loads(place.run(block))
    assert "c1" in json.dumps(told)


def test_lists_leave_the_house_once_they_are_confirmed(place: Place) -> None:
    (block,) = of("docs/exports.md")
    planned, confirmed = block.commands().splitlines()
    config = place.folder / "my-shop.yaml"
    page = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"```yaml\n(consent: managed_elsewhere.*?)```", page, re.S)
    text = config.read_text(encoding="utf-8").replace("consent: not_recorded\n", said)
    config.write_text(text, encoding="utf-8")
    runs = place.folder / "my-shop" / "runs"
    place.run(replace(block, text=planned))
    assert not list(runs.glob("*/exports/csv/*.csv"))
    place.run(replace(block, text=confirmed))
    assert [path.name for path in runs.glob("*/exports/csv/*.csv")] == ["win_back.csv"]


def test_a_subscription_s_churn_is_its_cancellation(place: Place) -> None:
    for block in of("docs/howto-subscriptions.md"):
        place.run(block)
    output = place.folder / "my-subscriptions"
    with duckdb.connect(str(output / "stagecast.duckdb"), read_only=True) as db:
        scores = db.sql("SELECT stage, churn_eligible, p_churn FROM customer_scores").df()
    assert scores["churn_eligible"].nunique() == 2
    assert (scores["p_churn"].notna() == scores["churn_eligible"]).all()
    report = place.report("my-subscriptions")
    assert "Everyone:" in report


def test_a_person_is_shown_and_erased(place: Place) -> None:
    (block,) = of("docs/privacy.md")
    person = re.findall(r"erase (\S+)", block.text)[0]
    place.run(block)
    assert person in (place.folder / "person.json").read_text(encoding="utf-8")
    with duckdb.connect(str(place.folder / "my-shop" / "stagecast.duckdb"), read_only=True) as db:
        left = db.execute("SELECT count(*) FROM customer_scores WHERE customer_id = ?", [person])
        assert left.fetchone() == (0,)
