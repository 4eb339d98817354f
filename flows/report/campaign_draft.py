"""A playbook to begin with, for the customers that the page's filter chooses."""

from __future__ import annotations

from typing import Any

import yaml

from models.explaining.segments import SEGMENT_NAMES, SegmentCutoffs

_ANY_CUSTOMER = {"column": "stage", "missing": False}
_TEXT = """\
campaign: my_campaign
title: My campaign
description: Chosen in the report of {day}.
kind: promotional
stages:
  {taxonomy}: [{{stages}}]
  other: active
trigger:
  - {{when: schedule, every: day}}
audience:
  any:{{rules}}
expires_days: 30
re_entry_days: 30
rank_by: [p_any_order, average_order_value]
value:
  product: [p_any_order, average_order_value]
  means: expected value of one order of their usual size
channel: email
offer: {{text: "What do you offer?", discount: 0.0}}
contact_cost: 0.02
control_share: 0.2
success: {{metric: response, within_days: 30, base_rate: p_any_order}}
priority: 90
"""


def campaign_draft(taxonomy: str, cutoffs: SegmentCutoffs, day: str) -> dict[str, Any]:
    """What the page needs to write a playbook.

    Parameters
    ----------
    taxonomy
        Name of the stages.
    cutoffs
        Cut-offs of the segments.
    day
        Day of the scores.

    Returns
    -------
    dict
        `text`: the playbook, with ``{stages}`` and ``{rules}`` to be filled in; `rules`: the rule
        of each segment on one line, and under an empty name a rule that all customers meet.
    """
    rules = {"": _ANY_CUSTOMER, **{name: cutoffs.audience_rule(name) for name in SEGMENT_NAMES}}
    text = _TEXT.replace("{day}", day).replace("{taxonomy}", taxonomy)
    return {
        "text": text.replace("{{", "{").replace("}}", "}"),
        "rules": {
            name: yaml.safe_dump(
                rule, default_flow_style=True, sort_keys=False, width=1_000
            ).strip()
            for name, rule in rules.items()
        },
    }
