"""The command `stagecast stages`: counts and moves, one customer's reasons, the stage path."""

from __future__ import annotations

import datetime as dt
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import UserError
from flows.commands.options import DEFAULT_OUTPUT, ConfigFile, JsonFile, Settings

if TYPE_CHECKING:
    from features.aggregates.tallies import Tallies
    from features.config.config import Config
    from features.table.snapshot_builder import Builder

app = typer.Typer(
    no_args_is_help=True, help="Stages: counts, reasons, paths over time, wrong records."
)

StagesOutput = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder of an earlier run; its tallies are used if fresh."),
]
At = Annotated[
    str | None,
    typer.Option("--at", help="Date; events strictly before it count. Default: the last snapshot."),
]


def _day_of(text: str, option: str) -> int:
    """Day number of an option's date.

    Raises
    ------
    UserError
        Where it is no date.
    """
    from features.calendar import day_number

    try:
        return day_number(dt.date.fromisoformat(text))
    except ValueError as error:
        raise UserError(option, found=repr(text), expected="a date like 2017-10-01") from error


def _asked(at: str | None) -> int | None:
    """Day of `--at`, refused before anything is read; None where it is the last snapshot."""
    return None if at is None else _day_of(at, "--at")


def _dated(asked: int | None, builder: Builder) -> tuple[int, str]:
    """Day asked for, and how it is written."""
    from features.calendar import day_date

    day = builder.last_snapshot if asked is None else asked
    return day, str(day_date(day))


def _loaded(
    config: str | None, output: Path | None, overrides: list[str] | None
) -> tuple[Config, Path | None]:
    """The config, and the output folder where its stored tallies are fresh."""
    from features.config import config as configs
    from flows.services.workspace import Workspace, tally_fingerprint

    if config is None and output is None:
        raise UserError("--config", found="nothing", expected="--config FILE or --output FOLDER")
    space = Workspace((output or DEFAULT_OUTPUT).absolute())
    source = space.config_file if config is None else configs.find(config)
    if config is None:
        space.config()
    loaded = configs.load(source, tuple(overrides or ()))
    mark = space.output / "features" / "fingerprint"
    fresh = output is not None and mark.is_file()
    if fresh and mark.read_text(encoding="utf-8") == tally_fingerprint(loaded):
        return loaded, space.output
    return loaded, None


def _tallied(config: Config) -> Tallies:
    """The sources read anew."""
    from features.aggregates.daily_aggregates import tally
    from flows.services.console import step, warn
    from flows.services.workspace import latest_event_day

    step(f"reading {len(config.sources)} source(s) of {config.name}")
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder)
        tallies, reports = tally(
            config, latest=latest_event_day(), quarantine=aside / "q", temporary=aside / "spill"
        )
    for report in reports:
        for reason, rows in report.quarantined.items():
            warn(f"{report.source}: {rows} rows set aside: {reason}")
    return tallies


def _for_rules(config: Config) -> Config:
    """The same data set, read without attributes that no rule asks for, and without sessions."""
    from features.lifecycle.taxonomy_parser import load_taxonomy

    asked = {s.attribute for s in load_taxonomy(config).subjects() if s.attribute is not None}
    sources = tuple(
        source.model_copy(update={"columns": source.columns.only(asked)})
        for source in config.sources
    )
    return config.model_copy(update={"sources": sources})


def data_set(config: str | None, output: Path | None, overrides: list[str] | None) -> Builder:
    """The data set for rules: stored tallies where they are fresh, else the sources read anew."""
    from features.table.feature_store import open_archive
    from features.table.snapshot_builder import Builder
    from flows.services.console import warn

    loaded, fresh = _loaded(config, output, overrides)
    if fresh is not None:
        builder = open_archive(fresh, loaded).builder
    else:
        builder = Builder.from_tallies(loaded, _tallied(_for_rules(loaded)))
    for said in builder.taxonomy.not_observable(builder.history.there):
        warn(f"stages: {said}")
    return builder


@app.command()
def show(
    at: At = None,
    config: ConfigFile = None,
    to: Annotated[str | None, typer.Option(help="Second date, for the moves.")] = None,
    json_file: JsonFile = None,
    output: StagesOutput = None,
    overrides: Settings = None,
) -> None:
    """Customers per stage at a date, and how those same customers moved to a second one."""
    from features.lifecycle.sub_stages_and_flags import standing
    from flows.commands.stage_tables import print_counts, print_moves
    from flows.services.console import deliver_result

    asked, second = _asked(at), None if to is None else _day_of(to, "--to")
    builder = data_set(config, output, overrides)
    first, date = _dated(asked, builder)
    if second is not None and second < first:
        raise UserError("--to", found=to, expected=f"a date not before {date}")
    found = standing(builder.taxonomy, builder.history, first, second)

    def show_tables() -> None:
        print_counts(found, date)
        if to is not None:
            print_moves(found, date, to)

    content = {"counts": found.counts, "transitions": found.transitions}
    deliver_result(content, json_file, show_tables)


