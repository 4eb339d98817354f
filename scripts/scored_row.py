"""Write docs/scored-row.md from the contract: `python scripts/scored_row.py`."""

from pathlib import Path

from features.contracts import SCORED_ROW

HEAD = """# The scored row

One row a customer in `customer_scores`. Beside these columns stand, for every declared
attribute, `preferred_<attribute>` (what they mostly bought) and `interest_<attribute>` (what they
mostly viewed or clicked), each with `_share` (of the lines, 0 to 1) and `_n` (lines); empty where
none is known.

| column | type | meaning | empty means |
|---|---|---|---|
"""


def page() -> str:
    """The page's text."""
    rows = [f"| `{c.name}` | {c.dtype} | {c.meaning} | {c.null or '-'} |" for c in SCORED_ROW]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    target = Path(__file__).parent.parent / "docs" / "scored-row.md"
    target.write_text(page(), encoding="utf-8")
