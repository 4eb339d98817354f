"""A killed command, a full disk, a held database: what was published stays, the fix is named."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from features.errors import UserError
from features.storage import fault_injection
from features.storage.atomic_write import (
    finish_replacement,
    new_folder_of,
    remove_replacement_leftovers,
)
from features.table.feature_store import clear_partial
from flows.services.system_errors import as_user_error
from flows.services.workspace import prepare_workspace, settle_config
from tests.features.storage.test_scores_store import publish_example, read_current, record
from tests.flows.shop import write_shop

ROOT = Path(__file__).parents[2]
KILLED = -signal.SIGKILL


def python(script: str, *arguments: object, fault: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), fault_injection.VARIABLE: fault},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


SET = """
    import sys
    from pathlib import Path
    from flows.services.workspace import prepare_workspace
    prepare_workspace(Path(sys.argv[1]), None, ("seed=7",))
    print("prepared", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder with a config, as a finished run leaves it."""
    folder = prepare_workspace(tmp_path / "out", str(write_shop(tmp_path, customers=2)), ()).output
    settle_config(folder, keep=True)
    return folder


@pytest.mark.parametrize("point", ["config written", "config before kept", "config replaced"])
def test_a_killed_command_leaves_the_config_of_the_last_whole_run(output: Path, point: str) -> None:
    before = (output / "config.yaml").read_text()
    assert python(SET, output, fault=point).returncode == KILLED
    prepare_workspace(output, None, ())
    assert (output / "config.yaml").read_text() == before
    assert not (output / "config.yaml.before").exists()


def test_a_second_command_leaves_the_config_of_a_running_one_alone(output: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(SET), str(output)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "prepared\n"
        running = (output / "config.yaml").read_text()
        assert "seed: 7" in running
        with pytest.raises(UserError, match="another run"):
            prepare_workspace(output, None, ("seed=9",))
        prepare_workspace(output, None, ())  # only looks
        settle_config(output, keep=False)
        assert (output / "config.yaml").read_text() == running
        other.kill()
    prepare_workspace(output, None, ())
    assert "seed: 7" not in (output / "config.yaml").read_text()


def test_a_point_ends_the_process_at_the_passing_that_is_named() -> None:
    script = """
        from features.storage.fault_injection import boundary
        for number in range(3):
            print(number, flush=True)
            boundary("written")
    """
    done = python(script, fault="written:2")
    assert (done.returncode, done.stdout) == (KILLED, "0\n1\n")
    assert python(script).stdout == "0\n1\n2\n"


SWAP = """
    import sys
    from pathlib import Path
    from features.storage.atomic_write import replace_folder
    replace_folder(Path(sys.argv[1]), whole="last")
"""


@pytest.mark.parametrize("point", ["fresh is whole", "old is aside", "fresh is in place"])
def test_a_folder_is_the_old_one_or_the_new_one_whole(tmp_path: Path, point: str) -> None:
    place = tmp_path / "training"
    for folder, content in ((place, "old"), (new_folder_of(place), "new")):
        folder.mkdir()
        (folder / "last").write_text(content)
    assert python(SWAP, place, fault=f"training: {point}").returncode == KILLED
    found = (finish_replacement(place, whole="last") / "last").read_text()
    assert found == ("old" if point == "fresh is whole" else "new")
    remove_replacement_leftovers(place, whole="last")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["training"]
    assert (place / "last").read_text() == found


def test_unfinished_feature_files_of_a_killed_run_are_cleared(tmp_path: Path) -> None:
    folder = tmp_path / "features" / "snapshots" / "snapshot_at=2020-01-01"
    folder.mkdir(parents=True)
    (folder / "features.99.partial").touch()
    (folder / "features.parquet").touch()
    clear_partial(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["features.parquet"]


ORPHANS = """
    import os, signal, time
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    from models.evaluation.workers import watched
    if __name__ == "__main__":
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=watched)
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 600)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_the_run_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "run.py"  # spawned workers read it again
    script.write_text(textwrap.dedent(ORPHANS))
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=300,
    )
    # The pipe would stay open while the worker lives: having read to its end tells that it died.
    assert done.returncode == KILLED
    assert int(done.stdout) > 0


FULL = """
    import datetime as dt, resource, sys
    from pathlib import Path
    from features.storage.scores_store import publish_run
    from flows.services.system_errors import as_user_error
    from tests.features.storage.test_scores_store import audience_table, record, run_folder
    from tests.features.storage.test_scores_store import scores_table
    from features.storage.runs import write_parquet
    output, limit = Path(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    run = record("r2", dt.date(2017, 11, 1))
    names = [f"customer {n}" for n in range(20_000)]
    try:
        folder = run_folder(output, run.run_id)
        scores = write_parquet(folder / "scores" / "0.parquet", scores_table(run, names, 2.0))
        audience = write_parquet(folder / "audience.parquet", audience_table(run, {}))
        publish_run(output, run, scores=[scores], audience=audience)
    except Exception as error:
        print(as_user_error(error))
        sys.exit(2)
"""


@pytest.mark.parametrize("limit", [20_000, 300_000])
def test_a_full_disk_is_told_and_the_old_result_stays(tmp_path: Path, limit: int) -> None:
    """The files of the run do not fit (the smaller limit), or the store does not."""
    publish_example(tmp_path, record("r1"), ["a"], clv=1.0)
    done = python(FULL, tmp_path, limit)
    assert done.returncode == 2, done.stderr
    assert "no space left" in done.stdout
    assert read_current(tmp_path).run.run_id == "r1"
    assert not list(tmp_path.glob("*.tmp*"))
    assert python(FULL, tmp_path, 10**9).returncode == 0
    assert len(read_current(tmp_path).scores) == 20_000


def test_a_held_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with sqlite3.connect(path) as holder:
        holder.execute("create table t (x)")
        holder.commit()
        holder.execute("begin exclusive")
        other = sqlite3.connect(path, timeout=0)
        with pytest.raises(sqlite3.OperationalError) as error:
            other.execute("insert into t values (1)")
        wrapped = RuntimeError("a step failed")
        wrapped.__cause__ = error.value
        told = as_user_error(wrapped)
    assert told is not None
    assert "another program has locked" in told.found


def test_a_defect_is_not_taken_for_a_trouble_of_the_machine() -> None:
    assert as_user_error(KeyError("no space left on device")) is None
    assert as_user_error(OSError(errno.ENOENT, "no such file")) is None
    assert as_user_error(OSError(errno.ENOSPC, "full")) is not None
