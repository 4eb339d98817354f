"""Commands about one person: `stagecast erase` and `stagecast export-person`."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

import typer

from features.errors import UserError
from flows.commands.options import DEFAULT_OUTPUT, JsonFile, OutputFolder
from flows.services import settings

_Customer = Annotated[str, typer.Argument(help="Customer id, as in the sources.")]


def erase(
    customer: _Customer,
    output: OutputFolder = DEFAULT_OUTPUT,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be removed; change nothing.")
    ] = False,
    address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="An earlier email address or telephone number; may be repeated.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Skip the question, e.g. in scripts.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Remove a person from all output of stagecast, and exclude them from later runs.

    Events, tallies, features, scores, histories, audiences, exports of all runs, and what killed
    runs left. Writes a receipt that says nothing of the person. The sources are yours: erase there
    too.
    """
    settings.apply_defaults()
    from flows.services.console import console, deliver_result, print_table, warn
    from flows.services.output_folder import require_writable

    require_writable(output.absolute(), create=False)
    from flows.services.privacy import erase_customer as erased
    from flows.services.privacy import plan_erasure
    from flows.services.workspace import Workspace

    space = Workspace(output.absolute())
    space.config()
    if dry_run:
        plan = plan_erasure(space, customer, address or ())

        def show_plan() -> None:
            print_table(
                "rows that would be removed", ["where", "rows"], list(plan["places"].items())
            )
            for name in plan["removed_whole"]:
                console.print(f"would be removed whole: {name}", soft_wrap=True)
            console.print("nothing was changed")

        deliver_result(plan, json_file, show_plan)
        for sentence in plan["warnings"]:
            warn(sentence)
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UserError("--yes", found="no terminal to ask at", expected="--yes in scripts")
        typer.confirm(f"Erase this customer from {output} for good?", abort=True)
    path, receipt = erased(space, customer, now=dt.datetime.now(dt.UTC), addresses=address or ())

    def show() -> None:
        rows = list(receipt["rows_removed"].items())
        print_table("rows removed", ["where", "rows"], rows)
        console.print(f"receipt: {path}", soft_wrap=True)
        console.print(f"reports removed: {receipt['reports_removed']} (stagecast report: anew)")
        console.print("not ours to erase: " + "; ".join(receipt["not_ours_to_erase"]))

    deliver_result(receipt, json_file, show)
    for sentence in receipt["warnings"]:
        warn(sentence)


def export_person(
    customer: _Customer,
    output: OutputFolder = DEFAULT_OUTPUT,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write to this file instead of standard output.")
    ] = None,
) -> None:
    """Show everything stored of a person, as JSON: rows by file and table."""
    settings.apply_defaults()
    from flows.services.console import write_json
    from flows.services.privacy import export_customer
    from flows.services.workspace import Workspace

    content = export_customer(Workspace(output.absolute()), customer)
    write_json(content, json_file or Path("-"))


def register_privacy_commands(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(erase)
    app.command()(export_person)
