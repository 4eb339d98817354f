"""The command `stagecast init`: a config for unknown tables."""

from __future__ import annotations

import math
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.config.secret_values import plain_secret
from features.contracts import LEFT_OUT
from features.errors import UserError
from flows.commands.options import JsonFile

if TYPE_CHECKING:
    from features.aggregates.daily_aggregates import Tallies
    from features.config.config import Config
    from features.config.sources import Location
    from features.sources.quarantine import ReadReport
    from features.table.snapshot_builder import Builder
    from flows.setup.config_draft import ConfigDraft
    from flows.setup.data_requirements import Readiness
    from flows.setup.source_draft import SourceProposal
    from flows.setup.source_totals import SourceTotals

_PLAYBOOKS = ["campaigns/win_back.yaml", "campaigns/save_valuable_customers.yaml"]
BY_PURCHASES, BY_ENGAGEMENT = "stages/recency_frequency.yaml", "stages/omnisend.yaml"
_ENGAGED = ("touch", "intent", "lead")
_USUAL_SHARE = 0.01  # of bad rows; more of them are to be looked at


def init(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help="CSV, parquet or JSON lines files, or a table behind a URL: URL#TABLE.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="YAML to write; default: NAME.yaml.")
    ] = None,
    timezone: Annotated[
        str, typer.Option(help="The business's zone; clock times without a zone are taken in it.")
    ] = "UTC",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=COLUMN", help="Say what a column is, e.g. customer_id=who; repeatable."
        ),
    ] = None,
    join: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE.COLUMN=TABLE.COLUMN", help="Say which key two tables share; repeatable."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Read the tables as an export of this tool: see `stagecast presets`."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace the YAML where it exists.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Write a config for your own data, and say what the data suffice for.

    Reads the tables, guesses what their columns mean, and proposes roles, stages and horizons.
    Nothing is asked; what had to be assumed is marked CHECK in the YAML.
    """
    from flows.services.settings import apply_defaults
    from flows.setup.source_inference import columns_said

    apply_defaults()
    path = _target(output, data, force)
    drafted = _draft_config(data, path, timezone, columns_said(column or []), preset, join or [])
    from flows.services.console import deliver_result
    from flows.setup.config_writer import config_text
    from flows.setup.draft_tables import draft_content, print_draft

    text = config_text(drafted.mapping, drafted.assembly.sources, drafted.why)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    deliver_result(draft_content(drafted), json_file, lambda: print_draft(drafted, path))
    if drafted.problem is not None:
        raise drafted.problem


def _draft_config(
    data: list[str],
    path: Path,
    timezone: str,
    given: dict[str, str],
    preset: str | None,
    joins: list[str],
) -> ConfigDraft:
    """A config for some tables, tried on all of their rows.

    Raises
    ------
    UserError
        Where a table cannot be read, or its columns do not say who and when.
    """
    from features.sources.events import connect
    from flows.services.console import step
    from flows.services.data_guards import warn_of_tallies
    from flows.setup.config_draft import ConfigDraft
    from flows.setup.data_requirements import readiness
    from flows.setup.table_joins import read_joins
    from flows.setup.table_profiling import profile_table
    from flows.setup.table_roles import assemble

    _check_zone(timezone)
    connection = connect()
    tables = []
    for name in data:
        step(f"looking at {name.split('://')[0] + '://...' if '://' in name else name}")
        tables.append(profile_table(connection, _location(name)))
    said = read_joins(joins, tables)
    assembly = assemble(tables, zone=timezone, given=given, preset=preset, joins=said)
    mapping = _mapping(assembly.sources, path, timezone, _name(data[0]))
    step("reading all rows")
    config = _validated(mapping, path)
    tallies, reports = _tallied(config)
    warn_of_tallies(config, tallies, reports)
    mapping["quarantine"] = {"max_share": _allowed(reports)}
    problem = _too_bad(reports)
    if not tallies.daily.num_rows:
        raise problem or UserError("DATA", found="no usable rows", expected="events of customers")
    totals = _totals(config, tallies)
    builder = _builder(config, tallies)
    try:
        blocks, why = _horizons(builder)
    except UserError as error:
        bought = "purchase" in builder.history.roles
        found = readiness(builder, reports) if bought else None
        return ConfigDraft(
            _final(mapping), assembly, "Days as shipped.", found, problem or error, totals
        )
    mapping |= blocks
    builder = _builder(_validated(mapping, path), tallies)
    found = readiness(builder, reports)
    try:
        builder.needed_days()
    except UserError as error:
        problem = problem or error
    return ConfigDraft(_final(mapping), assembly, why, found, problem or _lacking(found), totals)


def _lacking(found: Readiness) -> UserError | None:
    for need in found.missing:
        return UserError(
            f"{need.prediction}: {need.what}",
            found=need.found,
            expected=f"at least {need.least}",
            hint="bring more data; or name the column that holds it with --column",
        )
    return None


def _target(output: Path | None, data: list[str], force: bool) -> Path:
    path = (output or Path(f"{_name(data[0])}.yaml")).absolute()
    if path.suffix not in (".yaml", ".yml"):
        raise UserError("--output", found=str(output), expected="a file name ending in .yaml")
    if path.exists() and not force:
        raise UserError(
            f"--output {path.name}",
            found="a file of that name",
            expected="a new file",
            hint="give another --output, or --force to replace it",
        )
    return path


def _name(data: str) -> str:
    stem = data.rsplit("#", 1)[-1] if "://" in data else Path(data).name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:40] or "my-data"


def _check_zone(zone: str) -> None:
    from zoneinfo import available_timezones

    if zone not in available_timezones():
        raise UserError(
            "--timezone", found=repr(zone), expected="an IANA name like Europe/Berlin or UTC"
        )


def _location(name: str) -> Location:
    from features.config.sources import UrlTable

    if "://" not in name:
        return str(Path(name).absolute())
    url, sign, table = name.rpartition("#")
    if not sign or not table:
        raise UserError("DATA", found="a URL without a table", expected="URL#TABLE")
    found = plain_secret(name)
    if found is not None:
        raise UserError(
            "DATA",
            found=found,
            expected="'${NAME}' in its place, filled in from the environment: the config would "
            "hold the password for everyone to read",
            hint="export NAME=..., and quote the URL with single quotes",
        )
    return UrlTable(url=url, table=table)


def _mapping(
    sources: tuple[SourceProposal, ...], path: Path, timezone: str, name: str
) -> dict[str, Any]:
    roles, ignored = _roles(sources)
    there = set(roles)
    if "purchase" not in there:
        raise UserError(
            "DATA",
            found=f"events of the roles {', '.join(sorted(there)) or 'none'}, and no purchases",
            expected="a table or an event type of orders: stages, churn and value are about them",
            hint="bring the orders too, or name the columns: --column event_type=COLUMN, "
            "--column value=COLUMN",
        )
    currency = next((s.currency for s in sources if s.currency), "")
    decimals = max(s.decimals for s in sources)
    engaged = bool(there & set(_ENGAGED))
    mapping: dict[str, Any] = {"name": name, "timezone": timezone}
    if currency:
        mapping["currency"] = currency
    if decimals > 2:
        mapping["minor_units"] = decimals
    _count_orders_without_amounts(sources)
    mapping["sources"] = [_source(source, path) for source in sources]
    if any(types != [role] for role, types in roles.items()):
        mapping["roles"] = roles
    if ignored:
        mapping["ignored_event_types"] = ignored
    mapping |= {"refunds": "net", "quarantine": {"max_share": 1.0}}
    mapping["stages"] = {"file": BY_ENGAGEMENT if engaged else BY_PURCHASES}
    return mapping


def _count_orders_without_amounts(sources: tuple[SourceProposal, ...]) -> None:
    """Where no table has amounts, every order counts as 1."""
    if any("value" in source.columns for source in sources):
        return
    for source in sources:
        if source.event_type == "purchase":
            source.value_of_each = 1.0
            source.notes["value_of_each"] = (
                "CHECK: there are no amounts, so every row counts as 1: lifetime value is expected "
                "orders. With amounts: --column value=COLUMN."
            )


def _roles(sources: tuple[SourceProposal, ...]) -> tuple[dict[str, list[str]], list[str]]:
    """Roles of all sources' event types, and types without a role."""
    roles: dict[str, set[str]] = {}
    ignored: set[str] = set()
    for source in sources:
        ignored |= set(source.ignored)
        types = (
            [source.event_type]
            if isinstance(source.event_type, str)
            else source.event_type.get("words", {}).values()
        )
        for event_type in set(types) - {LEFT_OUT}:
            roles.setdefault(event_type, set()).add(event_type)
        for role, types in source.roles.items():
            roles.setdefault(role, set()).update(types)
    mapped = set().union(*roles.values()) if roles else set()
    return {role: sorted(types) for role, types in sorted(roles.items())}, sorted(ignored - mapped)


