"""Two output folders publish into one schema at once: nothing is lost, nothing stands twice."""

from __future__ import annotations

import datetime as dt
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.config.retention import Retention
from features.config.store_location import VARIABLE
from features.errors import UserError
from features.storage import postgres_store
from features.storage.postgres_store import PostgresStore
from features.storage.retention import apply_retention
from features.storage.runs import MARKER_FILE, run_folder, write_parquet
from features.storage.scores_store import (
    clean_unpublished,
    forget_customer,
    publish_run,
    published_runs,
)
from tests.features.storage.test_scores_store import (
    audience_table,
    publish_example,
    record,
    scores_table,
)
from tests.tries import tries

DAYS = tuple(dt.date(2017, month, 1) for month in (9, 10, 11))
PATIENCE = 30  # seconds until a test gives up on a publisher that hangs
# Where one publisher may stand while the other one works. The folder's own steps come before
# the store is opened and after it is closed.
BOUNDARIES = (
    "runs read",
    "files inspected",
    "files synced",
    "scores written",
    "audience written",
    "before commit",
    "committed",
    "marked",
)


class Stepper:
    """Holds named threads at boundaries of the fault injection until they may go on."""

    def __init__(self) -> None:
        self.stops: dict[str, str] = {}
        self.reached: dict[str, threading.Event] = {}
        self.let_go: dict[str, threading.Event] = {}

    def __call__(self, at: str) -> None:
        name = threading.current_thread().name
        if self.stops.get(name) == at:
            del self.stops[name]
            self.reached[name].set()
            assert self.let_go[name].wait(PATIENCE)

    def stop(self, name: str, at: str) -> None:
        self.stops[name] = at
        self.reached[name], self.let_go[name] = threading.Event(), threading.Event()


class Publisher(threading.Thread):
    """A publication in a thread of its own, and what came of it."""

    def __init__(self, name: str, act: Callable[[], Any]) -> None:
        super().__init__(name=name, daemon=True)
        self.act, self.error = act, None

    def run(self) -> None:
        try:
            self.act()
        except BaseException as error:  # looked at by whoever joins it
            self.error: BaseException | None = error

    def over(self) -> BaseException | None:
        self.join(PATIENCE)
        assert not self.is_alive(), f"{self.name} hangs"
        return self.error


@pytest.fixture
def stepper(monkeypatch: pytest.MonkeyPatch) -> Stepper:
    made = Stepper()
    monkeypatch.setattr("features.storage.fault_injection.at_boundary", made)
    return made


_numbers = itertools.count()


