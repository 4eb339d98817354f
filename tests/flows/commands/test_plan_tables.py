"""The plan of `stagecast target --dry-run` as tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows.commands.plan_tables import show_plan
from tests.campaigns.campaign_examples import plan, playbook, scores


def test_a_plan_without_any_detectable_effect_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    planned = plan(scores(), playbook())
    columns = ["smallest_detectable_effect", "expected_value", "cost"]
    table = planned.table.astype(dict.fromkeys(columns, "object"))
    table[columns] = None  # as a column is read of which no cell is filled
    show_plan(replace(planned, table=table), [], None)
    assert planned.table["campaign_id"].iloc[0] in capsys.readouterr().out
