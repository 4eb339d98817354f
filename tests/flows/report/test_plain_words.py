"""Every reason reads alone: it says what is missing, and not what was asked for."""

import pytest

from flows.report.plain_words import exclusion_text, stage_text

TITLES = {"win_back": "Win back lapsed customers"}


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("in campaign win_back", "Already in another campaign: Win back lapsed customers"),
        ("in campaign gone", "Already in another campaign: gone"),
        ("not in stage lapsed", "In another stage; the campaign is for: lapsed"),
        (
            "rule not met: value tier is top",
            "Lacks what the campaign asks for: value tier is top",
        ),
        ("trigger has not fired: flag x is not set", "Not due yet: flag x is not set"),
        ("no consent for email", "No consent for email"),
        ("", ""),
    ],
)
def test_a_reason_in_words(reason: str, text: str) -> None:
    assert exclusion_text(reason, TITLES) == text


def test_a_stage_is_described_with_numbers() -> None:
    text = stage_text("Bought on at least k days within the last w days", {"k": 3, "w": 365.0})
    assert text == "Bought on at least 3 days within the last 365 days"
    assert stage_text("Key words keep their k", {"k": 2}) == "Key words keep their 2"
