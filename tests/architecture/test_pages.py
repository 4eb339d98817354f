"""Pages that are made from the code say what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.contracts import SCORED_ROW
from models.inference import SCORED_COLUMNS
from scripts.pages import PAGES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_a_made_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run scripts/pages.py"


def test_the_scored_row_is_the_same_for_the_contract_and_the_logged_file() -> None:
    assert {c.name: c.dtype for c in SCORED_ROW} == SCORED_COLUMNS
    assert [c.name for c in SCORED_ROW] == list(SCORED_COLUMNS)


def test_every_config_key_is_documented() -> None:
    from features.config import Config

    text = (DOCS / "config.md").read_text(encoding="utf-8")
    missing = [key for key in Config.model_fields if f"`{key}" not in text]
    assert missing == []