@app.command()
def explain(
    customer: Annotated[str, typer.Argument(help="Id of the customer, as the source has it.")],
    at: At = None,
    config: ConfigFile = None,
    json_file: JsonFile = None,
    output: StagesOutput = None,
    overrides: Settings = None,
) -> None:
    """Which rule put a customer where, with the values it saw."""
    import numpy as np

    from features.calendar import day_date
    from features.lifecycle.sub_stages_and_flags import explain as reasons_of
    from features.sources.keys import key_value
    from flows.commands.stage_tables import reason_line
    from flows.services.console import console, deliver_result

    asked = _asked(at)
    builder = data_set(config, output, overrides)
    day, date = _dated(asked, builder)
    history = builder.history
    customer = key_value(customer) or customer
    position = int(np.searchsorted(history.customers, customer))
    known = position < len(history.customers) and history.customers[position] == customer
    if not known:
        raise UserError(
            "CUSTOMER", found=customer, expected="an id among the customers of the data set"
        )
    if history.exists_from[position] > day:
        since = day_date(int(history.exists_from[position]))
        raise UserError(
            "--at", found=date, expected=f"{since} or later: nothing was known of {customer} before"
        )
    found = reasons_of(
        builder.taxonomy, history, position, day, minor_units=builder.config.minor_units
    )

    def show_reasons() -> None:
        console.print(f"{customer} on {date}, by the rules of {builder.taxonomy.name}:")
        for reason in found:
            console.print(reason_line(reason))

    content = {"customer_id": customer, "at": date, "taxonomy": builder.taxonomy.name}
    deliver_result(
        content | {"rules": [asdict(reason) for reason in found]}, json_file, show_reasons
    )


@app.command()
def path(
    file: Annotated[Path, typer.Option("--file", help="Parquet file to write.")],
    config: ConfigFile = None,
    first: Annotated[str | None, typer.Option("--from", help="First date.")] = None,
    to: Annotated[str | None, typer.Option(help="Last date; default: the last snapshot.")] = None,
    every_days: Annotated[int, typer.Option(min=1, help="Days between two dates.")] = 7,
    output: StagesOutput = None,
    overrides: Settings = None,
) -> None:
    """Every customer's stage on a grid of dates, as a parquet table."""
    from features.calendar import day_date, grid_back
    from flows.commands.stage_tables import write_path
    from flows.services.console import console

    builder = data_set(config, output, overrides)
    last = builder.last_snapshot if to is None else _day_of(to, "--to")
    begin = last - 52 * every_days if first is None else _day_of(first, "--from")
    days = grid_back(last, every_days=every_days, first=begin)
    if not days:
        raise UserError("--from", found=first, expected=f"a date not after {day_date(last)}")
    rows = write_path(builder, days, file)
    console.print(f"{file}: {rows:,} rows, {len(days)} dates to {day_date(last)}")


@app.command()
def disagree(
    at: At = None,
    config: ConfigFile = None,
    top: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    json_file: JsonFile = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="The same as one table.")] = None,
    output: StagesOutput = None,
    overrides: Settings = None,
) -> None:
    """Customers whose stage in the CRM looks wrong, the surest first, and those without one.

    Each is predicted by a model that has seen other customers' records only. The config needs a
    `stage_history`.
    """
    from flows.services.settings import apply_defaults

    apply_defaults()
    from features.lifecycle.crm_stage_history import declared
    from flows.commands import disagreement as lists
    from flows.services.console import deliver_result, step

    asked = _asked(at)
    loaded, fresh = _loaded(config, output, overrides)
    declared(loaded)
    tallied = None if fresh is not None else lambda: _tallied(loaded)
    with lists.recorded_archive(loaded, tallied, fresh) as archive:
        day, date = _dated(asked, archive.builder)
        lists.check_date(archive, day)
        step(f"fitting on the records known on {date}, cross-fitted by customer")
        from models.serving.crm_disagreement import compare_with_crm

        found = compare_with_crm(archive, day, threads=loaded.threads)
    deliver_result(
        lists.disagreement_content(found), json_file, lambda: lists.print_disagreement(found, top)
    )
    if csv_file is not None:
        lists.write_disagreement_csv(found, csv_file)
