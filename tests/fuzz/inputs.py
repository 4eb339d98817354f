"""Inputs that are nearly right: good files, and what slips, exports and attackers make of them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import strategies as st

# Each has broken some reader of text, YAML, CSV, JSON, SQL, paths, pages or spreadsheets.
NASTY = (
    "", " ", "\t", "\n", "\r\n", "\u00a0", "\u200b", "\u2028", "\u0085", "\ufeff", "\x00",
    "\x1b[31m",
    "'", '"', "`", "\\", ";", "--", "/*", "%s", "%", "{x}", "{{x}}", "${HOME}", "$(id)", "$1", "~",
    "=1+1", "+1", "-1", "@SUM(1)", "|", "../..", "/etc/passwd", "a/b", "*", "?", "[a", "con", ".",
    "<script>alert(1)</script>", "](javascript:x)", "&amp;", "]]>", "\U0001f600", "e\u0301",
    "\u0130",
    "nan", "NaN", "inf", "-inf", ".inf", ".nan", "null", "None", "yes", "No", "true", "0", "-0",
    "1.0",
    "1e5", "1e309", "-1e-400", "0x1F", "0o7", "1_000", "1:30:00", "9" * 40, "1" * 400, "2021-02-30",
    "0000-00-00", "2001-12-14t21:59:43.10-05:00", "10000-01-01", "1970-01-01 00:00:00+99:99", "now",
    "x" * 300, "customer_id", "event_type", "purchase", "occurred_at", "reason", "at", "day",
    "value",
)  # fmt: skip
YAML_SIGNS = (
    ": ", "- ", "? ", "&a ", "*a", "<<: *a", "<<: ", "!!binary ", "!!set ", "!!omap ",
    "!!python/object:os.system ",
    "!!timestamp ", "!!int ", "!!float ", "!!str ", "!x ", "%YAML 9.9\n", "---\n", "...\n", "# ",
    "|\n", ">\n",
    "[", "]", "{", "}", ",", "\n  ", "\n", "'", '"', "@", "!", "=", "&a [*a]",
)  # fmt: skip
CSV_SIGNS = (
    ",",
    ";",
    "\n",
    "\r",
    "\r\n",
    '"',
    '""',
    ',"',
    '",',
    "\t",
    "\x00",
    "\ufeff",
    " ",
    "#",
    "\\",
)
JSON_SIGNS = ("{", "}", "[", "]", ":", ",", '"', "\\", "\\u0000", "\\ud800", "null", "NaN", "1e999",
              "\n", "-", "{}", "[]", '"a":1', "\ufeff", "true", "0.1", "1" * 400)  # fmt: skip

signs = st.sampled_from(NASTY)
short = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
words = signs | short
scalars = (
    st.none() | st.booleans() | st.integers(-3, 400)
    | st.sampled_from((2**31, 2**63, -(2**70), 10**30))
    | st.floats(width=32) | st.sampled_from((1e308, 0.1, 1.5, -0.0)) | words
    | st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))
    | st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))
)  # fmt: skip
keys = (
    st.sampled_from(("a", "column", "table", "all", "any", "not", "file", "when", "window", ">="))
    | words
)
values = st.recursive(
    scalars,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(keys | st.integers(-1, 3), below, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def mangled(draw: st.DrawFn, good: str, signs: tuple[str, ...]) -> str:
    """A good text after a few slips: cut, doubled, swapped or with signs put in."""
    text = good
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from((0, 0, 1, 1, 3, 20, 200))))
        kind = draw(st.sampled_from(("put", "put", "replace", "cut", "double", "end")))
        if kind in ("put", "replace"):
            sign = draw(st.sampled_from((*signs, *NASTY)))
            text = text[:start] + sign + text[end if kind == "replace" else start :]
        elif kind == "cut":
            text = text[:start] + text[end:]
        elif kind == "double":
            text = text[:end] + text[start:]
        else:
            text = text[:start]
    return text


@st.composite
def flipped(draw: st.DrawFn, good: bytes) -> bytes:
    """Good bytes after damage: cut short, bytes changed, parts doubled or taken out."""
    content = bytearray(good)
    for _ in range(draw(st.integers(1, 3))):
        if not content:
            break
        start = draw(st.integers(0, len(content) - 1))
        kind = draw(st.sampled_from(("flip", "flip", "cut", "take", "double", "put")))
        if kind == "flip":
            content[start] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del content[start:]
        elif kind == "take":
            del content[start : start + draw(st.integers(1, 40))]
        elif kind == "double":
            content[start:start] = content[start : start + 40]
        else:
            content[start:start] = draw(st.binary(min_size=1, max_size=6))
    return bytes(content)


def places(content: Any, steps: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place below a mapping or list."""
    below = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    found = []
    for step, value in below:
        found += [(*steps, step), *places(value, (*steps, step))]
    return found


def replaced(content: Any, steps: tuple[Any, ...], change: Any) -> Any:
    """A copy in which `change` has been applied to the mapping or list that holds a place."""
    copy = dict(content) if isinstance(content, dict) else list(content)
    if len(steps) == 1:
        return change(copy, steps[0])
    copy[steps[0]] = replaced(copy[steps[0]], steps[1:], change)
    return copy


@st.composite
def altered(draw: st.DrawFn, good: Any) -> Any:
    """A good mapping of YAML in which values, keys or entries have been changed."""
    content = good
    for _ in range(draw(st.integers(1, 3))):
        there = places(content)
        if not there:
            break
        steps = draw(st.sampled_from(there))
        kind = draw(st.sampled_from(("value", "value", "value", "drop", "key", "add", "swap")))
        value, name = draw(values), draw(keys)
        other = draw(st.sampled_from(there))

        def change(level: Any, step: Any, kind: str = kind, value: Any = value, name: Any = name,
                   other: Any = other, whole: Any = content) -> Any:  # fmt: skip
            if kind == "drop":
                del level[step]
            elif kind == "key" and isinstance(level, dict):
                level[name] = level.pop(step)
            elif kind == "add" and isinstance(level, dict):
                level[name] = value
            elif kind == "swap":
                moved = whole
                for one in other:
                    moved = moved[one]
                level[step] = moved
            else:
                level[step] = value
            return level

        content = replaced(content, steps, change)
    return content
