"""The command `stagecast bench`: published figures of the literature beside those of our fits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import JsonFile

if TYPE_CHECKING:
    from models.evaluation.published_figures import ComparedFigure


def bench(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of published data that the project does not ship."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Fit published data sets and compare with the published figures.

    Exit code 1 if a figure differs by more than its limit. CDNOW (BG/NBD, MBG/NBD, Pareto/NBD,
    Gamma-Gamma) needs the Python package lifetimes. Donations a year (BG/BB), contract renewals
    (sBG, beta-discrete-Weibull) and an apparel cohort need files in the folder of --data. A table
    without its data names the files, their columns and where they are published.
    """
    from dataclasses import asdict

    from flows.services.console import deliver_result
    from models.evaluation.published_figures import compare_published

    rows = compare_published(data)
    differing = [row for row in rows if row.agrees is False]
    content = {"agrees": not differing, "figures": [asdict(row) for row in rows]}
    deliver_result(content, json_file, lambda: _print(rows))
    if differing:
        raise typer.Exit(1)


def _print(rows: list[ComparedFigure]) -> None:
    from flows.services.console import console, print_table

    for data in dict.fromkeys(row.data for row in rows):
        of_data = [row for row in rows if row.data == data]
        if all(row.here is None for row in of_data):
            line = f"{data}: {of_data[0].remark}"
            console.print(line, highlight=False, soft_wrap=True)
            continue
        print_table(
            data,
            ["model", "figure", "published", "here", "difference", "agrees"],
            [
                [
                    row.model, row.figure, _number(row.published), _number(row.here),
                    _number(row.difference), {True: "yes", False: "NO", None: "-"}[row.agrees],
                ]
                for row in of_data
            ],
        )  # fmt: skip
        for remark in dict.fromkeys(row.remark for row in of_data if row.remark):
            console.print(f"  {remark}", highlight=False)
        for source in dict.fromkeys(row.source for row in of_data):
            console.print(f"  source: {source}", highlight=False)
    compared = [row for row in rows if row.agrees is not None]
    agreeing = sum(row.agrees is True for row in compared)
    console.print(f"{agreeing} of {len(compared)} figures agree")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:,.4f}"
