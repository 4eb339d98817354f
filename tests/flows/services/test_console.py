"""Names are printed as they are; files that cannot be written are named."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import UserError
from flows.services import console as console_module
from flows.services.console import (
    bold,
    console,
    grouped_warnings,
    print_table,
    step,
    warn,
    write_table_file,
)

_NAMES = st.sampled_from(
    ["A [/b]", "orders[1].csv", "[red]", "[/]", "[link=x]", "a\\[b]", "[", ":warning:", "1]"]
)


@given(_NAMES)
def test_brackets_are_printed_as_they_are(name: str) -> None:
    """No part of a name is taken for a style."""
    with console.capture() as capture:
        print_table(name, [name, "n"], [[name, 1]])
        console.print("next:", bold(name), soft_wrap=True)
    assert capture.get().count(name) == 4


@pytest.mark.parametrize("say", [step, warn])
def test_progress_shows_brackets(capsys: pytest.CaptureFixture[str], say) -> None:
    """Progress and warnings show a name with brackets."""
    say("reads orders[1].csv [/b]")
    assert capsys.readouterr().err.rstrip().endswith("reads orders[1].csv [/b]")


@pytest.mark.parametrize("place", [".", "file.txt/table.csv"], ids=["a folder", "below a file"])
def test_a_table_that_cannot_be_written_names_option_and_file(tmp_path: Path, place: str) -> None:
    (tmp_path / "file.txt").write_text("text", encoding="utf-8")
    with pytest.raises(UserError, match="--csv: found") as error:
        write_table_file(pd.DataFrame({"a": [1]}), tmp_path / place, "--csv")
    assert str(tmp_path) in str(error.value)


@given(
    st.lists(st.tuples(st.text("ab/", min_size=1, max_size=120), st.integers()), min_size=1),
    st.integers(20, 120),
)
def test_a_table_breaks_no_word_at_any_width(rows: list[tuple[str, int]], width: int) -> None:
    before = console.width
    console.width = width
    try:
        with console.capture() as capture:
            print_table(
                "places", ["where", "how many customers", "note"], [(*r, "-") for r in rows]
            )
    finally:
        console.width = before
    for name, number in rows:
        assert name in capture.get()
        assert f"{number:,}" in capture.get()


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Effects", ["campaign", "n"], [])
    assert capsys.readouterr().out == "Effects: none\n"


def test_a_warning_comes_once_and_several_are_listed_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with grouped_warnings():
        for text in ("first", "second", "first"):
            warn(text)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["! first", "! second", "2 warnings:", "  - first", "  - second"]
    warn("first")
    warn("first")
    assert capsys.readouterr().err.splitlines() == ["! first", "! first"]


@pytest.mark.parametrize(
    ("prefix", "environment", "source", "starter"),
    [
        ("/home/a/shop/.venv", {"UV": "uv"}, None, "uv run"),
        ("/home/a/.cache/uv/archive-v0/x1", {"UV": "uv"}, None, "uvx"),
        ("/c/uv/archive-v0/x", {"UV": "uv"}, "/a b/x.whl", "uvx --from '/a b/x.whl'"),
        ("/home/a/.local/pipx/.cache/9f2", {}, None, "pipx run"),
        ("/home/a/.local/pipx/.cache/9f2", {}, "x.whl", "pipx run --spec x.whl"),
        ("/home/a/.local/pipx/venvs/stagecast", {}, None, ""),
        ("/usr", {}, None, ""),
    ],
)
def test_a_command_begins_as_this_process_was_started(
    prefix: str, environment: dict[str, str], source: str | None, starter: str
) -> None:
    assert console_module._starter(prefix, environment, source) == starter
