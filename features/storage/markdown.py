"""Escape text of configs and data for Markdown."""

from __future__ import annotations

import html
import re

# Characters with a meaning anywhere; an underscore only at the edge of a word.
_INLINE = re.compile(r"[\\`*\[\]{}|~!$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
# Characters that start a heading, list, quotation, rule or fence at the start of a line.
_FIRST = re.compile(r"^(?:[#+=\-:]|[0-9]+(?=[.)](?: |$)))")
_BREAKS = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")


def markdown_text(text: object) -> str:
    r"""Return one line of Markdown that shows a text literally.

    Direction marks and zero-width characters are removed: they could disguise the text.

    >>> markdown_text("A | <b>[x](http://e)</b>\n# B")
    'A \\| &lt;b&gt;\\[x\\](http://e)&lt;/b&gt; # B'
    """
    line = _BREAKS.sub(
        " ", re.sub("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]", "", str(text))
    )
    line = _INLINE.sub(r"\\\g<0>", line.strip())
    first_sign = _FIRST.match(line)
    if first_sign:
        end = first_sign.end()
        # A digit cannot be escaped; the full stop after it can.
        line = f"{line[:end]}\\{line[end:]}" if line[0].isdigit() else f"\\{line}"
    return html.escape(line, quote=False)
