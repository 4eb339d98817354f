"""How often the 80 % intervals of total spend hold, for all customers and for groups.

    uv run python -m benchmarks.totals OUTPUT... --every 2

Every OUTPUT is a folder of `stagecast features`. At each matured training date (or every N-th, the
latest first) the CLV part is fitted on what had matured by then, and its interval of the total is
compared with what came. Cells of stage and value tier stand for segments and audiences: past errors
are taken from stages and from value tiers, not from their cells.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from features.calendar import day_date
from features.table.feature_store import Archive
from flows.services.workspace import Workspace
from models.evaluation.evaluate import predict_part
from models.fitting.total_interval import spend_interval
from models.fitting.training_set import add_channel, join_labels, training_set
from models.tasks.all_tasks import TASKS


def groups(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Kind and rows of all customers and of every group."""
    yield "all", rows
    for kind, columns in (
        ("stage", ["stage"]),
        ("value tier", ["tier"]),
        ("stage and value tier", ["stage", "tier"]),
    ):
        for _, members in rows.groupby(columns, observed=True):
            yield kind, members


def tested_totals(archive: Archive, origin: int) -> list[dict[str, object]]:
    """Fit at an origin and compare every total with its interval."""
    builder = archive.builder
    data = training_set(archive, "clv", origin)
    part = TASKS["clv"].fit(data, builder.config, builder.taxonomy.names, threads=1)
    everyone = add_channel(archive, "clv", archive.inputs("clv", origin), origin)
    rows = join_labels(everyone, builder.labels("clv", origin))
    outputs = predict_part(part, rows, everyone)
    rows = rows[["stage", "spend"]].assign(clv=outputs["clv"], tier=outputs["value_tier"])
    errors, whole = part.parameters["total_errors"], float(rows["clv"].sum())
    totals = []
    for kind, members in groups(rows):
        expected, actual = float(members["clv"].sum()), float(members["spend"].sum())
        interval = None if errors is None else spend_interval(errors, members["clv"], whole)
        low, high = interval or (np.nan, np.nan)
        totals.append(
            {
                "data": builder.config.name,
                "kind": kind,
                "shown": interval is not None,
                "below": actual < low,
                "above": actual > high,
                "width": (high - low) / expected if expected > 0 else np.nan,
            }
        )
    return totals


def coverage(totals: pd.DataFrame) -> pd.DataFrame:
    """Count totals, intervals, and outcomes below, within and above, by data set and kind."""
    found = totals.groupby(["kind", "data"], sort=False)
    table = found.agg(
        totals=("shown", "size"), intervals=("shown", "sum"), below=("below", "sum"),
        above=("above", "sum"), width=("width", "median"),
    )  # fmt: skip
    within = table["intervals"] - table["below"] - table["above"]
    return table.assign(within=within, share=within / table["intervals"])


def main() -> None:
    """Print the table of the folders so far after each of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("outputs", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=1)
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    for output in arguments.outputs:
        archive = Workspace(output).archive()
        builder = archive.builder
        for origin in sorted(builder.training_days("clv", builder.last_snapshot))[
            :: -arguments.every
        ]:
            if builder.training_days("clv", origin):
                rows += tested_totals(archive, origin)
                print(builder.config.name, day_date(origin), flush=True)
        print(coverage(pd.DataFrame(rows)).round(2).to_string(), flush=True)


if __name__ == "__main__":
    main()
