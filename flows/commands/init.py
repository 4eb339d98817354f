"""The command `stagecast init`: a config for unknown tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.config.secret_values import plain_secret
from features.errors import UserError
from flows.commands.options import JsonFile

if TYPE_CHECKING:
    from features.config.sources import Location
    from features.table.snapshot_builder import Builder
    from flows.setup.answers import Answers, DateOrder
    from flows.setup.config_draft import ConfigDraft
    from flows.setup.data_requirements import Readiness
    from flows.setup.table_roles import Assembly

_PLAYBOOKS = ["campaigns/win_back.yaml", "campaigns/save_valuable_customers.yaml"]


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
    role: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD=ROLE",
            help="Say what a word of a state or event type is: purchase, refund, ..., ignore; "
            "repeatable.",
        ),
    ] = None,
    dates: Annotated[
        str | None,
        typer.Option(help="How dates are read that fit either way: day-first or month-first."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; take what is assumed.")
    ] = False,
    force: Annotated[bool, typer.Option(help="Replace the YAML where it exists.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Write a config for your own data, and say what the data suffice for.

    Reads the tables, guesses what their columns mean, and proposes roles, stages and horizons.
    In a terminal it asks about what it had to assume, unless --yes is given; the options say the
    same. All assumptions are marked CHECK in the YAML.
    """
    from flows.services.settings import apply_defaults
    from flows.setup.answers import Answers, roles_said
    from flows.setup.questions import can_ask
    from flows.setup.source_inference import columns_said

    apply_defaults()
    path = _target(output, data, force)
    _check_zone(timezone)
    answers = Answers(
        timezone, columns_said(column or []), _date_order(dates), roles_said(role or [])
    )
    asks = can_ask() and not yes
    drafted = _draft_config(data, path, answers, preset, join or [], asks=asks)
    from flows.services.console import deliver_result
    from flows.setup.config_writer import config_text
    from flows.setup.draft_tables import draft_content, print_draft

    text = config_text(drafted.mapping, drafted.assembly.sources, drafted.why, drafted.guard_checks)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    deliver_result(draft_content(drafted), json_file, lambda: print_draft(drafted, path))
    if drafted.problem is not None:
        raise drafted.problem


def _draft_config(
    data: list[str],
    path: Path,
    answers: Answers,
    preset: str | None,
    joins: list[str],
    *,
    asks: bool,
) -> ConfigDraft:
    """A config for some tables, tried on all of their rows.

    Raises
    ------
    UserError
        Where a table cannot be read, or its columns do not say who and when.
    """
    from features.sources.events import connect
    from features.table.snapshot_builder import Builder
    from flows.services.console import progress_console, step
    from flows.setup.answers import apply_roles, order_dates
    from flows.setup.config_draft import ConfigDraft
    from flows.setup.config_mapping import config_mapping
    from flows.setup.data_requirements import readiness
    from flows.setup.questions import ask
    from flows.setup.split_tables import profile_tables
    from flows.setup.table_joins import read_joins
    from flows.setup.table_roles import assemble
    from flows.setup.trial_reading import fewest_customers, read_trial, validated_config

    profiles = profile_tables(connect(), [_location(name) for name in data])

    def proposed(known: Answers) -> Assembly:
        tables = order_dates(profiles, known.dates)
        assembly = assemble(
            tables,
            zone=known.timezone,
            given=known.columns,
            preset=preset,
            joins=read_joins(joins, tables),
        )
        apply_roles(assembly.sources, known.roles)
        return assembly

    assembly = proposed(answers)
    if asks:
        said = ask(assembly.sources, answers, progress_console)
        if said != answers:
            answers, assembly = said, proposed(said)
            step(f"the same without questions: --yes {answers.options()}")
    mapping = config_mapping(assembly.sources, path, answers.timezone, _name(data[0]))
    step("reading all rows")
    trial = read_trial(mapping, path, fewest_customers(assembly.sources))
    reports, problem = trial.reports, trial.problem
    mapping |= trial.keys
    builder = Builder.from_tallies(trial.config, trial.tallies)

    def drafted(why: str, found: Readiness | None, problem: UserError | None) -> ConfigDraft:
        return ConfigDraft(
            _final(mapping), assembly, why, found, problem, trial.totals, trial.checks, trial.share
        )

    try:
        blocks, why = _horizons(builder)
    except UserError as error:
        bought = "purchase" in builder.history.roles
        found = readiness(builder, reports) if bought else None
        why, problem = "Days as shipped.", problem or error
        return drafted(why, found, problem)
    mapping |= blocks
    builder = Builder.from_tallies(validated_config(mapping, path), trial.tallies)
    found = readiness(builder, reports)
    try:
        builder.needed_days()
    except UserError as error:
        problem = problem or error
    return drafted(why, found, problem or _lacking(found))


def _lacking(found: Readiness) -> UserError | None:
    for need in found.missing:
        return UserError(
            f"{need.prediction}: {need.what}",
            found=need.found,
            expected=f"at least {need.least}",
            hint="bring a longer history or more customers, or change the horizons in the config; "
            "or name the column that holds it with --column",
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


def _date_order(dates: str | None) -> DateOrder | None:
    if dates is None:
        return None
    if dates == "day-first":
        return "day-first"
    if dates == "month-first":
        return "month-first"
    raise UserError("--dates", found=repr(dates), expected="day-first or month-first")


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


def _horizons(builder: Builder) -> tuple[dict[str, Any], str]:
    from features.history.order_spells import Spells
    from flows.commands.horizons import stages_block
    from flows.setup.horizon_suggestions import suggest_horizons

    end = builder.last_snapshot
    suggestion = suggest_horizons(Spells.of(builder.history, end), builder.history, end)
    why = f"Days suggested by the gaps between orders (`stagecast horizons`): {suggestion.why}."
    return suggestion.blocks(stages_block(builder, suggestion)), why


def _final(mapping: dict[str, Any]) -> dict[str, Any]:
    return {**mapping, "consent": "not_recorded", "campaigns": list(_PLAYBOOKS)}
