"""The command `stagecast check`: is everything in order that the config names, before a run."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from flows.commands.options import DEFAULT_OUTPUT, ConfigFile, JsonFile, OutputFolder, Settings


@contextmanager
def cycles_kept() -> Iterator[None]:
    """Switch off the collector of cyclic references within the block.

    Looking for them takes a tenth of the seconds of a check, which reads samples and then ends.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def check(
    config: ConfigFile = None,
    output: OutputFolder = DEFAULT_OUTPUT,
    json_file: JsonFile = None,
    overrides: Settings = None,
) -> None:
    """Open all that the config names, and list every problem at once; nothing is changed.

    Tables and their columns, words for consent, times, stage rules, playbooks, export maps,
    experiments, disk, store, MLflow and Prefect. Of large tables the first rows are read.
    """
    with cycles_kept():
        from flows.checks.check import check_config as checked
    from flows.services.console import deliver_result, print_table
    from flows.services.settings import apply_defaults

    apply_defaults()
    with cycles_kept():
        report = checked(output.absolute(), config, tuple(overrides or ()))
    content = {
        "ok": not report.problems.errors,
        "checked": [asdict(finding) for finding in report.findings],
        "problems": [
            {
                "where": problem.where,
                "found": str(problem.found),
                "expected": problem.expected,
                "hint": problem.hint,
            }
            for problem in report.problems.errors
        ],
    }
    finding_rows = [(finding.what, finding.state, finding.found) for finding in report.findings]
    deliver_result(
        content,
        json_file,
        lambda: print_table("stagecast check", ["what", "state", "found"], finding_rows),
    )
    report.problems.refuse()
