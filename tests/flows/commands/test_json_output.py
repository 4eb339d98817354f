"""Every command that shows a result gives it as JSON too; with `-` nothing else is printed."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from flows.commands.cli import app
from flows.services.console import command_text
from tests.flows.shop import write_shop

# They write files (a page, a simulation, tallies, a model) or serve, and show no result of their
# own; score-events prints nothing but JSON.
WRITERS = {
    "features", "train", "rollback", "report", "schedule", "score-events", "simulate",
    "stages path", "serve", "mcp",
}  # fmt: skip


def commands(group: Any, before: str = "") -> dict[str, Any]:
    found = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, f"{name} ")
        else:
            found[before + name] = command
    return found


COMMANDS = commands(typer.main.get_command(app))


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WRITERS))
def test_what_shows_a_result_has_the_option(name: str) -> None:
    assert any("--json" in option.opts for option in COMMANDS[name].params)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("shop"))


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (("catalog",), None),
        (("stages", "show", "--at", "2020-11-01"), {"counts", "transitions"}),
        (("horizons",), {"lapse_days", "config", "curve"}),
    ],
)
def test_a_dash_prints_json_alone(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Any, keys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*command, "--config", str(config), "--json", "-"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert keys is None or keys <= set(found)
    there = tmp_path / "deep" / "result.json"
    done = CliRunner().invoke(app, [*command, "--config", str(config), "--json", str(there)])
    assert json.loads(there.read_text(encoding="utf-8")) == found
    assert len(done.stdout) > 100  # the tables as well


def test_a_command_is_told_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV", "uv")
    assert command_text("stagecast models") == "uv run stagecast models"
    monkeypatch.delenv("UV")
    assert command_text("stagecast models") == "stagecast models"


def test_a_file_that_cannot_be_written_is_told(config: Path, tmp_path: Path) -> None:
    (tmp_path / "in_the_way").write_text("")
    arguments = ["catalog", "--config", str(config), "--json", str(tmp_path / "in_the_way" / "x")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code != 0
    assert "in_the_way" in str(done.exception)
