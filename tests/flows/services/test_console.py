"""Names are printed as they are; files that cannot be written are named."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import UserError
from flows.services.console import (
    bold,
    console,
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
