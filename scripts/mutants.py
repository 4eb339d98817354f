"""Mutation testing: `uv run --group mutants python scripts/mutants.py [AREA ...]`.

For every module of an area, changes of single places (the operators of mutmut) are drawn with a
seed, and the area's tests run on each in a forked process, until one fails. A first run without a
change tells which tests reach which function; only those run. Prints one row a module; survivors
lie in build/mutants/.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import Phase, settings

from scripts.mutant_code import REACHED, ROOT, Mutant, apply, mutants, probed, unchanged

SURVIVORS = ROOT / "build" / "mutants"
MOST = 120  # mutants of a module
EXAMPLES = 15  # of a property, at most: the first that fails is enough
SECONDS = 6.0  # that the tests of one mutant take at most, without a change
RULES = (
    "tests/spec",
    "tests/oracles/test_plain_rules_oracle.py",
    "tests/features/lifecycle/test_rule_language.py",
    "tests/features/lifecycle/test_taxonomy_parser.py",
)
LOOPS = "tests/oracles/test_loops_oracle.py"
SHARING = (
    "tests/campaigns/optimiser/test_greedy.py",
    "tests/campaigns/optimiser/test_exact.py",
    "tests/campaigns/test_planning.py",
)
# By area the modules, and the tests that own them: fast ones, no commands.
AREAS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rule engine": (
        (
            "features/lifecycle/rule_language.py",
            "features/lifecycle/rule_parser.py",
            "features/lifecycle/rule_evaluation.py",
            "features/lifecycle/stage_engine.py",
            "features/lifecycle/taxonomy_parser.py",
        ),
        RULES,
    ),
    "windows": (
        ("features/history/history.py", "features/history/day_rows.py"),
        (
            "tests/spec",
            LOOPS,
            "tests/oracles/test_plain_rules_oracle.py",
            "tests/features/table/test_preferred_values.py",
            "tests/features/history/test_history.py",
        ),
    ),
    "labels": (
        (
            "features/table/labels.py",
            "features/table/campaign_outcomes.py",
            "features/calendar.py",
        ),
        (
            "tests/spec",
            LOOPS,
            "tests/features/table/test_campaign_outcomes.py",
            "tests/features/test_calendar.py",
        ),
    ),
    "metrics": (
        ("models/metrics/metrics.py", "models/tasks/churn_task.py"),
        (
            "tests/models/metrics/test_metrics.py",
            "tests/models/metrics/test_metric_edges.py",
            "tests/models/tasks/test_all_tasks.py",
        ),
    ),
    "assignment": (
        (
            "campaigns/planning.py",
            "campaigns/allocation.py",
            "campaigns/optimiser/exact.py",
            "campaigns/optimiser/greedy.py",
            "campaigns/optimiser/lagrangian_bound.py",
            "campaigns/optimiser/shadow_prices.py",
        ),
        (*SHARING, "tests/campaigns/test_plan_rows.py", "tests/campaigns/test_eligibility.py"),
    ),
    "hold-outs": (
        ("campaigns/holdout.py",),
        ("tests/campaigns/test_holdout.py", "tests/campaigns/test_plan_rows.py"),
    ),
}
KILLED, SURVIVED, TIMEOUT = 1, 0, 2


@dataclass
class Clean:
    """The run without a change: by test, seconds, and first lines of the functions reached."""

    seconds: dict[str, float] = field(default_factory=dict)
    reached: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def tests(self, mutant: Mutant) -> list[str]:
        """Tests that reach the mutated function, the fastest first, while they take `SECONDS`."""
        first, last = mutant.lines
        found = [
            test
            for test, modules in self.reached.items()
            if any(first <= line <= last for line in modules.get(mutant.module, ()))
        ]
        chosen, taken = [], 0.0
        for test in sorted(found, key=lambda test: self.seconds[test]):
            taken += self.seconds[test]
            if chosen and taken > SECONDS:
                break
            chosen.append(test)
        return chosen


def in_a_fork(work: Callable[[], int], *, seconds: float) -> int:
    """What a piece of work gives in a process of its own, which is ended when its time is up."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.setsid()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        result = KILLED
        try:
            result = work()
        finally:
            os._exit(result)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return TIMEOUT


