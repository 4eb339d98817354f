"""A proposed config before it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from features.errors import UserError
from flows.setup.data_requirements import Readiness
from flows.setup.source_totals import SourceTotals
from flows.setup.table_roles import Assembly


@dataclass(frozen=True)
class ConfigDraft:
    """A config, what it was made of, and what is still in the way of a run.

    Attributes
    ----------
    mapping
        The config as a mapping.
    assembly
        The tables and the roles they play.
    why
        Why these horizons were chosen.
    readiness
        What the data suffice for; None where they could not be read.
    problem
        What a run would refuse; None where it would begin.
    totals
        Orders, customers and revenue of each source.
    guard_checks
        What the guards of the data find, as sentences.
    share
        One customer in so many was read for `readiness`: large files are not read whole.
    """

    mapping: dict[str, Any]
    assembly: Assembly
    why: str
    readiness: Readiness | None
    problem: UserError | None
    totals: tuple[SourceTotals, ...] = ()
    guard_checks: tuple[str, ...] = ()
    share: int = 1

    def checks(self) -> list[str]:
        """Every assumption that somebody must check, with the table it is about."""
        notes = [
            f"{source.table.name}: {note.split('CHECK: ', 1)[1].strip()}"
            for source in self.assembly.sources
            for note in source.notes.values()
            if "CHECK: " in note
        ]
        left_out = [
            f"{name} is left out: {reason.split('CHECK: ', 1)[1]}"
            for name, reason in self.assembly.left_out
            if "CHECK: " in reason
        ]
        return [*notes, *left_out, *self.guard_checks]
