"""What `stagecast init` found, as tables and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.services.console import bold, command_text, console, print_table, warn

if TYPE_CHECKING:
    from flows.setup.config_draft import ConfigDraft
    from flows.setup.source_totals import SourceTotals


def draft_content(drafted: ConfigDraft) -> dict[str, Any]:
    """Config, facts, needs and what is in the way, for JSON."""
    found = drafted.readiness
    needs = [] if found is None else found.needs
    return {
        "config": drafted.mapping,
        "share": drafted.share,
        "facts": {} if found is None else dict(found.facts),
        "needs": [{**vars(need), "verdict": need.verdict} for need in needs],
        "left_out": dict(drafted.assembly.left_out),
        "relations": list(drafted.assembly.relations),
        "sources": [total.content() for total in drafted.totals],
        "checks": drafted.checks(),
        "presets": {s.table.name: s.preset for s in drafted.assembly.sources if s.preset},
        "problem": None if drafted.problem is None else str(drafted.problem),
    }


def _sentence(total: SourceTotals) -> str:
    """A source's totals in words."""
    parts = [f"{total.events:,} other events"] if total.events else []
    if total.revenue and not total.orders:
        parts = [f"{total.events:,} refunds, {total.revenue:,.2f}"]
    if total.orders:
        bought = f"{total.orders:,} orders of {total.customers:,} customers"
        parts = [bought, f"revenue {total.revenue:,.2f}", *parts]
    days = f"{total.first_day} to {total.last_day}" if total.first_day else "no usable rows"
    return f"{total.source}: {', '.join([*parts, days])}"


def _shown(value: Any) -> str:
    """A column or columns, as a table shows them."""
    if isinstance(value, dict):
        return str(value["column"])
    return ", ".join(value) if isinstance(value, list) else str(value)


def _short(note: str | None) -> str | None:
    """A note of a table; what must be checked stands below in full."""
    return "CHECK, see below" if note and "CHECK" in note else note


def print_draft(drafted: ConfigDraft, path: Path) -> None:
    """What each column means, what there is, what it suffices for, and what is next."""
    for source in drafted.assembly.sources:
        if source.preset:
            console.print(f"{source.table.name}: preset", bold(source.preset), soft_wrap=True)
        rows: list[tuple[str, Any, str | None]] = [
            (name, _shown(value), _short(source.notes.get(name)))
            for name, value in source.columns.items()
        ]
        kind = source.event_type
        said = kind if isinstance(kind, str) else f"by {kind['column']}"
        rows.append(("event_type", said, _short(source.notes.get("event_type"))))
        print_table(f"{source.table.name}", ["meaning", "column", "to know"], rows)
    for relation in drafted.assembly.relations:
        console.print(f"rows: {relation}", soft_wrap=True, highlight=False)
    for name, reason in drafted.assembly.left_out:
        if "CHECK" not in reason:
            warn(f"{name} is not used: {reason}")
    for check in drafted.checks():
        warn(f"CHECK {check}")
    if drafted.totals:
        console.print("compare with your own books:", highlight=False)
    for total in drafted.totals:
        console.print(f"  {_sentence(total)}", soft_wrap=True, highlight=False)
    if drafted.readiness is not None:
        part = "" if drafted.share == 1 else f", of 1 customer in {drafted.share}"
        print_table(f"what there is{part}", ["what", "how much"], drafted.readiness.facts)
        needs = [
            (n.prediction, n.what, n.least, n.usual, n.found, n.verdict)
            for n in drafted.readiness.needs
        ]
        columns = ["prediction", "needs", "at least", "better", "found", "verdict"]
        print_table(f"what it suffices for{part}", columns, needs)
    console.print(f"wrote {path}", soft_wrap=True)
    if drafted.problem is None:
        command = command_text(f"stagecast run --config {path} --output {path.with_suffix('')}")
        console.print("next:", bold(command), soft_wrap=True)
