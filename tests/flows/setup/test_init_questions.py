"""`stagecast init` asks in a terminal about what it assumed; options give the same answers."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from features.errors import UserError
from tests.flows.setup.test_init_meaning import SALES, file, init

WORDS = ("completed", "in limbo", "cancelled")
CLOCKS = pd.to_datetime(SALES["at"])
ROWS = SALES.assign(
    status=[WORDS[place % 3] for place in range(len(SALES))],
    at=CLOCKS.dt.strftime("%m/%d/%Y %H:%M").where(CLOCKS.dt.day <= 12),
).dropna(subset="at")


def in_terminal(
    folder: Path, *options: str, answers: str = "", **variables: str
) -> tuple[dict[str, Any], str]:
    """The config that the command writes in a pseudo terminal, and what it printed."""
    names = [file(folder, "orders.csv", ROWS), "--output", str(folder / "made.yaml"), "--force"]
    keyboard, terminal = pty.openpty()
    os.write(keyboard, answers.encode())
    command = [sys.executable, "-m", "flows.commands.cli", "init", *names, *options]
    done = subprocess.run(
        command,
        stdin=terminal,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **variables},
    )
    os.close(terminal)
    os.close(keyboard)
    config: dict[str, Any] = yaml.safe_load((folder / "made.yaml").read_text(encoding="utf-8"))
    return config, " ".join((done.stdout + done.stderr).split())


def test_answers_of_a_terminal_are_those_of_the_options(tmp_path: Path) -> None:
    answers = "completed, in limbo\nmonth-first\nno zone\nEurope/Berlin\n"
    asked, printed = in_terminal(tmp_path, answers=answers)
    assert "which words of 'status' are purchases" in printed
    assert "no time zone 'no zone'" in printed
    (source,) = asked["sources"]
    assert asked["timezone"] == "Europe/Berlin"
    assert source["columns"]["occurred_at"]["format"] == "%m/%d/%Y %H:%M"
    assert source["event_type"]["words"] == {
        "completed": "purchase", "in limbo": "purchase", "cancelled": "left_out"
    }  # fmt: skip
    options = ("--timezone", "Europe/Berlin", "--dates", "month-first", "--role",
               "in limbo=purchase")  # fmt: skip
    content = init(tmp_path, file(tmp_path, "orders.csv", ROWS), *options)
    assert content["config"]["sources"] == asked["sources"]


def test_enter_takes_what_yes_takes_unasked(tmp_path: Path) -> None:
    entered, _ = in_terminal(tmp_path, answers="\n\n\n")
    unasked, printed = in_terminal(tmp_path, "--yes")
    assert entered["sources"] == unasked["sources"]
    assert "which words" not in printed
    assert "CHECK orders.csv" in printed


def test_a_cell_of_a_notebook_is_asked_nothing(tmp_path: Path) -> None:
    _, printed = in_terminal(tmp_path, JPY_PARENT_PID="1")
    assert "which words" not in printed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--role", "lost=ignore"), "no word 'lost'"),
        (("--role", "completed=bought"), "WORD=ROLE"),
        (("--dates", "year-first"), "day-first or month-first"),
    ],
)
def test_an_option_that_fits_nothing_is_refused(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        init(tmp_path, file(tmp_path, "orders.csv", ROWS), *options)
