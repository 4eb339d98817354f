"""Compare two output folders to the last bit: scores, features, audiences, back-test figures.

Run `uv run python scripts/compare_outputs.py BEFORE AFTER` after the same commands with two
versions of the code. Columns that name the run or its moment are left out. Exit code 1 where any
table differs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

OF_THE_RUN = ("run_id", "scored_at", "scorer_version")


def main(before: Path, after: Path) -> int:
    """Print one line per table; return how many differ."""
    differing = 0
    for name, old, new in pairs(before, after):
        verdict = difference(old, new)
        rows = "" if old is None else f"{len(old):,} rows x {old.shape[1]} columns"
        print(f"{'equal' if verdict is None else verdict:40s} {name} {rows}")
        differing += verdict is not None
    print(f"{differing} tables differ")
    return int(differing > 0)


def pairs(
    before: Path, after: Path
) -> Iterator[tuple[str, pd.DataFrame | None, pd.DataFrame | None]]:
    """Every table of either folder, by what it is, with its rows on both sides."""
    old, new = tables(before), tables(after)
    for name in sorted({*old, *new}):
        yield name, _rows(old.get(name)), _rows(new.get(name))


def tables(output: Path) -> dict[str, Path]:
    """Files of an output folder that must not depend on the version of the code."""
    files = {
        f"features {path.parent.name}": path
        for path in (output / "features" / "snapshots").glob("*/features*.parquet")
    }
    runs = sorted(path for path in (output / "runs").glob("*") if path.is_dir())
    for number, run in enumerate(runs):
        files |= {f"run {number} scores": run / "scores" / "scores.parquet"}
        files |= {f"run {number} audience": run / "audience.parquet"}
        files |= {f"run {number} {path.name}": path for path in (run / "audiences").glob("*.csv")}
    files |= {"backtest": output / "backtest.json"}
    return {name: path for name, path in files.items() if path.exists()}


def _rows(path: Path | None) -> pd.DataFrame | None:
    if path is None:
        return None
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        records = content["figures"] if isinstance(content, dict) else content
        return pd.DataFrame(records)
    frame = pd.read_csv(path, dtype=str) if path.suffix == ".csv" else pd.read_parquet(path)
    return frame.drop(columns=[column for column in OF_THE_RUN if column in frame])


def difference(old: pd.DataFrame | None, new: pd.DataFrame | None) -> str | None:
    """What differs first, in a few words; None where both are equal."""
    if old is None or new is None:
        return "only in one"
    if list(old.columns) != list(new.columns):
        return f"columns {sorted({*old.columns} ^ {*new.columns})}"
    if len(old) != len(new):
        return f"{len(old)} and {len(new)} rows"
    unequal = [column for column in old if not old[column].equals(new[column])]
    return f"values of {unequal[:3]}" if unequal else None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
