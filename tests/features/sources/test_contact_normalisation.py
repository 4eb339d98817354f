"""One address or number in any text that a person would read as one; several are several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features.errors import UserError
from features.sources.contact_normalisation import comparable_address, email, names_several
from features.sources.customer_attributes import customer_facts
from tests.features.sources.test_customer_attributes import AT, loaded


@pytest.mark.parametrize(
    "text",
    [
        "Anna@Example.com", "mailto:anna@example.com?subject=stop", "smtp:anna@example.com",
        "anna@example.com (bounced)", "Ms Anna anna@example.com", "anna @ example.com",
        "anna%40example.com", "anna(at)example.com", "anna [at] example.com", "anna@example.com>",
        "https://example.org/stop?of=anna@example.com&n=1", '"B, Anna" <anna@example.com>',
    ],
)  # fmt: skip
def test_the_address_in_a_text(text: str) -> None:
    assert comparable_address("email", text) == "anna@example.com"
    assert not names_several(text)


@pytest.mark.parametrize("text", ["o'neil@example.com", "a+b/c@example.com", "a&b=c@example.com"])
def test_signs_that_an_address_may_hold(text: str) -> None:
    assert email(text) == comparable_address("email", text) == text


@pytest.mark.parametrize(
    "text",
    [
        "+49301000002 / +49301000009", "030 1000002 / 030 1000009", "030/1000002 und 030/1000009",
        "+49 30 1000002 +49 30 1000009", "(212) 555-0100 / (212) 555-0101",
        "0301000002\n0301000009", "a@example.com b@example.com",
    ],
)  # fmt: skip
def test_several_in_one_cell(text: str) -> None:
    assert names_several(text)


@pytest.mark.parametrize(
    "text",
    ["030/1000002", "+49 / 301000002", "+49 33203/1000002", "0049 33203/1000002",
     "030 1000002 ext 5", "030 1000002 (mobile)", "+49 (0)30 / 1000002"],
)  # fmt: skip
def test_one_number_with_signs_in_it(text: str) -> None:
    assert not names_several(text)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("d41d8cd98f00b204e9800998ecf8427e", "hash"),
        ("0xE3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", "hash"),
        ("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "hash"),
        ("a@example.com, b@example.com", "more than one address"),
    ],
)
def test_what_can_reach_nobody_in_a_list_is_refused(
    tmp_path: Path, cell: str, expected: str
) -> None:
    (tmp_path / "bounces.csv").write_text(f'who\n"{cell}"\n')
    with pytest.raises(UserError, match=expected):
        customer_facts(_with_list(tmp_path, "bounces.csv", {"email": "who"}), AT)


def test_a_list_in_each_cell_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "bounces.jsonl").write_text('{"who": [2, 3]}\n')
    with pytest.raises(UserError, match="list or structure"):
        customer_facts(_with_list(tmp_path, "bounces.jsonl", {"customer_id": "who"}), AT)


def _with_list(folder: Path, table: str, columns: dict[str, str]) -> Any:
    return loaded(
        folder, suppressions=[{"table": table, "reason": "hard bounce", "columns": columns}]
    )