def passes(items: list[pytest.Item]) -> bool:
    """Whether all of some tests pass; the rest is left out at the first that does not."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item._initrequest()  # type: ignore[attr-defined]
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=following)):
            return False
    return True


def clean_run(items: list[pytest.Item], modules: tuple[str, ...], told: Path) -> int:
    """Run the tests one by one without a change, and write down what each reaches."""
    for module in modules:
        apply(probed(module))
    clean = Clean()
    for item in items:
        REACHED.clear()
        begun = time.monotonic()
        if not passes([item]):
            told.write_text(json.dumps({"failed": item.nodeid}), encoding="utf-8")
            return KILLED
        clean.seconds[item.nodeid] = time.monotonic() - begun
        found: dict[str, list[int]] = {}
        for module, line in sorted(REACHED):
            found.setdefault(module, []).append(line)
        clean.reached[item.nodeid] = found
    told.write_text(json.dumps(vars(clean)), encoding="utf-8")
    return SURVIVED


@dataclass
class Runner:
    """Pytest's loop over the tests, once a mutant.

    Attributes
    ----------
    area
        Name of the area.
    modules
        Files to change.
    most
        Mutants of a module at most; 0 for all.
    seed
        Of the draw.
    """

    area: str
    modules: tuple[str, ...]
    most: int
    seed: int
    rows: list[tuple[str, int, Counter[int]]] = field(default_factory=list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Takes the place of pytest's own loop."""
        for item in session.items:  # a failing example need not be made small
            test: Any = getattr(item, "obj", None)
            if hasattr(test, "hypothesis"):
                known = getattr(test, "_hypothesis_internal_use_settings", settings.default)
                test._hypothesis_internal_use_settings = settings(
                    known,
                    phases=(Phase.explicit, Phase.generate),
                    database=None,
                    max_examples=min(known.max_examples, EXAMPLES),
                )
        clean = self._clean(session.items)
        for module in self.modules:
            self._module(module, session.items, clean)
        return True

    def _clean(self, items: list[pytest.Item]) -> Clean:
        SURVIVORS.mkdir(parents=True, exist_ok=True)
        told = SURVIVORS / "clean.json"
        told.unlink(missing_ok=True)
        in_a_fork(lambda: clean_run(items, self.modules, told), seconds=1800)
        content = json.loads(told.read_text(encoding="utf-8"))
        if "failed" in content:
            raise SystemExit(f"{content['failed']} fails without a change; fix it first")
        return Clean(**content)

    def _module(self, module: str, items: list[pytest.Item], clean: Clean) -> None:
        there, drawn = mutants(module, most=self.most, seed=self.seed)
        by_id = {item.nodeid: item for item in items}
        same = unchanged(module)
        if self._tested(same, [by_id[test] for test in clean.tests(same)], clean) != SURVIVED:
            raise SystemExit(f"{module}: its own code, put in its own place, fails a test")
        counts: Counter[int] = Counter()
        left = []
        for mutant in drawn:
            tests = clean.tests(mutant)
            result = SURVIVED
            if tests:
                result = self._tested(mutant, [by_id[test] for test in tests], clean)
            counts[result] += 1
            if result == SURVIVED:
                left.append(f"{module}:{mutant.line} ({len(tests)} tests)\n{mutant.change}\n")
        name = module.replace("/", ".").removesuffix(".py")
        (SURVIVORS / f"{name}.txt").write_text("\n".join(left), encoding="utf-8")
        self.rows.append((module, there, counts))
        print(row(self.area, module, there, counts), flush=True)

    @staticmethod
    def _tested(mutant: Mutant, items: list[pytest.Item], clean: Clean) -> int:
        def work() -> int:
            apply(mutant)
            return SURVIVED if passes(items) else KILLED

        usual = sum(clean.seconds[item.nodeid] for item in items)
        result = in_a_fork(work, seconds=20 + 4 * usual)
        return result if result in (SURVIVED, TIMEOUT) else KILLED


def row(area: str, module: str, there: int, counts: Counter[int]) -> str:
    """A line of the table."""
    tried = counts.total()
    ended = counts[KILLED] + counts[TIMEOUT]
    share = f"{ended / tried:.0%}" if tried else "-"
    cells = (area, module, there, tried, counts[KILLED], counts[TIMEOUT], counts[SURVIVED], share)
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def main() -> None:
    """Run the areas asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("areas", nargs="*", metavar="AREA", help=", ".join(AREAS))
    parser.add_argument("--module", action="append", help="only these files")
    parser.add_argument("--most", type=int, default=MOST, help="mutants of a module; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if unknown := set(asked.areas) - set(AREAS):
        raise SystemExit(f"found {sorted(unknown)}, expected some of {list(AREAS)}")
    print("| area | module | mutants | tried | killed | timed out | survived | share ended |")
    print("|---|---|---|---|---|---|---|---|")
    everything: Counter[int] = Counter()
    there = 0
    for area, (modules, tests) in AREAS.items():
        chosen = tuple(m for m in modules if asked.module is None or m in asked.module)
        if (asked.areas and area not in asked.areas) or not chosen:
            continue
        runner = Runner(area, chosen, asked.most, asked.seed)
        options = ["-n", "0", "-q", "-p", "no:cacheprovider", "--no-header", "--no-summary"]
        pytest.main([*options, *tests], plugins=[runner])
        for _, number, counts in runner.rows:
            there += number
            everything += counts
    print(row("all", "", there, everything))


if __name__ == "__main__":
    main()
