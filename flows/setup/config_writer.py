"""A proposed config as YAML text that tells what was assumed, and reads back to the same config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from flows.setup.source_draft import SourceProposal

_SECTION_COMMENTS = {
    "timezone": "the business's own zone: a day is a local calendar day",
    "currency": "for display",
    "minor_units": "decimal places in which amounts are added exactly",
    "sources": "where the events lie, and what their columns mean",
    "roles": "what the event types mean: role: [types]",
    "ignored_event_types": "types of no role; give them one above if they mean something",
    "refunds": "negative orders and refunds reduce spend; or `separate`, or `reject`",
    "quarantine": "share of bad rows above which a run stops",
    "data_through": "the last day that counts: after it comes a hole, then a few stray events",
    "stages": "the life-cycle stages and their parameters, in days",
    "activity_days": "churn risk is told of those who bought within so many days",
    "windows": "features look back so many days",
    "churn": "no purchase within the horizon",
    "clv": "net spend within the horizon",
    "stage": "the silence that confirms that somebody has left",
    "transition": "next change of stage: so many steps of so many days",
    "consent": "audiences are plans only; `managed_elsewhere` where another system checks consent",
    "campaigns": "playbooks: who is addressed, in which order, and who is held out",
}
_HEADER = """\
# Written by `stagecast init`. Lines marked CHECK rest on an assumption; the rest was read from the
# data. `stagecast run --config` with this file works as it is. All keys: docs/config.md.
"""


def config_text(
    mapping: Mapping[str, Any],
    proposals: tuple[SourceProposal, ...],
    why: str,
    guard_checks: Sequence[str] = (),
) -> str:
    """YAML text of a config.

    Parameters
    ----------
    mapping
        The config, keys in the order they shall stand.
    proposals
        Of its sources, in order: their notes become comments.
    why
        Where the horizons come from, a sentence.
    guard_checks
        What the guards of the data find, as sentences.
    """
    lines = [_HEADER, *(f"# CHECK: {_printable(sentence)}" for sentence in guard_checks)]
    notes = dict(_SECTION_COMMENTS)
    naive = [p for p in proposals if "CHECK" in p.notes.get("occurred_at", "")]
    if naive:
        notes["timezone"] += "; CHECK: taken from --timezone"
    if mapping.get("currency") == "mixed":
        notes["currency"] = "CHECK: several currencies are added up as if they were one"
    for key, value in mapping.items():
        if key in ("stages",):
            lines.append(f"\n# {why}")
        lines.append(f"# {notes[key]}" if key in notes else "")
        if key == "sources":
            lines.append("sources:")
            for source, proposal in zip(value, proposals, strict=True):
                lines += _source(source, proposal)
        else:
            lines.append(f"{key}: {_flow_style(value)}")
    text = "\n".join(line for line in lines if line) + "\n"
    if yaml.safe_load(text) != dict(mapping):
        raise AssertionError("the text does not read back to the config it was made from")
    return text


def _flow_style(value: Any) -> str:
    """A value on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, width=100_000, sort_keys=False, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _source(source: Mapping[str, Any], proposal: SourceProposal) -> list[str]:
    lines, notes = [], proposal.notes
    if proposal.preset:
        lines.append(f"  # columns as in the preset {proposal.preset} (`stagecast presets`)")
        lines += [f"  # {notes['preset']}"] if "preset" in notes else []
    for number, (key, value) in enumerate(source.items()):
        lead = "  - " if number == 0 else "    "
        if key == "columns":
            lines.append(f"{lead}columns:")
            for name, column in value.items():
                note = notes.get(name, "").strip()
                lines += [f"      # {_printable(note)}"] if note else []
                lines.append(f"      {_flow_style(name)}: {_flow_style(column)}")
            if "value" not in value and notes.get("value"):
                lines.append(f"      # {_printable(notes['value'])}")
            lines += [f"      # {n}: {_flow_style(c)}" for n, c in proposal.spare.items()]
            if proposal.personal:
                told = ", ".join(_printable(name) for name in proposal.personal)
                lines.append(f"      # left out, being told of people: {told}")
            if proposal.outcomes:
                told = ", ".join(_printable(name) for name in proposal.outcomes)
                lines.append(f"      # left out, since an outcome is known only later: {told}")
        else:
            if key not in proposal.columns and notes.get(key):
                lines.append(f"    # {_printable(notes[key])}")
            lines.append(f"{lead}{key}: {_flow_style(value)}")
    return lines


def _printable(name: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in name)
