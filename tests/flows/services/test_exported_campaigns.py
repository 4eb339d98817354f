"""Which exports of a run were written: what `stagecast why` tells of the current run."""

from __future__ import annotations

import json
from pathlib import Path

from campaigns.audience_files import MANIFEST_FILE
from campaigns.entrant_guard import EntrantGuard
from features.storage.runs import run_folder
from flows.services.campaign_plan import exported_campaigns
from flows.services.workspace import Workspace


def test_confirmed_campaigns_are_exported_and_held_ones_are_not(tmp_path: Path) -> None:
    guard = EntrantGuard("rules", "3", {"b": "first run"}, ("a", "b"))
    folder = run_folder(tmp_path, "one") / "audiences"
    folder.mkdir(parents=True)
    text = json.dumps({"guard": guard.to_manifest()})
    (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")
    assert exported_campaigns(Workspace(tmp_path), "one") == ("a",)
    assert exported_campaigns(Workspace(tmp_path), "two") == ()
