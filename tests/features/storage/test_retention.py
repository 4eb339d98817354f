"""Old runs and exports go when their time is over, and the current run never does."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from features.config.retention import Retention
from features.storage.retention import apply_retention
from features.storage.runs import run_folder
from features.storage.scores_store import published_runs, read_current, store_of
from tests.features.storage.test_scores_store import history, publish_example, record

DAYS = [dt.date(2017, 1, 1) + dt.timedelta(days=n) for n in (0, 60, 95, 100)]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Four runs, each with audience files and a report."""
    for number, day in enumerate(DAYS):
        publish_example(tmp_path, record(f"r{number}", day), ["a"], clv=float(number))
        folder = run_folder(tmp_path, f"r{number}")
        for name in ("audiences", "exports", "report"):
            (folder / name).mkdir()
            (folder / name / "x.csv").write_text("customer_id\na\n")
    return tmp_path


def test_nothing_is_removed_by_default(output: Path) -> None:
    assert apply_retention(output, Retention()) == {"exports": 0, "runs": 0}
    assert len(history(output)) == 4


def test_exports_go_first_and_whole_runs_later(output: Path) -> None:
    limits = Retention(exports_days=10, history_days=50)
    assert apply_retention(output, Retention(history_days=50)) == {"exports": 0, "runs": 1}
    assert not run_folder(output, "r0").exists()
    assert [run.run_id for run in published_runs(output)] == ["r1", "r2", "r3"]
    assert [row[2] for row in history(output)] == [1.0, 2.0, 3.0]
    assert apply_retention(output, Retention(exports_days=10)) == {"exports": 1, "runs": 0}
    assert not (run_folder(output, "r1") / "exports").exists()
    assert (run_folder(output, "r2") / "exports" / "x.csv").exists()
    assert len(history(output)) == 3  # scores and audience of a lighter run stay in the history
    assert apply_retention(output, limits) == {"exports": 0, "runs": 0}


def test_the_current_run_stays_whatever_its_age(output: Path) -> None:
    publish_example(output, record("late", dt.date(2018, 1, 1), kind="backfill"), ["a"])
    apply_retention(output, Retention(exports_days=1, history_days=1))
    assert read_current(output).run.run_id == "r3"


def test_a_removal_that_was_killed_is_finished_the_next_time(output: Path) -> None:
    store = store_of(output)
    store.drop_runs([run for run in store.runs() if run.run_id == "r0"])
    assert run_folder(output, "r0").exists()  # killed here
    assert apply_retention(output, Retention(history_days=50)) == {"exports": 0, "runs": 1}
    assert not run_folder(output, "r0").exists()
    assert [row[2] for row in history(output)] == [1.0, 2.0, 3.0]
    assert apply_retention(output, Retention(history_days=50)) == {"exports": 0, "runs": 0}
