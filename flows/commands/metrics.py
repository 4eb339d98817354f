"""The command `stagecast metrics`: what the articles track in each stage, period by period."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.errors import UserError
from flows.commands.options import DEFAULT_OUTPUT, JsonFile

if TYPE_CHECKING:
    import pandas as pd

_MONTH = "month"


def metrics(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of a run, or of `stagecast features`.")
    ] = DEFAULT_OUTPUT,
    first: Annotated[
        str | None, typer.Option("--from", help="First day; default: twelve periods back.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(help="Day after the last one; default: the day after the data end."),
    ] = None,
    every: Annotated[str, typer.Option(metavar="DAYS|month", help="Length of a period.")] = _MONTH,
    json_file: JsonFile = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write all figures here.")] = None,
) -> None:
    """Each stage's metrics by period: resolved, hidden under n = 30, or what they still need."""
    begin, end, length = _date(first, "--from"), _date(to, "--to"), _length(every)
    from flows.services.console import deliver_result, write_table_file
    from flows.services.life_cycle_metrics import stage_metrics
    from flows.services.workspace import Workspace

    found = stage_metrics(output, first=begin, to=end, every=length)
    currency = Workspace(output.absolute()).config().currency
    deliver_result(_content(found), json_file, lambda: _print(found, currency))
    if csv_file is not None:
        write_table_file(found, csv_file, "--csv")


def _date(text: str | None, option: str) -> dt.date | None:
    try:
        return None if text is None else dt.date.fromisoformat(text)
    except ValueError as error:
        raise UserError(option, found=repr(text), expected="a date like 2017-10-01") from error


def _length(every: str) -> int | None:
    if every == _MONTH:
        return None
    if not every.isdecimal() or not 1 <= int(every) <= 3650:
        raise UserError("--every", found=repr(every), expected="days, 1 to 3650, or `month`")
    return int(every)


def _content(found: pd.DataFrame) -> dict[str, Any]:
    """All figures and definitions."""
    from features.metrics.metric_catalog import all_metrics

    rows = json.loads(found.assign(
        period_start=found["period_start"].astype(str), period_end=found["period_end"].astype(str)
    ).to_json(orient="records"))  # fmt: skip
    definitions = {m.key: {"unit": m.unit, "meaning": m.meaning} for m in all_metrics()}
    return {"definitions": definitions, "metrics": rows}


def _print(found: pd.DataFrame, currency: str) -> None:
    """The latest four periods, one table a stage; everyone together comes last."""
    from flows.services.console import console, print_table

    starts = list(dict.fromkeys(found["period_start"]))[-4:]
    shown = found[found["period_start"].isin(starts)]
    stages = [s for s in dict.fromkeys(shown["stage"]) if isinstance(s, str)]
    for stage in [*stages, None]:
        mine = shown[shown["stage"].isna()] if stage is None else shown[shown["stage"] == stage]
        rows, absent = [], []
        for _, line in mine.groupby(["metric", "key", "source"], sort=False, dropna=False):
            label, notes = _label(line), set(line["note"])
            if len(notes) == 1 and min(notes).startswith("missing"):
                absent.append(f"{label}: {min(notes)}")
                continue
            cells = {row.period_start: _cell(row, currency) for row in line.itertuples()}
            rows.append([label, *(cells.get(start, "-") for start in starts)])
        title = "everyone" if stage is None else f"stage {stage}"
        if rows:
            print_table(title, ["metric", *(f"from {start}" for start in starts)], rows)
        elif absent:
            console.print(title)
        for said in absent:
            console.print(f"  {said}", highlight=False)
    console.print(
        "* ours, not the article's. In brackets: n. Definitions: docs/metrics.md, or --json FILE."
    )


def _label(line: pd.DataFrame) -> str:
    """A metric as its taxonomy calls it, told apart from others of that name, ours marked."""
    row = line.iloc[0]
    label = str(row["metric"])
    if row["key"] in ("historic_clv", "predicted_clv"):
        label += f", {row['key'].split('_')[0]}"
    if isinstance(row["source"], str):
        label += f", {row['source']}"
    return f"{label} *" if row["ours"] else label


def _cell(row: Any, currency: str) -> str:
    if row.note:
        return str(row.note)
    texts = {
        "share": f"{row.value:.1%}",
        "points": f"{row.value:+.0f}",
        "money": f"{row.value:,.2f} {currency}".strip(),
        "days": f"{row.value:.1f} days",
        "count": f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:.2f}",
    }
    return f"{texts[row.unit]} ({row.n:,})"
