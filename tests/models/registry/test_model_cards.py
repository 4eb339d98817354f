from __future__ import annotations

from models.registry.model_cards import part_alarms
from models.scorer.part import Part


def test_a_refused_total_is_an_alarm():
    level = {"correction": -2.0, "from": "refused", "alarm": "refused"}
    assert part_alarms(Part("clv", {"report": {"level": level}}, {})) == ["refused"]
    for report in ({"report": {"level": {"correction": 0.0}}}, {"report": {"level": {}}}, {}):
        assert part_alarms(Part("clv", report, {})) == []
