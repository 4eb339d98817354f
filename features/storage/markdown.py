"""Text of a config or of the data within Markdown: shown as it is, never as a sign of the page."""

from __future__ import annotations

import html
import re

# Signs that mean something wherever they stand; an underscore only at the edge of a word.
_INLINE = re.compile(r"[\\`*\[\]{}|~!$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
# What begins a heading, a list, a quotation, a rule or a fence where it is first in its line.
_FIRST = re.compile(r"^(?:[#+=\-:]|[0-9]+(?=[.)]))")
_BREAKS = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")


def as_text(text: object) -> str:
    r"""One line of Markdown that shows a text: no heading, link, table cell, image or HTML of it.

    Signs of direction and of no width go, which could make it look like another text.

    >>> as_text("A | <b>[x](http://e)</b>\n# B")
    'A \\| &lt;b&gt;\\[x\\](http://e)&lt;/b&gt; # B'
    """
    line = _BREAKS.sub(
        " ", re.sub("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]", "", str(text))
    )
    line = _INLINE.sub(r"\\\g<0>", line.strip())
    first = _FIRST.match(line)
    if first:
        end = first.end()
        # A number is no sign that can be escaped; the full stop after it is.
        line = f"{line[:end]}\\{line[end:]}" if line[0].isdigit() else f"\\{line}"
    return html.escape(line, quote=False)
