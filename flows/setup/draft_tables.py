"""What `stagecast init` found, as tables and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.services.console import command_text, console, print_table, warn

if TYPE_CHECKING:
    from flows.setup.config_draft import ConfigDraft


def draft_content(drafted: ConfigDraft) -> dict[str, Any]:
    """Config, facts, needs and what is in the way, for JSON."""
    found = drafted.readiness
    needs = [] if found is None else found.needs
    return {
        "config": drafted.mapping,
        "facts": {} if found is None else dict(found.facts),
        "needs": [{**vars(need), "verdict": need.verdict} for need in needs],
        "left_out": dict(drafted.assembly.left_out),
        "problem": None if drafted.problem is None else str(drafted.problem),
    }


def print_draft(drafted: ConfigDraft, path: Path) -> None:
    """What each column means, what there is, what it suffices for, and what is next."""
    for source in drafted.assembly.sources:
        rows: list[tuple[str, Any, str | None]] = [
            (name, value["column"] if isinstance(value, dict) else value, source.notes.get(name))
            for name, value in source.columns.items()
        ]
        kind = source.event_type
        said = kind if isinstance(kind, str) else f"by {kind['column']}"
        rows.append(("event_type", said, source.notes.get("event_type")))
        print_table(f"{source.table.name}", ["meaning", "column", "to know"], rows)
    for name, reason in drafted.assembly.left_out:
        warn(f"{name} is not used: {reason}")
    if drafted.readiness is not None:
        print_table("what there is", ["what", "how much"], drafted.readiness.facts)
        needs = [
            (n.prediction, n.what, n.least, n.usual, n.found, n.verdict)
            for n in drafted.readiness.needs
        ]
        columns = ["prediction", "needs", "at least", "better", "found", "verdict"]
        print_table("what it suffices for", columns, needs)
    console.print(f"wrote {path}", soft_wrap=True)
    if drafted.problem is None:
        command = command_text(f"stagecast run --config {path} --output {path.with_suffix('')}")
        console.print(f"next: [bold]{command}[/]", soft_wrap=True)