def new_schema(server: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty schema, which the environment names."""
    url = f"{server.get_uri()}&schema=two{next(_numbers)}"
    monkeypatch.setenv(VARIABLE, url)
    return url


def publication(output: Path, run_id: str, day: dt.date, customers: int = 3) -> Callable[[], Any]:
    """The act of publishing a run whose files are written."""
    run, folder = record(run_id, day), run_folder(output, run_id)
    names = [f"c{number}" for number in range(customers)]
    scores = write_parquet(folder / "scores" / "0.parquet", scores_table(run, names, 1.0))
    members = dict.fromkeys(names[:2], "added")
    audience = write_parquet(folder / "audience.parquet", audience_table(run, members))
    return lambda: publish_run(output, run, scores=[scores], audience=audience)


def check_whole(url: str, published: dict[str, dt.date]) -> None:
    """Every run that was published, and no other, is there once, with all its rows, once."""
    store = PostgresStore.of(Path(), url)
    runs = store.runs()
    assert sorted(run.run_id for run in runs) == sorted(published)
    assert len({run.sequence for run in runs}) == len(runs)
    assert sum(run.is_current for run in runs) == bool(runs)
    latest = {run.snapshot_at: run.run_id for run in runs}
    for run in runs:
        status = "published" if latest[run.snapshot_at] == run.run_id else "superseded"
        assert run.status == status
    kept = {run.sequence for run in runs if run.status == "published"}
    with psycopg.connect(**store.parameters) as con:
        for table, each in (("score_rows", 3), ("audience_rows", 2)):
            rows = con.execute(
                f"SELECT publication, count(*) FROM {store.schema}.{table} GROUP BY 1"
            ).fetchall()
            assert dict(rows) == dict.fromkeys(kept, each)


@pytest.mark.services
@settings(max_examples=tries(30))
@given(data=st.data())
def test_whatever_the_order_of_two_publishers_nothing_is_lost_or_doubled(
    data: st.DataObject, server: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One stops at a boundary, the other one does its work meanwhile, wholly or up to another."""
    with pytest.MonkeyPatch.context() as patch:
        stepper, folder = Stepper(), tmp_path_factory.mktemp("two")
        patch.setattr("features.storage.fault_injection.at_boundary", stepper)
        patch.setattr(postgres_store, "LOCK_WAIT", data.draw(st.sampled_from(["50ms", "20s"])))
        url = new_schema(server, patch)
        published = {}
        for number in range(data.draw(st.integers(0, 2), label="runs before")):
            publication(folder / "ab"[number], f"old{number}", DAYS[number])()
            published[f"old{number}"] = DAYS[number]
        days = {name: data.draw(st.sampled_from(DAYS), label=name) for name in ("a", "b")}
        acts = {name: publication(folder / name, f"new-{name}", day) for name, day in days.items()}
        first, second = (Publisher(name, acts[name]) for name in ("a", "b"))
        stepper.stop("a", data.draw(st.sampled_from(BOUNDARIES), label="a stops"))
        stepper.stop("b", data.draw(st.sampled_from(BOUNDARIES), label="b stops"))
        first.start()
        assert stepper.reached["a"].wait(PATIENCE)
        second.start()
        # The other one gets somewhere, waits for the lock, or is refused.
        stepper.reached["b"].wait(0.3)
        order = data.draw(st.permutations(["a", "b"]), label="goes on first")
        for name in order:
            stepper.let_go[name].set()
        for publisher in (first, second):
            error = publisher.over()
            if error is None:
                published[f"new-{publisher.name}"] = days[publisher.name]
            else:
                assert isinstance(error, UserError), error
                assert "another run" in str(error)
                assert publisher is second  # who came first is never thrown out
        check_whole(url, published)
        # Who was refused comes again, and nobody's folder loses what is published.
        for name, day in days.items():
            if f"new-{name}" not in published:
                acts[name]()
                published[f"new-{name}"] = day
            assert clean_unpublished(folder / name) == []
            assert (run_folder(folder / name, f"new-{name}") / MARKER_FILE).is_file()
        check_whole(url, published)


@pytest.mark.services
@pytest.mark.parametrize("at", BOUNDARIES)
@pytest.mark.parametrize("other", ["publish", "clean", "forget", "retain"])
def test_at_every_boundary_the_other_one_waits_or_is_refused_by_one_message(
    tmp_path: Path,
    server: Any,
    stepper: Stepper,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
    other: str,
) -> None:
    monkeypatch.setattr(postgres_store, "LOCK_WAIT", "50ms")
    url = new_schema(server, monkeypatch)
    published = {"old0": DAYS[0], "old1": DAYS[1]}
    publication(tmp_path / "a", "old0", DAYS[0])()
    publication(tmp_path / "b", "old1", DAYS[1])()
    acts: dict[str, Callable[[], Any]] = {
        "publish": publication(tmp_path / "b", "new-b", DAYS[2]),
        "clean": lambda: clean_unpublished(tmp_path / "b", keep=["new-b"]),
        "forget": lambda: forget_customer(tmp_path / "b", "nobody"),
        "retain": lambda: apply_retention(tmp_path / "b", Retention(exports_days=1)),
    }
    first = Publisher("a", publication(tmp_path / "a", "new-a", DAYS[2]))
    stepper.stop("a", at)
    first.start()
    assert stepper.reached["a"].wait(PATIENCE)
    second = Publisher("b", acts[other])
    second.start()
    error = second.over()
    if at in ("committed", "marked"):
        assert error is None
    else:
        assert isinstance(error, UserError)
        assert "another run that is publishing there" in str(error)
    # Who only reads never waits, and sees what was whole before.
    names = {run.run_id for run in published_runs(tmp_path / "b")}
    assert ("new-a" in names) == (at in ("committed", "marked"))
    stepper.let_go["a"].set()
    assert first.over() is None
    published["new-a"] = DAYS[2]
    if other == "publish":
        if error is not None:
            acts["publish"]()
        published["new-b"] = DAYS[2]
    check_whole(url, published)


@pytest.mark.services
def test_one_who_waits_sees_what_the_other_one_has_published(
    tmp_path: Path, server: Any, stepper: Stepper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the case that was found: the run of the one in between was deleted without a word."""
    url = new_schema(server, monkeypatch)
    publication(tmp_path / "a", "r1", DAYS[0])()
    first = Publisher("a", publication(tmp_path / "a", "r2", DAYS[1]))
    second = Publisher("b", publication(tmp_path / "b", "r3", DAYS[2]))
    stepper.stop("a", "files inspected")
    first.start()
    assert stepper.reached["a"].wait(PATIENCE)
    second.start()
    second.join(0.5)
    assert second.is_alive()  # it waits
    stepper.let_go["a"].set()
    assert (first.over(), second.over()) == (None, None)
    check_whole(url, {"r1": DAYS[0], "r2": DAYS[1], "r3": DAYS[2]})
    assert [run.sequence for run in PostgresStore.of(tmp_path, url).runs()] == [1, 2, 3]


@pytest.mark.services
def test_of_two_data_sets_that_begin_at_once_one_is_refused(
    tmp_path: Path, server: Any, stepper: Stepper, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_schema(server, monkeypatch)
    first = Publisher("a", publication(tmp_path / "a", "r1", DAYS[0]))
    run = record("r2", DAYS[1], dataset="other")
    publication(tmp_path / "b", "r2", DAYS[1])
    files = run_folder(tmp_path / "b", "r2")
    second = Publisher(
        "b",
        lambda: publish_run(
            tmp_path / "b", run, scores=[files / "scores" / "0.parquet"],
            audience=files / "audience.parquet",
        ),
    )  # fmt: skip
    stepper.stop("a", "runs read")
    first.start()
    assert stepper.reached["a"].wait(PATIENCE)
    second.start()
    second.join(0.3)
    stepper.let_go["a"].set()
    assert first.over() is None
    error = second.over()
    assert isinstance(error, UserError)
    assert "'shop'" in str(error)


OTHER_PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from features.errors import UserError
from tests.features.storage.test_scores_store import NOVEMBER, publish_example, record
try:
    publish_example(Path(sys.argv[2]), record("r2", NOVEMBER), ["a", "b"])
except UserError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.mark.parametrize("at", ["runs read", "files inspected", "store built", "renamed"])
def test_another_process_is_kept_out_of_the_folder_at_every_boundary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """The DuckDB store lies in the output folder, whose lock holds from reading to renaming."""
    publish_example(tmp_path, record("r0", DAYS[0]), ["a"])
    root = str(Path(__file__).resolve().parents[3])
    told: list[str] = []

    def other(name: str) -> None:
        if name == at and not told:
            command = [sys.executable, "-c", OTHER_PROCESS, root, str(tmp_path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            told.append(done.stderr)

    monkeypatch.setattr("features.storage.fault_injection.at_boundary", other)
    publish_example(tmp_path, record("r1", DAYS[1]), ["a", "b", "c"])
    assert "another run writing there" in told[0]
    assert '"r1"' in told[0]
    assert [run.run_id for run in published_runs(tmp_path)] == ["r0", "r1"]
    monkeypatch.undo()
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, root, str(tmp_path)], check=False, timeout=120
    )
    assert done.returncode == 0
    assert [run.run_id for run in published_runs(tmp_path)] == ["r0", "r1", "r2"]
