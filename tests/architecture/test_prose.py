"""The prose of README, docs and docstrings is plain: no banned word, no endless sentence.

A small prose check in place of Vale, which downloads its program when it is installed. Code blocks,
code in backticks and quoted text do not count.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# Made by scripts/pages.py from the code, whose texts are checked as docstrings or in other tests.
GENERATED = (
    "cli",
    "config-keys",
    "guards",
    "scored-row",
    "features",
    "metrics",
    "imports",
    "worked-example",
)
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "GLOSSARY.md",
    *sorted(p for p in (ROOT / "docs").glob("*.md") if p.stem not in GENERATED),
    *sorted((ROOT / "docs" / "adr").glob("*.md")),
]
MODULES = sorted(
    path
    for folder in ("features", "models", "campaigns", "flows", "simulator", "stagecast")
    for path in (ROOT / folder).rglob("*.py")
)
LONGEST_SENTENCE = 40  # words

# What a plain text does not say, and what to say in its place.
BANNED = {
    r"\bnobody\b": "no one, or name the thing: 'customers without an id'",
    r"\bwhose\b": "say it in two sentences, or 'with'",
    r"\b(?:is|are|was|were|be|been) told\b|\btold (?:of|apart|by)\b": "report, state, distinguish",
    r"\btells? of\b": "describes, reports",
    r"\bmend(?:s|ed|ing)?\b": "fix, correct",
    r"\beverybody\b": "all customers",
    r"\bwhoever\b|\bwhomever\b|\bwhatsoever\b": "name the person",
    r"\bwho (?:did|does) not\b(?=[^?.]*\b(?:is|are) (?:out|left))": "customers without ...",
    r"\bfor it to\b": "say it directly",
    r"\ba hair\b": "a small random amount",
    r"\bas good as\b": "almost",
    r"\bof (?:a|its|their) own accord\b": "by itself",
    r"\bhas been made to\b": "active voice",
    r"\bstands? (?:in|under|beside|at|there)\b": "is in, is under",
    r"\b(?:therein|thereof|whereof|wherein|thereby)\b": "in it, of it, by it",
    r"\banew\b": "again",
    r"\blikeliest\b": "most likely",
    r"\bbetter(?:ed) by\b": "improved by",
    r"\bseldom\b|\bnought\b": "rarely, zero",
    r"\b(?:colors?|centers?|normaliz\w+|optimiz\w+|minimiz\w+|maximiz\w+)\b": "British spelling",
}
# Docstrings: the words that never belong into a first line, and how many may still be there.
FIRST_LINES_LEFT = 47
BANNED_IN_DOCSTRINGS = {
    pattern: BANNED[pattern] for pattern in (r"\bnobody\b", r"\beverybody\b", r"\bwhose\b")
}


def prose_of(text: str) -> str:
    """Text of a Markdown page without code, links' addresses, quotes and comments."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r'"[^"\n]{1,200}"', '"..."', text)
    return re.sub(r"`[^`\n]+`", "code", text)


def blocks(text: str) -> Iterator[str]:
    """Paragraphs, points of lists and cells of tables, each on one line."""
    for paragraph in re.split(r"\n\s*\n", prose_of(text)):
        for point in re.split(r"\n(?=\s*(?:[-*]|\d+\.) |\||#)", paragraph):
            flat = " ".join(point.split())
            yield from (flat.strip("|").split(" | ") if flat.startswith("|") else [flat])


def sentences(text: str) -> Iterator[str]:
    """Sentences: they end at a full stop, a colon or a semicolon that a space follows."""
    for block in blocks(text):
        yield from re.split(r"(?<=[.!?:;])\s+", block)


def words(sentence: str) -> int:
    """Number of words, figures among them."""
    return len(re.findall(r"[\w%.,'-]*\w[\w%.,'-]*", sentence))


def banned_words_in(text: str, banned: dict[str, str]) -> list[str]:
    """Banned words of a text, each with its advice."""
    return [
        f"{match[0]!r} in '{text[max(0, match.start() - 40) : match.end() + 20]}': {advice}"
        for pattern, advice in banned.items()
        for match in re.finditer(pattern, text, re.IGNORECASE)
    ]


def pages() -> list[Any]:
    """Pages as test cases."""
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]


@pytest.mark.parametrize("page", pages())
def test_a_page_has_no_banned_word(page: Path) -> None:
    text = "\n".join(blocks(page.read_text(encoding="utf-8")))
    assert banned_words_in(text, BANNED) == []


@pytest.mark.parametrize("page", pages())
def test_a_page_has_no_endless_sentence(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [s for s in sentences(text) if words(s) > LONGEST_SENTENCE] == []


def test_first_lines_of_docstrings_have_no_banned_word() -> None:
    problems = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                first = prose_of((ast.get_docstring(node) or "").split("\n\n")[0])
                banned = banned_words_in(first, BANNED_IN_DOCSTRINGS)
                problems += [f"{path.relative_to(ROOT)}: {problem}" for problem in banned]
    assert len(problems) <= FIRST_LINES_LEFT, problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Nobody knows.", 1, id="a banned word"),
        pytest.param("`nobody` is a value.", 0, id="code does not count"),
        pytest.param("```text\nnobody\n```\n", 0, id="a code block does not count"),
        pytest.param("| customer | whose id |\n", 1, id="a cell of a table counts"),
    ],
)
def test_the_check_itself(text: str, expected: int) -> None:
    assert len(banned_words_in("\n".join(blocks(text)), BANNED)) == expected
