"""`stagecast campaign new` writes a playbook that `campaign check` accepts, and replaces none."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from campaigns.playbook_loading import load_playbook
from features.errors import UserError
from flows.commands.cli import app
from flows.setup.playbook_draft import GOALS
from tests.flows.shop import write_shop
from tests.page_blocks import all_blocks


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def new(folder: Path, *options: str, name: str = "my_idea", goal: str = "next-order") -> Any:
    said = ("--goal", goal, "--channel", "email", "--offer", 'A "gift": 5 % off', "--yes")
    return run("campaign", "new", name, *said, *options, "--folder", folder, "--output", folder)


@pytest.mark.parametrize("goal", GOALS)
def test_a_new_playbook_is_valid_for_the_loader_and_for_editors(tmp_path: Path, goal: str) -> None:
    done = new(tmp_path, "--discount", "0.05", "--every", "week", goal=goal)
    assert done.exit_code == 0, done.output
    file = tmp_path / "my_idea.yaml"
    playbook = load_playbook(file)
    assert playbook.offer is not None
    assert (playbook.offer.text, playbook.discount) == ('A "gift": 5 % off', 0.05)
    assert playbook.trigger[0].every == "week"
    text = file.read_text(encoding="utf-8")
    schema_file = tmp_path / text.splitlines()[0].partition("$schema=")[2]
    jsonschema.validate(yaml.safe_load(text), json.loads(schema_file.read_text(encoding="utf-8")))
    assert run("campaign", "check", file, "--output", tmp_path).exit_code == 0


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block of docs/campaigns.md, as it stands."""
    (block,) = [
        block.text
        for block in all_blocks()
        if block.page.endswith("campaigns.md") and "campaign new" in block.text
    ]
    monkeypatch.chdir(tmp_path)
    for line in block.splitlines():
        done = run(*shlex.split(line)[3:])
        assert done.exit_code == 0, done.output
    assert load_playbook(tmp_path / "back_again.yaml").discount == 0.1


def test_an_existing_file_is_never_replaced(tmp_path: Path) -> None:
    new(tmp_path)
    before = (tmp_path / "my_idea.yaml").read_bytes()
    done = new(tmp_path, goal="keep")
    assert isinstance(done.exception, UserError)
    assert "never replaced" in str(done.exception)
    assert (tmp_path / "my_idea.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--every", "fortnight"), ["the new playbook: trigger.0.every", "'week'"]),
        (("--channel", "emial"), ["did you mean email?"]),
        (("--metric", "clicks"), ["success.metric"]),
    ],
)
def test_a_wrong_option_writes_nothing(
    tmp_path: Path, options: tuple[str, ...], words: list[str]
) -> None:
    done = new(tmp_path, *options)
    for word in words:
        assert word in str(done.exception)
    assert not (tmp_path / "my_idea.yaml").exists()


def test_stages_are_those_of_the_config(tmp_path: Path) -> None:
    config = write_shop(tmp_path, customers=2)
    done = new(tmp_path, "--stage", "lapst", "--config", str(config))
    assert "did you mean lapsed?" in str(done.exception)
    assert new(tmp_path, "--stage", "lapsed", "--config", str(config)).exit_code == 0
    assert load_playbook(tmp_path / "my_idea.yaml").stages == {"other": ("lapsed",)}


def test_without_a_terminal_what_is_missing_is_named(tmp_path: Path) -> None:
    done = run("campaign", "new", "my_idea", "--folder", tmp_path, "--output", tmp_path)
    assert "--goal: found nothing" in str(done.exception)


def test_a_check_lists_the_problems_of_all_files_and_of_the_config(tmp_path: Path) -> None:
    config = write_shop(tmp_path, customers=2)
    new(tmp_path)
    good = (tmp_path / "my_idea.yaml").read_text(encoding="utf-8")
    changes = {
        "a": ("rank_by:", "rank_bye:"),
        "b": ("metric: response", "metric: opens"),
        "c": ('["email"]', '["emial"]'),
        "d": ("{column: p_any_order, missing: false}", "{days_since_last: purchas, '<=': 9}"),
        "e": ("{column: p_any_order, missing: false}", "{column: p_any_order, '=>': 0.9}"),
    }
    for name, (old, changed) in changes.items():
        text = good.replace("my_idea", name).replace(old, changed)
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    files = [tmp_path / f"{name}.yaml" for name in changes]
    result = tmp_path / "result.json"
    done = run("campaign", "check", *files, "--config", config, "--json", result)
    assert isinstance(done.exception, UserError)
    content = json.loads(result.read_text(encoding="utf-8"))
    assert not content["ok"]
    hints = " ".join(problem["hint"] for problem in content["problems"])
    for meant in ("rank_by", "email", "purchase", ">="):
        assert f"did you mean {meant}?" in hints
    assert len(content["problems"]) == len(done.exception.problems) == 6
    for name in changes:
        assert any(problem["where"].startswith(f"{tmp_path / name}.yaml: ")
                   for problem in content["problems"])  # fmt: skip
    assert content["campaigns"] == ["c", "d"]


def test_in_a_terminal_it_asks_for_what_is_not_said(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    code = "from flows.commands.cli import main; main()"
    arguments = ["campaign", "new", "--folder", str(tmp_path), "--output", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200"},
    ) as process:
        os.write(ours, b"keep\nNot a name\nkeep_them\nemail, letter\nA call\n10 %\n")
        _, errors = process.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, errors.decode()
    assert "expected: small letters" in errors.decode()
    playbook = load_playbook(tmp_path / "keep_them.yaml")
    assert playbook.channels == ("email", "letter")
    assert playbook.discount == 0.1
