"""Every word of a config key, a column of the scores or a command is explained, or plain English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from features.contracts import SCORED_ROW
from flows.cli import app
from tests.architecture.test_docs import ALL_KEYS

GLOSSARY = (Path(__file__).parents[2] / "GLOSSARY.md").read_text(encoding="utf-8").casefold()
# Words that mean here what they mean anywhere.
PLAIN = frozenset(
    """
    2 3 above activity after age alert all amount and any as asked at average below between block budget
    by caps catalog check changed channel clear code column columns compute config confidence
    confirm cost cpu csv currency customer customers database date dates day days decimal default delimiter
    description dir discount drop dry earliest else encoding end every exclude expected expires
    explain false file files first fits fix folder for force format from full gap granted group hash high
    history hour id ids ignored in include init input is json keep key kind languages last latest least left length
    level limit limits list log low machine max max_age mean measure member memory metrics min mind minor minutes
    mode months most move n name names negative next no not notice number objective of off on only
    open or order orders other out output over owner page params password path paths pct person preset
    previous priority probabilities probability profiling quality random rank rate region remind required reset
    restocked rows run scale score seed self set settings settle share show silent simulate since size
    skip snapshots spark spend start state stages sum text than threads through tier time times timezone
    to top total type types unit units until url urls use used value values variable version weight when
    where which why width with words workers yes zone
    """.split()
)


def words(command: Any) -> Iterator[str]:
    for name, below in getattr(command, "commands", {}).items():
        yield from name.split("-")
        for parameter in below.params:
            for option in parameter.opts:
                yield from option.strip("-").split("-")
        yield from words(below)


WORDS = sorted(
    {word for key in ALL_KEYS for word in re.split("[_-]", key)}
    | {word for column in SCORED_ROW for word in column.name.split("_")}
    | {word.casefold() for word in words(typer.main.get_command(app))}
)


@pytest.mark.parametrize("word", [word for word in WORDS if word not in PLAIN])
def test_a_word_is_in_the_glossary(word: str) -> None:
    stem = re.sub("(ies|s|ed)$", "", word)
    assert re.search(rf"\b{re.escape(stem)}", GLOSSARY), f"explain {word!r} in GLOSSARY.md"
