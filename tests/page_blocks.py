"""Code blocks of README and docs, and what the comment before each says of running it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>[^\n]*)\n(?P<text>.*?)^```", re.S | re.M
)
# A comment before the block says which test runs it, or why none does.
_RUNS = re.compile(r"runs in (tests/\S+\.py)")
_REASON = re.compile(r"not run: (.+)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, language, text, the test that runs it, or why none does."""

    page: str
    number: int
    language: str
    text: str
    runs_in: str | None
    reason: str | None

    @property
    def name(self) -> str:
        """Page and number."""
        return f"{self.page}-{self.number}"

    def commands(self) -> str:
        """The shell script of the block; of a console block what follows the prompts."""
        if self.language != "console":
            return self.text
        lines = self.text.splitlines()
        return "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))


def all_blocks() -> list[Block]:
    """All blocks of all pages, page by page in their order."""
    return [block for page in PAGES for block in blocks_of(page)]


def blocks_of(page: Path) -> list[Block]:
    """Blocks of one page in their order."""
    found = []
    for number, match in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8"))):
        mark = match["mark"] or ""
        runs, reason = _RUNS.fullmatch(mark), _REASON.fullmatch(mark)
        found.append(
            Block(
                str(page.relative_to(ROOT)),
                number,
                match["language"],
                match["text"],
                runs[1] if runs else None,
                reason[1] if reason else None,
            )
        )
    return found
