"""The playbook that the page proposes is one that the program reads."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from campaigns.playbook_loading import load_playbook
from flows.report.campaign_draft import campaign_draft
from models.explaining.segments import SEGMENT_NAMES, SegmentCutoffs

DRAFT = campaign_draft("omnisend", SegmentCutoffs(risk=0.25, value=1e-05), "2024-05-06")


@pytest.mark.parametrize(
    "names",
    [("",), *itertools.combinations(SEGMENT_NAMES, 2), SEGMENT_NAMES],
    ids=lambda names: " and ".join(names) or "no segment",
)
def test_every_choice_is_a_playbook(tmp_path: Path, names: tuple[str, ...]) -> None:
    rules = "".join(f"\n    - {DRAFT['rules'][name]}" for name in names)
    text = DRAFT["text"].replace("{stages}", '"lapsed", "loyal"').replace("{rules}", rules)
    path = tmp_path / "my_campaign.yaml"
    path.write_text(text, encoding="utf-8")
    playbook = load_playbook(path)
    assert playbook.stages["omnisend"] == ("lapsed", "loyal")
    assert len(playbook.audience.parts) == len(names)
