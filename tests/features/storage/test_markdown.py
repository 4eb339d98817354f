"""Titles, notices and names of a config are shown in Markdown as they are, whatever they hold."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from features.storage.markdown import markdown_text
from tests.tries import tries

RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
SIGNS = st.sampled_from([*"\\`*_{}[]()#+-.!|<>&~=:$'\" \n\t1aZ", "\u2028", "\u202e", "\u200b", "](http://e)",
                         "<script>", "&lt;", "---", "```", "1. ", "  \n", "![x](y)"])  # fmt: skip
texts = st.lists(SIGNS, max_size=12).map("".join)


class Shown(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def rendered(markdown: str) -> Shown:
    page = Shown()
    page.feed(RENDERER.render(markdown))
    page.close()
    return page


def plain(text: str) -> str:
    """What a reader sees of it: white space as one blank, no signs of no width."""
    seen = re.sub("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]", "", text)
    return " ".join(re.sub("[\x00-\x20\x7f-\xa0\u2028\u2029]+", " ", seen).split(" ")).strip()


@settings(max_examples=tries(1000))
@given(texts)
def test_a_text_alone_is_a_paragraph_of_itself(text: str) -> None:
    page = rendered(f"before\n\n{markdown_text(text)}\n\nafter")
    assert set(page.tags) == {"p"}
    assert page.tags.count("p") == (3 if plain(text) else 2)
    assert plain(page.text.replace("before", "", 1)[::-1].replace("retfa", "", 1)[::-1]) == plain(
        text
    )


@settings(max_examples=tries(1000))
@given(texts)
def test_a_text_stays_within_its_heading_its_point_and_its_cell(text: str) -> None:
    said = markdown_text(text)
    page = rendered(
        f"# {said}: a\n\n- data: {said}\n\n| a | b |\n|---|---|\n| {said} | z |\n| y | x |\n"
    )
    assert page.tags == ["h1", "ul", "li", "table", "thead", "tr", "th", "th", "tbody",
                         *["tr", "td", "td"] * 2]  # fmt: skip
    cells = re.findall(r"<td>(.*?)</td>", RENDERER.render(f"|a|b|\n|---|---|\n|{said}|z|\n"), re.S)
    assert len(cells) == 2
    assert plain(rendered(said).text) == plain(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("win_back", "win_back"),
        ("_sly_", "\\_sly\\_"),
        ("We miss you: 20 % off!", "We miss you: 20 % off\\!"),
        ("a | b", "a \\| b"),
        ("# x\n# y", "\\# x # y"),
        ("2. of May", "2\\. of May"),
        ("59.3%", "59.3%"),
        ("7)", "7\\)"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("[free](javascript:alert(1))", "\\[free\\](javascript:alert(1))"),
    ],
)
def test_signs_of_the_page_are_escaped_and_names_stay_readable(text: str, said: str) -> None:
    assert markdown_text(text) == said
