"""Forecasts of stage counts over rolling origins: errors, coverage, and last month's matrix.

    uv run python -m benchmarks.stage_forecast OUTPUT...

Every OUTPUT is a folder of `stagecast features`. At each origin (every 10 days) the forecast is
made from what was known then, its intervals included, and compared with the counts that came.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from flows.services.workspace import Workspace
from models.forecasting.stage_forecast import forecast_stages
from models.forecasting.stage_moves import GRID_DAYS, last_month_matrix, past_steps
from models.forecasting.stage_states import STEP_DAYS, StageStates, stage_states

MONTHS = 6
MOST_DATES = 110  # of the grid: three years


def states_of(output: Path) -> tuple[str, StageStates]:
    """Name of the data set, and states of all customers up to the last snapshot."""
    builder = Workspace(output.absolute()).archive().builder
    last, first = builder.last_snapshot, builder.span.first
    days = list(range(last, max(first, last - MOST_DATES * GRID_DAYS), -GRID_DAYS))[::-1]
    return builder.config.name, stage_states(builder.taxonomy, builder.history, days)


def tested(states: StageStates) -> pd.DataFrame:
    """One row per origin, month ahead and stage: actual, expected, low, high, baseline."""
    rows = []
    steps = past_steps(states)
    actual = steps.counts(steps.sizes)
    for origin in states.days[:-1]:
        known = states.until(origin)
        forecast = forecast_stages(known, months=MONTHS) if len(known.days) > 3 else None
        if forecast is None:
            continue
        baseline = last_month_matrix(forecast.steps, origin, len(forecast.mean))
        for month in range(len(forecast.mean)):
            place = np.flatnonzero(steps.grid == origin + (month + 1) * STEP_DAYS)
            for code, stage in enumerate(states.names if len(place) else ()):
                cells = (forecast.mean, forecast.low, forecast.high, baseline)
                values = [float(cell[month, code]) for cell in cells]
                rows.append((origin, month + 1, stage, actual[place[0], code], *values))
    columns = ["origin", "months", "stage", "actual", "expected", "low", "high", "baseline"]
    return pd.DataFrame(rows, columns=columns)


def summary(name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Origins, mean errors (share of all customers) and coverage, by month ahead."""
    rows = rows.assign(
        error=(rows["expected"] - rows["actual"]).abs(),
        naive=(rows["baseline"] - rows["actual"]).abs(),
        inside=(rows["actual"] >= rows["low"]) & (rows["actual"] <= rows["high"]),
        width=rows["high"] - rows["low"],
        whole=rows.groupby(["origin", "months"])["actual"].transform("sum"),
    )
    lines = []
    for months, part in [*rows.groupby("months"), ("all", rows)]:
        lines.append(
            {
                "data": name,
                "months": months,
                "origins": part["origin"].nunique(),
                "error %": 100 * float((part["error"] / part["whole"]).mean()),
                "last month's matrix %": 100 * float((part["naive"] / part["whole"]).mean()),
                "inside %": 100 * float(part["inside"].mean()),
                "width %": 100 * float((part["width"] / part["whole"]).mean()),
            }
        )
    return pd.DataFrame(lines)


def main() -> None:
    """Print one table for all folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outputs", nargs="+", type=Path)
    tables = []
    for output in parser.parse_args().outputs:
        name, states = states_of(output)
        tables.append(summary(name, tested(states)))
    table = pd.concat(tables)
    print("|", " | ".join(table.columns), "|")
    print("|---|---|---:|---:|---:|---:|---:|")
    for line in table.itertuples(index=False):
        cells = [f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in line]
        print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
