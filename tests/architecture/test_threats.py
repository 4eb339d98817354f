"""The table of threats in docs/security.md: every row names a test, and every test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
NODE = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
# What a threat is, by a word that must stand in the first column of a row.
KINDS = (
    "SQL", "formula", "HTML", "Markdown", "pickle", "damaged", "aliases", "depth", "a key twice",
    "`../`",
    "customer", "link", "unpacks", "cut off", "oversized", "mixed", "web address", "environment",
    "secrets in configs", "secrets in logs", "personal data", "consent", "suppressed", "address",
    "forgotten", "experiment", "two publishers", "killed", "away", "full disk", "written to",
    "serving",
)  # fmt: skip


def rows() -> list[list[str]]:
    """Cells of the table's rows."""
    text = PAGE.read_text(encoding="utf-8")
    lines = text[text.index("| threat |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def declared(file: Path) -> set[str]:
    """Tests that a file declares."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:50])
def test_every_threat_names_tests_that_are_there(row: list[str]) -> None:
    assert len(row) == 3, "threat, what is done, test"
    threat, done, tests = row
    assert threat
    assert done
    named = NODE.findall(tests)
    assert named, f"no test named for: {threat}"
    assert NODE.sub("", tests).replace("<br>", "").strip() == "", "only names of tests stand there"
    for file, test in named:
        assert (ROOT / file).is_file(), file
        assert test in declared(ROOT / file), f"{file} has no {test}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_threat_has_a_row(kind: str) -> None:
    assert any(kind in row[0] for row in rows()), f"no threat speaks of {kind!r}"
