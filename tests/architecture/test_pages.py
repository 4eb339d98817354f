"""Pages that are made from the code say what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.card_pages import quality
from scripts.pages import PAGES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_a_made_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run scripts/pages.py"


def test_every_config_key_is_documented() -> None:
    from features.config.config import Config

    text = (DOCS / "config.md").read_text(encoding="utf-8")
    missing = [key for key in Config.model_fields if f"`{key}" not in text]
    assert missing == []


@pytest.mark.parametrize(
    ("data", "what", "metric", "told"),
    [
        ("completejourney", "churn 60 d, mean of 7 dates", "auc", "{:.3f}"),
        ("completejourney", "clv 60 d, 2017-10-01", "mae", "{:.0f} USD"),
        ("completejourney", "transition 84 d, 2017-10-01", "log_loss", "{:.3f}"),
        ("cdnow", "clv 90 d, 1998-01-01", "mae", "{:.1f} USD"),
    ],
)
def test_the_readme_tells_the_figures_of_the_benchmarks(
    data: str, what: str, metric: str, told: str
) -> None:
    (row,) = [r for r in quality(data) if (r.what, r.metric) == (what, metric)]
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert f" {told.format(float(row.ours))}" in readme, "the table against other tools is old"
    assert told.format(float(row.baseline.split()[0])) in readme


def test_the_pictures_are_small() -> None:
    pictures = list(DOCS.glob("*.png"))
    assert {"report.png", "tutorial-glance.png"} <= {picture.name for picture in pictures}
    for picture in pictures:
        assert 20_000 < picture.stat().st_size < 300_000, picture.name
