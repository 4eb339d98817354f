"""The documentation site is built without a warning, and needs nothing from elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.docs

ROOT = Path(__file__).parents[2]


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.name for path in tmp_path.rglob("*.html")}
    assert {"index.html", "report.html", "cli.html", "glossary.html", "changelog.html"} <= pages
    assert any(path.parent.name == "adr" for path in tmp_path.rglob("*.html"))
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "fonts.googleapis" not in text
