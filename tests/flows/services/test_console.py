"""Names of files, arms and columns are printed as they are, whatever signs they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.services.console import bold, console, print_table, step, warn

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
