"""Notebooks as pages of the documentation site, with their stored outputs and plots."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def notebook_page(path: Path) -> str:
    """Markdown of a notebook: its texts, its code, and what each cell showed when it was run."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return "\n\n".join(_cell(cell) for cell in notebook["cells"]) + "\n"


def _cell(cell: dict[str, Any]) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        # Files of the repository that are no pages are only named.
        source = re.sub(r"\[([^\]]+)\]\(\.\./(?!docs/)[^)]+\)", r"\1", source)
        # A link to another notebook leads to its page.
        return re.sub(
            r"\]\((\d\d_\w+)\.ipynb\)", r"](\1.md)", source.replace("](../docs/", "](../")
        )
    shown = [text for output in cell.get("outputs", ()) if (text := _output(output))]
    return "\n\n".join([f"```python\n{source}\n```", *shown])


def _output(output: dict[str, Any]) -> str:
    """A plot, a table or a text; an empty text for what is neither."""
    content = output.get("data", {})
    if "image/png" in content:
        image = "".join(content["image/png"]).replace("\n", "")
        return f'<img alt="plot" src="data:image/png;base64,{image}">'
    if "text/html" in content:
        lines = "".join(content["text/html"]).splitlines()
        return "\n".join(line.strip() for line in lines if line.strip())
    text = _COLOURS.sub("", "".join(content.get("text/plain", output.get("text", ()))))
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""