def _source(source: SourceProposal, path: Path) -> dict[str, Any]:
    draft_content: dict[str, Any] = {
        "events": _shown(source.table.location, path),
        "columns": source.columns,
        "event_type": source.event_type,
    }
    if source.event_id is not None:
        draft_content["event_id"] = source.event_id
    if source.value_scale != 1:
        draft_content["value_scale"] = source.value_scale
    for key in ("only", "value_of_each", "fill_within_order"):
        if getattr(source, key):
            draft_content[key] = getattr(source, key)
    if source.lookups:
        draft_content["lookups"] = [
            {"table": _shown(lookup.table.location, path), **lookup.setting}
            for lookup in source.lookups
        ]
    form = source.table.form.model_dump(exclude_defaults=True)
    return {**draft_content, "csv": form} if form else draft_content


def _shown(location: Location, path: Path) -> Any:
    """A location as the YAML names it: relative where the data lie in its folder or below."""
    if isinstance(location, tuple):
        return [_shown(each, path) for each in location]
    if not isinstance(location, str):
        return location.model_dump()
    beside = os.path.relpath(location, path.parent)
    return location if beside.startswith("..") else Path(beside).as_posix()


def _validated(mapping: dict[str, Any], path: Path) -> Config:
    from pydantic import ValidationError

    from features.config import config as configs
    from features.config.yaml_loading import problem

    try:
        return configs.resolve(configs.Config.model_validate(mapping), path)
    except ValidationError as error:
        raise problem(error, path, mapping) from error


