"""Forks, kills, looks, and starts again."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kills.scenarios import SCENARIOS, Scenario
from benchmarks.kills.stage import Stage
from benchmarks.kills.view import doubled, lost, view
from features.storage import fault_injection

POINT, OPERATION, TIME = "at points", "at file operations", "at random times"
# What Python tells an audit hook of before it happens, where it concerns files.
OPERATIONS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "shutil.rmtree"}


@dataclass(frozen=True)
class Kill:
    """Where a flow is to be killed."""

    kind: str
    name: str = ""
    number: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Course:
    """What an undisturbed run of a flow passes, and what it leaves."""

    points: dict[str, int]
    operations: int
    seconds: float
    before: dict[str, Any]
    after: dict[str, Any]


class Harness:
    """One output folder that every child restores, and the faults."""

    def __init__(self, folder: Path, *, customers: int) -> None:
        self.stage = Stage(folder.resolve(), customers=customers)
        self.stage.prepare()

    def row(self, name: str, *, kills: int, seed: int) -> dict[str, Any]:
        """Kill a flow so many times; one row of the table."""
        scenario = SCENARIOS[name]
        if scenario.fits:
            self.stage.fit()
        course = self.course(scenario)
        planned = plan(course, kills, seed)
        failures = []
        for number, asked in enumerate(planned):
            kill, found = self.killed(scenario, course, asked)
            for said in found:
                failures.append({"kill": number, "where": kill.__dict__, "said": said})
                print(f"{name}: {kill}: {said}", file=sys.stderr, flush=True)
        kinds = Counter(kill.kind for kill in planned)
        bad = {failure["kill"] for failure in failures}
        return {
            "flow": name,
            "faults": len(planned),
            **{kind: kinds[kind] for kind in (POINT, OPERATION, TIME)},
            "points": sorted(course.points),
            "survived": len(planned) - len(bad),
            "rows lost": sum(f["said"].get("lost", 0) for f in failures),
            "rows doubled": sum(f["said"].get("doubled", 0) for f in failures),
            "failures": failures,
        }

    def course(self, scenario: Scenario) -> Course:
        """An undisturbed run."""
        self.stage.restore(scenario.start)
        before = self._child(lambda: view(self.stage.output))
        measured = self._child(lambda: self._measured(scenario))
        if "error" in measured:
            raise RuntimeError(f"undisturbed, the flow failed:\n{measured['error']}")
        return Course(**measured, before=before)

    def _measured(self, scenario: Scenario) -> dict[str, Any]:
        passed: Counter[str] = Counter()
        operations = [0]
        fault_injection.at_boundary = lambda at: passed.update([at])
        sys.addaudithook(_counting(operations, lambda: None, self.stage.output))
        begun = os.times()
        scenario.run(self.stage)
        spent = os.times()
        fault_injection.at_boundary = None
        count = operations[0]
        seconds = spent.user + spent.system - begun.user - begun.system
        return {
            "points": dict(passed),
            "operations": count,
            "seconds": seconds,
            "after": view(self.stage.output),
        }

    def killed(
        self, scenario: Scenario, course: Course, kill: Kill
    ) -> tuple[Kill, list[dict[str, Any]]]:
        """The kill as it happened, and what is wrong after it; empty where nothing is."""
        while True:
            self.stage.restore(scenario.start)
            status = _forked(partial(self._disturbed, scenario, kill))
            if os.WIFSIGNALED(status):
                break
            if os.WEXITSTATUS(status) != 0:
                return kill, [{"what": "the flow failed by itself"}]
            kill = _earlier(kill)  # it came to its end before
        found = self._child(lambda: self._looked_and_run_again(scenario))
        return kill, list(_judged(found, course, scenario))

    def _disturbed(self, scenario: Scenario, kill: Kill) -> None:
        _armed(kill, self.stage.output)
        scenario.run(self.stage)

    def _looked_and_run_again(self, scenario: Scenario) -> dict[str, Any]:
        at_once = view(self.stage.output)
        scenario.run(self.stage)
        return {"at once": at_once, "again": view(self.stage.output)}

    def _child(self, work: Callable[[], Any]) -> Any:
        """Result of some work in a process of its own; this one must start no thread."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            try:
                said = {"result": work()}
            except BaseException:
                said = {"error": traceback.format_exc()}
            with os.fdopen(writer, "w") as out:
                json.dump(said, out)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as source:
            text = source.read()
        os.waitpid(pid, 0)
        said = json.loads(text)
        return said["result"] if "result" in said else {"error": said["error"]}


def plan(course: Course, kills: int, seed: int) -> list[Kill]:
    """Every named point at its first, middle and last passing, then operations and times."""
    rng = np.random.default_rng(seed)
    points = [
        Kill(POINT, name, number)
        for name, count in course.points.items()
        for number in sorted({1, (count + 1) // 2, count})
    ]
    if len(points) > kills // 2:
        rng.shuffle(points)
        points = points[: kills // 2] if kills > 3 else points[:1]
    rest = kills - len(points)
    operations = [
        Kill(OPERATION, number=int(n))
        for n in rng.integers(1, max(course.operations, 1) + 1, rest // 2)
    ]
    times = [
        Kill(TIME, seconds=float(s))
        for s in rng.uniform(0.01, max(course.seconds, 0.02), rest - len(operations))
    ]
    return [*points, *operations, *times]


def _judged(found: dict[str, Any], course: Course, scenario: Scenario) -> Any:
    if "error" in found:
        yield {"what": "the flow does not run again", "error": found["error"]}
        return
    seen, again = found["at once"], found["again"]
    for table in scenario.shows:
        before, after = course.before[table], course.after[table]
        between = table in scenario.grows and (
            set(before["keys"]) <= set(seen[table]["keys"]) <= set(after["keys"])
            and not doubled(seen[table])
        )
        if not between and seen[table] not in (before, after):
            yield {"what": f"readers see neither the old nor the new {table}"}
        gone, twice = lost(course.after[table], again[table]), doubled(again[table])
        if gone or twice or again[table] != course.after[table]:
            yield {"what": f"{table} differ afterwards", "lost": gone, "doubled": twice}
    if again["left over"]:
        yield {"what": f"left over: {again['left over']}"}


def _armed(kill: Kill, output: Path) -> None:
    if kill.kind == POINT:
        fault_injection.at_boundary = fault_injection.dying_at(f"{kill.name}:{kill.number}")
    elif kill.kind == OPERATION:
        sys.addaudithook(_counting([kill.number], _die, output, down=True))
    else:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # which ends the process as SIGKILL does
        signal.setitimer(signal.ITIMER_PROF, kill.seconds)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _counting(
    counter: list[int], reached: Callable[[], None], output: Path, *, down: bool = False
) -> Callable[[str, Any], None]:
    """An audit hook that counts file operations in a folder, up or down to nought."""
    place, pid = str(output), os.getpid()

    def hook(event: str, arguments: Any) -> None:
        writes = event == "open" and isinstance(arguments[1], str) and arguments[1][0] in "wax"
        if not (writes or event in OPERATIONS) or os.getpid() != pid:
            return
        if not str(arguments[0]).startswith(place):
            return
        counter[0] += -1 if down else 1
        if down and counter[0] == 0:
            reached()

    return hook


def _forked(work: Callable[[], Any]) -> int:
    """How a child ended that did some work."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def _earlier(kill: Kill) -> Kill:
    return Kill(kill.kind, kill.name, max(kill.number // 2, 1), kill.seconds / 2)
