"""`stagecast check`: all problems of a config in one answer, in seconds, before anything begins."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.export_schema import load_targets
from campaigns.playbook_loading import load_playbooks
from features.config import config as configs
from features.errors import UserError
from features.lifecycle.crm_stage_reading import read_records
from features.sources.acquisition_spend import read_spend
from features.sources.customer_attributes import customer_facts
from features.sources.duckdb_connection import connect
from features.sources.events import read_source
from features.sources.identity_links import read_identities
from features.sources.products import read_products
from features.sources.sampling import only_samples
from features.sources.source_checks import check_source, refuse_unknown_words
from flows.checks.check import check_config, prepare_checked
from flows.checks.machine import check_disk
from flows.services.sends import configured_sends
from flows.services.workspace import latest_event_day, prepare_workspace
from tests.broken_shop import FAULTS, STAGE_FAULTS, Draft, Fault, draft
from tests.flows.shop import stagecast
from tests.tries import tries


def problems(shop: Draft, folder: Path, *, groups: Any = None) -> list[UserError]:
    path = shop.write(folder)
    given_groups = {} if groups is None else {"groups": groups}
    return check_config(folder / "out", str(path), **given_groups).problems.errors


def test_the_shop_is_in_order(tmp_path: Path) -> None:
    assert [str(problem) for problem in problems(draft(), tmp_path)] == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", [*FAULTS, *STAGE_FAULTS], ids=lambda f: "-".join(f.said)[:50])
def test_every_fault_alone_is_one_problem(fault: Fault, tmp_path: Path) -> None:
    shop = draft()
    fault.apply(shop)
    found = problems(shop, tmp_path)
    told = [str(problem) for problem in found if names(problem, fault)]
    assert len(told) == 1, [str(problem) for problem in found]
    if fault not in STAGE_FAULTS:
        assert len(found) == 1, [str(problem) for problem in found]


def names(problem: UserError, fault: Fault) -> bool:
    return all(part in str(problem) for part in fault.said)


def one_of_each_area() -> st.SearchStrategy[list[Fault]]:
    areas: dict[str, list[Fault]] = {}
    for fault in FAULTS:
        areas.setdefault(fault.area, []).append(fault)
    chosen = st.lists(st.sampled_from(sorted(areas)), min_size=2, max_size=9, unique=True)
    return chosen.flatmap(lambda names: st.tuples(*(st.sampled_from(areas[n]) for n in names))).map(
        list
    )


@settings(max_examples=tries(20), deadline=None)
@given(one_of_each_area())
def test_all_faults_together_are_told(faults: list[Fault]) -> None:
    shop = draft()
    for fault in faults:
        fault.apply(shop)
    folder = Path(tempfile.mkdtemp())
    try:
        found = problems(shop, folder)
    finally:
        shutil.rmtree(folder)
    for fault in faults:
        assert any(names(problem, fault) for problem in found), (fault.said, list(map(str, found)))
    assert len(found) == len(faults), list(map(str, found))


CELLS = ["", "yes", "ja", "maybe", "2024-02-30", "2024-03-01", "-1", "1e5000", "9" * 5000, "x,y",
         "NaN", "\u00a0", "c0", "purchase", "Prospect"]  # fmt: skip
TABLES = sorted(name for name in draft().files if name.endswith(".csv"))


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, int, int, str]:
    name = draw(st.sampled_from(TABLES))
    lines = draft().files[name].splitlines()
    row = draw(st.integers(0, len(lines) - 1))
    column = draw(st.integers(0, len(lines[0].split(",")) - 1))
    return name, row, column, draw(st.sampled_from(CELLS))


def edited(shop: Draft, name: str, row: int, column: int, cell: str) -> None:
    lines = shop.files[name].splitlines()
    cells = lines[row].split(",")
    cells[column] = cell
    lines[row] = ",".join(cells)
    shop.files[name] = "\n".join(lines) + "\n"


def refused_by_readers(path: Path) -> UserError | None:
    """The first error of the code that really reads what a config names."""
    try:
        config = configs.load(path)
        quarantine, at = path.parent / "aside", dt.date(2024, 8, 1)
        for number in range(len(config.sources)):
            read_source(connect(), number, config, latest=latest_event_day(), quarantine=quarantine,
                        staged=path.parent)  # fmt: skip
        read_identities(connect(), config, latest=latest_event_day(), quarantine=quarantine)
        read_records(config, latest=latest_event_day(), quarantine=quarantine)
        read_spend(config)
        customer_facts(config, at)
        read_products(config, at)
        configured_sends(config)
        load_playbooks([Path(name) for name in config.campaigns])
        load_targets([Path(name) for name in config.exports])
    except UserError as error:
        return error
    return None


@settings(max_examples=tries(20), deadline=None)
@given(st.lists(edits(), min_size=1, max_size=2))
def test_the_check_and_the_readers_agree(changes: list[tuple[str, int, int, str]]) -> None:
    shop = draft()
    for name, row, column, cell in changes:
        edited(shop, name, row, column, cell)
    folder = Path(tempfile.mkdtemp())
    try:
        found, refused = problems(shop, folder), refused_by_readers(folder / "shop.yaml")
    finally:
        shutil.rmtree(folder)
    assert bool(found) == (refused is not None), (list(map(str, found)), str(refused))


def test_a_sample_refuses_nothing_that_is_in_order(tmp_path: Path) -> None:
    path = draft().write(tmp_path)
    with only_samples(rows=7, whole_bytes=0) as sampling:
        config = configs.load(path)
        assert check_source(config, 0, connect(), latest=latest_event_day()) == 7
        customer_facts(config, dt.date(2024, 8, 1))
        refuse_unknown_words(config, sampling)
    assert "orders.csv" in sampling.cut


def test_an_odd_word_behind_the_sample_is_told(tmp_path: Path) -> None:
    shop = draft()
    rows = "".join(f"x{n},,yes,no,2024-01-02\n" for n in range(50))
    shop.files["customers.csv"] += rows + "z,,peut-etre,no,2024-01-02\n"
    config = configs.load(shop.write(tmp_path))
    with only_samples(rows=10, whole_bytes=0) as sampling:
        customer_facts(config, dt.date(2024, 8, 1))
        with pytest.raises(UserError, match="peut_etre"):
            refuse_unknown_words(config, sampling)


def test_the_command_lists_all_and_exits_with_2(tmp_path: Path) -> None:
    shop = draft()
    for fault in (f for f in FAULTS if f.said[0] in ("products", "timezone")):
        fault.apply(shop)
    config = shop.write(tmp_path)
    done = stagecast("check", "--config", config, "--output", tmp_path / "out", "--json", "-")
    assert done.returncode == 2
    assert "2 problems" in done.stderr
    answer = json.loads(done.stdout)
    assert [sorted(problem) for problem in answer["problems"]] == [
        ["expected", "found", "hint", "where"]
    ] * 2
    assert not answer["ok"]
    assert {row["state"] for row in answer["checked"]} == {"ok", "bad"}
    assert not (tmp_path / "out").exists()


def test_the_command_is_content_with_the_example(tmp_path: Path) -> None:
    code = (
        "import sys; from flows.commands.cli import main\n"
        "sys.argv = ['stagecast', 'check', '--config', 'configs/completejourney.yaml',"
        f" '--output', {str(tmp_path / 'out')!r}]\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code\n"
        "assert not {'prefect', 'mlflow', 'sklearn', 'lightgbm'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "bad" not in done.stdout


def test_a_bad_consent_column_stops_a_run_before_anything_begins(tmp_path: Path) -> None:
    shop = draft()
    shop.replace("customers.csv", "example,yes", "example,ja")
    shop.replace("consents.csv", "email,granted", "email,nein")
    config, output = shop.write(tmp_path), tmp_path / "out"
    done = stagecast("run", "--config", config, "--output", output)
    assert done.returncode == 2
    assert "ja: yes" in done.stderr
    assert "nein: no" in done.stderr
    for name in ("prefect.db", "mlflow.db", "training", "features", "config.yaml", "runs"):
        assert not (output / name).exists()


def test_a_step_that_is_refused_leaves_the_config_of_the_folder(tmp_path: Path) -> None:
    shop = draft()
    output = tmp_path / "out"
    prepare_workspace(output, str(shop.write(tmp_path)), ())
    before = (output / "config.yaml").read_text(encoding="utf-8")
    (tmp_path / "consents.csv").unlink()
    with pytest.raises(UserError, match=r"consents\.csv"):
        prepare_checked(output, None, ("seed=7",))
    assert (output / "config.yaml").read_text(encoding="utf-8") == before


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", "PREFECT_API_URL"])
@pytest.mark.parametrize("login", ["me:s3cret@", ""])
def test_services_out_of_reach_are_told_without_their_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, login: str
) -> None:
    monkeypatch.setenv(variable, f"http://{login}127.0.0.1:9/api")
    (found,) = problems(draft(), tmp_path, groups=("machine",))
    assert found.where == variable
    assert "s3cret" not in str(found)


def test_a_database_out_of_reach_is_told_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:s3cret@127.0.0.1:9/models")
    monkeypatch.setenv("STAGECAST_STORE_URL", "postgresql://me:s3cret@127.0.0.1:9/scores")
    found = problems(draft(), tmp_path, groups=("machine",))
    assert len(found) == 2
    assert "s3cret" not in " ".join(map(str, found))


def test_a_file_in_the_place_of_the_output_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    found = problems(draft(), tmp_path, groups=("machine",))
    assert {problem.where for problem in found} == {"--output"}


def test_too_small_a_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = draft().write(tmp_path)
    # A sparse file: large for whoever looks, and nothing on the disk.
    with (tmp_path / "orders.csv").open("r+b") as file:
        file.truncate(2**42)
    with pytest.raises(UserError, match="free where"):
        check_disk(configs.load(path), tmp_path)