def _tallied(config: Config) -> tuple[Tallies, list[ReadReport]]:
    from features.aggregates.daily_aggregates import tally
    from flows.services.workspace import latest_event_day

    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder)
        return tally(
            config, latest=latest_event_day(), quarantine=aside / "q", temporary=aside / "spill"
        )


def _totals(config: Config, tallies: Tallies) -> tuple[SourceTotals, ...]:
    """Orders, customers and revenue of each source; several sources are read one by one."""
    from features.sources.files import describe_location
    from flows.setup.source_totals import totals_of_days

    totals = []
    for source in config.sources:
        daily = tallies.daily
        if len(config.sources) > 1:
            try:
                daily = _tallied(config.model_copy(update={"sources": (source,)}))[0].daily
            except UserError:  # no usable row
                daily = daily.slice(0, 0)
        totals.append(totals_of_days(describe_location(source.events), daily, config))
    return tuple(totals)


def _allowed(reports: list[ReadReport]) -> float:
    """Share of bad rows that the config lets pass: guests are no mistake, and nights differ."""
    guests = max(
        sum(report.quarantined.get(reason, 0) for reason in _no_mistakes()) / report.rows
        for report in reports
    )
    if guests <= _USUAL_SHARE / 2:
        return _USUAL_SHARE
    return min(math.ceil(125 * guests + 100 * _USUAL_SHARE) / 100, 1.0)


def _no_mistakes() -> tuple[str, ...]:
    """Reasons of bad rows that a good export has: guests, and copies that `event_id` tells."""
    from features.sources.quarantine import NO_CUSTOMER

    return (NO_CUSTOMER, "duplicate event_id")


def _too_bad(reports: list[ReadReport]) -> UserError | None:
    for report in reports:
        others = {r: n for r, n in report.quarantined.items() if r not in _no_mistakes()}
        if sum(others.values()) > _USUAL_SHARE * report.rows:
            told = "; ".join(f"{reason}: {n}" for reason, n in others.items())
            return UserError(
                report.source,
                found=f"{sum(others.values())} bad rows of {report.rows} ({told})",
                expected=f"at most {_USUAL_SHARE:.0%} bad rows",
                hint="fix the export, or name other columns with --column; "
                "`quarantine: {max_share: ...}` in the YAML lets more of them pass",
            )
    return None


def _builder(config: Config, tallies: Tallies) -> Builder:
    from features.table.snapshot_builder import Builder

    return Builder.from_tallies(config, tallies)


def _horizons(builder: Builder) -> tuple[dict[str, Any], str]:
    from flows.commands.horizons import stages_block
    from flows.setup.horizon_suggestions import Spells, suggest_horizons

    end = builder.last_snapshot
    suggestion = suggest_horizons(Spells.of(builder.history, end), builder.history, end)
    why = f"Days suggested by the gaps between orders (`stagecast horizons`): {suggestion.why}."
    return suggestion.blocks(stages_block(builder, suggestion)), why


def _final(mapping: dict[str, Any]) -> dict[str, Any]:
    return {**mapping, "consent": "not_recorded", "campaigns": list(_PLAYBOOKS)}
