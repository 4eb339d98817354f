"""Every code block of README and docs is run by a test, checked as YAML, or says why it is not."""

from __future__ import annotations

import pytest

from tests.page_blocks import ROOT, Block, all_blocks

BLOCKS = [pytest.param(block, id=block.name) for block in all_blocks()]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_run_or_says_why_not(block: Block) -> None:
    assert block.language, f"{block.name}: name a language; `text` for a picture or an extract"
    if block.runs_in is not None:
        test = ROOT / block.runs_in
        assert test.is_file(), f"{block.name}: no {block.runs_in}"
        assert block.page.rsplit("/", 1)[-1] in test.read_text(encoding="utf-8"), block.name
    elif block.language not in ("text", "mermaid", "yaml"):  # YAML: test_docs.py
        assert block.reason, (
            f"{block.name}: begin the line before it with `<!-- runs in tests/... -->` or "
            "`<!-- not run: why -->`"
        )


def test_the_page_on_subscriptions_shows_the_config_that_it_runs() -> None:
    (shown,) = [
        b.text for b in all_blocks() if "howto-subscriptions" in b.page if b.language == "yaml"
    ]
    assert shown == (ROOT / "examples" / "subscriptions.yaml").read_text(encoding="utf-8")
