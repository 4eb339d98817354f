"""What the guards of the data find in unknown tables, as keys of the proposed config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from features.aggregates.daily_aggregates import Tallies
from features.aggregates.guard_checks import check_guards, tally_facts
from features.config.config import Config
from features.sources.quarantine import ReadReport
from flows.services.console import warn

_KEYS = {
    "stray_end": "data_through",
    "stray_start": "earliest",
    "placeholder_id": "placeholder_ids",
}


def propose_guards(
    mapping: dict[str, Any], config: Config, tallies: Tallies, reports: Sequence[ReadReport]
) -> bool:
    """Set the keys that leave implausible events out; return True if the data change by it.

    Prints every finding; the YAML marks the keys CHECK.
    """
    facts = tally_facts([tallies.daily], [tallies.attributes], config)
    changed = False
    for finding in check_guards(facts, reports, config):
        key = _KEYS.get(finding.name)
        if key is None:
            warn(f"{finding.sentence}; {finding.hint}")
            continue
        value = (
            [*mapping.get(key, []), finding.value] if key == "placeholder_ids" else finding.value
        )
        mapping[key] = value
        warn(f"{finding.sentence}; left out by `{key}: {value}` (CHECK)")
        changed = True
    return changed
