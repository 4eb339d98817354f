"""The guards of the data contract, applied to the stored tallies in every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from features.aggregates.guard_checks import GuardFinding, check_guards, tally_facts
from features.aggregates.segments import part_files, table_files
from features.aggregates.tallies import Tallies
from features.config.config import Config
from features.errors import Problems, UserError
from features.sources.read_report import ReadReport
from features.table import feature_store
from flows.services.console import warn
from flows.services.workspace import Workspace


def guard_findings(space: Workspace, config: Config) -> list[GuardFinding]:
    """Return what the guards find in the stored tallies, refusals first."""
    manifest = feature_store.stored_manifest(space.output)
    if manifest is None:
        return []
    daily = _rows(space, "daily", ["customer_id", "event_type", "day", "count"])
    attributes: Iterator[pa.Table] = iter(())
    if "currency" in config.attributes():
        attributes = _rows(space, "attributes", ["attribute", "choice"])
    return check_guards(tally_facts(daily, attributes, config), manifest.reports, config)


def _rows(space: Workspace, table: str, columns: list[str]) -> Iterator[pa.Table]:
    """Yield the stored rows of a table, one row group after the other."""
    folder = space.output / feature_store.FOLDER / feature_store.TALLIES
    for path in table_files(folder, table):
        for part in part_files(path):
            with pq.ParquetFile(part) as file:
                for number in range(file.num_row_groups):
                    yield file.read_row_group(number, columns=columns)


def apply_guards(space: Workspace, config: Config) -> None:
    """Warn of what the guards find, and stop where the config says so.

    Raises
    ------
    UserError
        For the findings of guards whose action is ``refuse``, all in one error.
    """
    problems = Problems()
    for finding in warn_of(guard_findings(space, config)):
        problems.add(guard_error(finding))
    problems.refuse()


def tally_findings(
    config: Config, tallies: Tallies, reports: Sequence[ReadReport]
) -> list[GuardFinding]:
    """Return what the guards find in tallies that are not stored."""
    facts = tally_facts([tallies.daily], [tallies.attributes], config)
    return check_guards(facts, reports, config)


def warn_of(findings: Sequence[GuardFinding]) -> list[GuardFinding]:
    """Print the findings that are warnings; return the others."""
    for finding in findings:
        if finding.action == "warn":
            warn(f"{finding.sentence}; {finding.hint}")
    return [finding for finding in findings if finding.action == "refuse"]


def guard_error(finding: GuardFinding) -> UserError:
    """Return the error for a finding that stops a run."""
    return UserError(
        f"sources: guard {finding.name}",
        found=finding.sentence,
        expected="events that belong to the trade of this shop",
        hint=f"{finding.hint}; `guards: {{{finding.name}: warn}}` lets it pass",
    )
