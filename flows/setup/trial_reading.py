"""All rows of a proposed config, read once as a run would read them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from features.aggregates.daily_aggregates import tally
from features.aggregates.guard_checks import GuardFinding
from features.aggregates.tallies import Tallies
from features.config import config as configs
from features.config.config import Config
from features.config.validation_messages import problem
from features.errors import UserError
from features.sources.locations import describe_location
from features.sources.quarantine import NO_CUSTOMER
from features.sources.read_report import ReadReport
from flows.services.console import step
from flows.services.data_guards import tally_findings
from flows.services.workspace import latest_event_day
from flows.setup.large_tables import (
    agrees,
    estimated_totals,
    named_reports,
    sample_share,
    sampled_config,
    totals_of_rows,
)
from flows.setup.source_draft import SourceProposal
from flows.setup.source_totals import SourceTotals, totals_of_days

_USUAL_SHARE = 0.01  # of bad rows; more of them are to be looked at
_FEW_ROWS, _ROWS_FOR_A_BAD_ONE = 2, 20  # bad rows of a small table, and rows for each of them
# Reasons of bad rows that a good export has: guests, and copies that `event_id` tells.
_NO_MISTAKES = (NO_CUSTOMER, "duplicate event_id")


@dataclass(frozen=True)
class Trial:
    """What reading all rows of a proposed config has shown.

    Attributes
    ----------
    config, tallies, reports
        The config, its daily counts, and what was set aside.
    keys
        Keys of the config that the rows decide: share of bad rows, last day.
    totals
        Orders, customers and revenue of each source.
    checks
        What the guards of the data find, as sentences.
    problem
        What a run would refuse; None where it would begin.
    share
        One customer in so many was read.
    """

    config: Config
    tallies: Tallies
    reports: list[ReadReport]
    keys: dict[str, Any]
    totals: tuple[SourceTotals, ...]
    checks: tuple[str, ...]
    problem: UserError | None
    share: int = 1


def read_trial(mapping: dict[str, Any], path: Path, customers: int) -> Trial:
    """Read all rows of a proposed config; events after a hole at the end are left out.

    Parameters
    ----------
    mapping
        A config with a `quarantine` that lets every row pass.
    path
        Of its YAML.
    customers
        How many customers every source has at least: of a large file some are left out.

    Raises
    ------
    UserError
        Where no row is usable.
    """
    config = validated_config(mapping, path)
    share = sample_share(config, customers)
    with tempfile.TemporaryDirectory() as folder:
        read_config = config
        if share > 1:
            step(f"large: the trial takes all events of 1 customer in {share}")
            read_config = sampled_config(config, share, Path(folder))
        return _trial(config, read_config, share)


def _trial(config: Config, read_config: Config, share: int) -> Trial:
    """What the rows of a config show, of which `read_config` reads a share."""
    tallies, reports = _tally(read_config)
    if share > 1:
        reports = named_reports(reports, config, share)
    problem = _too_bad(reports)
    if not tallies.daily.num_rows:
        raise problem or UserError("DATA", found="no usable rows", expected="events of customers")
    keys: dict[str, Any] = {"quarantine": {"max_share": _allowed_share(reports)}}
    findings = tally_findings(config, tallies, reports)
    last_day = next((each.value for each in findings if each.name == "stray_end"), None)
    if last_day is not None:
        keys["data_through"] = last_day
        through = {"data_through": dt.date.fromisoformat(last_day)}
        config, read_config = (
            config.model_copy(update=through),
            read_config.model_copy(update=through),
        )
        tallies, reports = _tally(read_config)
    checks = (*_set_aside(reports), *(_check(finding) for finding in findings))
    totals = _totals(read_config, tallies)
    if share > 1:
        totals = _all_totals(config, read_config, totals, share)
    return Trial(config, tallies, reports, keys, totals, checks, problem, share)


def _all_totals(
    config: Config, read_config: Config, sampled: tuple[SourceTotals, ...], share: int
) -> tuple[SourceTotals, ...]:
    """Totals of all rows: counted where a plain count of the sample is right, else estimated."""
    latest, totals = latest_event_day(), []
    for source, read_source, total in zip(
        config.sources, read_config.sources, sampled, strict=True
    ):
        plain = totals_of_rows(read_source, read_config, latest=latest)
        counted = None
        if agrees(plain, total):
            step(f"counting all rows of {describe_location(source.events)}")
            counted = totals_of_rows(source, config, latest=latest)
        named = dataclasses.replace(total, source=describe_location(source.events))
        totals.append(counted or estimated_totals(named, share))
    return tuple(totals)


def fewest_customers(sources: Sequence[SourceProposal]) -> int:
    """How many customers every source has at least, by its sampled rows."""
    return min(source.table.columns[source.columns["customer_id"]].distinct for source in sources)


def _check(finding: GuardFinding) -> str:
    """A finding as a sentence to look at."""
    if finding.name == "stray_end":
        return (
            f"{finding.sentence}; they are left out by `data_through: {finding.value}`: else "
            "everybody would count as lapsed. If the dates are right, remove the key"
        )
    return f"{finding.sentence}; {finding.hint}"


def validated_config(mapping: dict[str, Any], path: Path) -> Config:
    """The config of a mapping.

    Raises
    ------
    UserError
        Where it is not valid.
    """
    try:
        return configs.resolve(Config.model_validate(mapping), path)
    except ValidationError as error:
        raise problem(error, path, mapping, Config) from error


def _tally(config: Config) -> tuple[Tallies, list[ReadReport]]:
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder)
        return tally(
            config, latest=latest_event_day(), quarantine=aside / "q", temporary=aside / "spill"
        )


def _totals(config: Config, tallies: Tallies) -> tuple[SourceTotals, ...]:
    """Orders, customers and revenue of each source; several sources are read one by one."""
    totals = []
    for source in config.sources:
        daily = tallies.daily
        if len(config.sources) > 1:
            try:
                daily = _tally(config.model_copy(update={"sources": (source,)}))[0].daily
            except UserError:  # no usable row
                daily = daily.slice(0, 0)
        totals.append(totals_of_days(describe_location(source.events), daily, config))
    return tuple(totals)


def _mistakes(report: ReadReport) -> dict[str, int]:
    return {r: n for r, n in report.quarantined.items() if r not in _NO_MISTAKES}


def _tolerated(report: ReadReport) -> float:
    """Bad rows that are no sign of a broken export; the row of totals below a list is one."""
    few = _FEW_ROWS if report.rows >= _FEW_ROWS * _ROWS_FOR_A_BAD_ONE else 0
    return max(_USUAL_SHARE * report.rows, few)


def _allowed_share(reports: list[ReadReport]) -> float:
    """Share of bad rows that the config lets pass: guests are no mistake, and nights differ."""
    shares = []
    for report in reports:
        guests = sum(report.quarantined.get(reason, 0) for reason in _NO_MISTAKES)
        mistakes = sum(_mistakes(report).values())
        bad = mistakes if _USUAL_SHARE * report.rows < mistakes <= _tolerated(report) else 0
        shares.append((guests + bad) / report.rows)
    if max(shares) <= _USUAL_SHARE / 2:
        return _USUAL_SHARE
    return min(math.ceil(125 * max(shares) + 100 * _USUAL_SHARE) / 100, 1.0)


def _too_bad(reports: list[ReadReport]) -> UserError | None:
    for report in reports:
        others = _mistakes(report)
        if sum(others.values()) > _tolerated(report):
            reasons = "; ".join(f"{reason}: {n}" for reason, n in others.items())
            return UserError(
                report.source,
                found=f"{sum(others.values())} bad rows of {report.rows} ({reasons})",
                expected=f"at most {_USUAL_SHARE:.0%} bad rows",
                hint="fix the export, or name other columns with --column; "
                "`quarantine: {max_share: ...}` in the YAML lets more of them pass",
            )
    return None


def _set_aside(reports: list[ReadReport]) -> list[str]:
    """Sentences on small tables with more bad rows than usual."""
    return [
        f"{report.source}: {sum(mistakes.values())} of {report.rows} rows are set aside "
        f"({'; '.join(mistakes)}): totals below the list?"
        for report in reports
        if _USUAL_SHARE * report.rows
        < sum((mistakes := _mistakes(report)).values())
        <= _tolerated(report)
    ]
