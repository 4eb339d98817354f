"""Every word of a config key, a column or a command is in the glossary, or is plain English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from features.contracts import SCORED_ROW
from flows.commands.cli import app
from tests.architecture.test_docs import ALL_KEYS

GLOSSARY = (Path(__file__).parents[2] / "GLOSSARY.md").read_text(encoding="utf-8").casefold()
# Words that mean here what they mean anywhere.
PLAIN_WORDS = Path(__file__).with_name("plain_words.txt")
PLAIN = frozenset(PLAIN_WORDS.read_text(encoding="utf-8").split())


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
