"""A command that is killed leaves no process behind, and a disk that fills up no half result."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from features.storage.scores_store import read_current
from flows.services import prefect_server
from flows.services.flow_history import noted_runs
from tests.disks import small_disk
from tests.flows.shop import stagecast, write_shop

ROOT = Path(__file__).parents[2]
ENDINGS = [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP]
SECONDS = 120  # for what takes one: a busy machine is no failure

PARENT = """
    import os, subprocess, sys, time
    from flows.services.ends_with_parent import child_command
    child = subprocess.Popen(child_command("sleeper", "a word"), start_new_session=True)
    os.write(1, f"{child.pid}\\n".encode())  # at once: the child writes to the same pipe
    if sys.argv[1:] == ["at once"]:
        sys.exit()  # before the child has begun to watch
    time.sleep(600)
"""
SLEEPER = """
    import os, sys, time
    assert sys.argv[1:] == ["a word"] and __name__ == "__main__"
    os.write(1, b"asleep\\n")
    time.sleep(600)
"""


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all of them end."""
    _, alive = psutil.wait_procs(processes, timeout=SECONDS)
    for process in alive:
        process.kill()
    return not alive


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    (folder / "sleeper.py").write_text(textwrap.dedent(SLEEPER))
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_child_ends_with_its_parent(tmp_path: Path, ending: signal.Signals) -> None:
    with started(tmp_path) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert parent.stdout.readline() == "asleep\n"
        assert child.is_running()
        parent.send_signal(ending)
        assert gone([child])


def test_a_child_notices_a_parent_that_has_gone_before(tmp_path: Path) -> None:
    with started(tmp_path, "at once") as parent:
        assert parent.stdout is not None
        number = int(parent.stdout.readline())
        parent.wait()
    assert not psutil.pid_exists(number) or gone([psutil.Process(number)])


def test_a_server_that_does_not_start_is_told(tmp_path: Path) -> None:
    server = prefect_server.OwnServer(module="json.tool", arguments=("none",), env={})
    with pytest.raises(prefect_server.UserError, match=r"(?s)it ended with.*prefect\.db"):
        server.wait(tmp_path / "prefect.db")
    server.stop()


def family(command: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The command and all that it started, once its Prefect server is among them."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and command.poll() is None:
        children = psutil.Process(command.pid).children(recursive=True)
        if any("flows.services.ends_with_parent" in child.cmdline() for child in children):
            time.sleep(2)  # somewhere between its start and its end
            return [*psutil.Process(command.pid).children(recursive=True)]
        time.sleep(0.1)
    raise AssertionError("the command has started no Prefect server")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that shows runs on Prefect's page, which starts a server."""
    command = [sys.executable, "-m", "flows.commands.cli", "runs", "--serve"]
    return [*command, "--output", str(tmp_path_factory.mktemp("killed"))]


def without_server() -> dict[str, str]:
    """The environment, in which no Prefect server is named."""
    return {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_killed_flow_leaves_no_process_and_counts_as_crashed(
    tmp_path: Path, ending: signal.Signals
) -> None:
    config, output = write_shop(tmp_path, customers=40), tmp_path / "out"
    arguments = ("features", "--config", str(config), "--output", str(output))
    command = [sys.executable, "-m", "flows.commands.cli", *arguments]
    with subprocess.Popen(command, env=without_server(), stderr=subprocess.DEVNULL) as running:
        while not noted_runs(output) and running.poll() is None:
            time.sleep(0.01)
        children = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(ending)
        running.wait()
    assert gone(children)
    assert noted_runs(output)[0].state == "CRASHED"


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_killed_command_leaves_no_server(page: list[str], ending: signal.Signals) -> None:
    with subprocess.Popen(page, env=without_server(), stderr=subprocess.DEVNULL) as command:
        children = family(command)
        assert children
        command.send_signal(ending)
        command.wait()
    assert gone(children)


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.slow
def test_a_closed_terminal_leaves_no_process(page: list[str]) -> None:
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        page, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=without_server(), preexec_fn=_own_terminal,
    )  # fmt: skip
    os.close(theirs)
    children = family(command)
    os.close(ours)
    command.wait(SECONDS)
    assert gone(children)


@pytest.mark.slow
def test_a_disk_that_fills_up_is_one_message_and_the_old_result_stays(tmp_path: Path) -> None:
    config = write_shop(tmp_path, customers=60)
    with small_disk(tmp_path / "disk", megabytes=96) as disk:
        output = disk.folder / "out"
        arguments = ("run", "--config", str(config), "--output", str(output))
        done = stagecast(*arguments)
        assert done.returncode == 0, done.stderr
        before = read_current(output)
        nightly = ("score", "--output", str(output))
        for moment in ("scoring at", "scored"):
            command = [sys.executable, "-m", "flows.commands.cli", *nightly]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
                assert running.stderr is not None
                said = ""
                for line in running.stderr:
                    said += line
                    if moment in line and not (disk.folder / "filler").exists():
                        disk.fill()
            children = psutil.Process().children(recursive=True)
            assert not [c for c in children if "flows.services.ends_with_parent" in c.cmdline()]
            assert running.returncode == 2, said
            assert "Traceback" not in said
            assert said.count("error: ") == 1
            assert "error: disk: found no space left" in said or "server" in said
            disk.make_room()
            after = read_current(output)
            assert after.run == before.run
            assert after.scores.equals(before.scores)
        done = stagecast(*nightly)
        assert done.returncode == 0, done.stderr
        assert read_current(output).run != before.run
        assert len(read_current(output).scores) == len(before.scores)
