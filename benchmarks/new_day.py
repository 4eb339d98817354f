"""A new day of events: added to stored tallies, against reading everything anew.

    uv run python benchmarks/new_day.py --customers 200000 --json result.json

About 100 events a customer are stored; the new day brings 0.3 % more, of which 1 % occurred up to
ten days before. Both ways end in the features of the day after; their check sums must be equal.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import event_table
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

SHARE, LATE = 0.003, 0.01
STAGES = {
    "name": "small",
    "life_roles": ["purchase", "touch"],
    "buying_stage": "buyer",
    "stages": [
        {
            "name": "lapsed",
            "rank": 0,
            "silent": True,
            "when": {"days_since_last": "purchase", ">": 180},
        },
        {"name": "buyer", "rank": 2, "when": {"count": "purchase", ">=": 1}},
        {"name": "lead", "rank": 0, "default": True},
    ],
}


def shop(folder: Path) -> Any:
    from features.config.config import Config

    columns = {
        "customer_id": "customer_id",
        "occurred_at": {"column": "occurred_at"},
        "known_at": {"column": "known_at"},
        "value": "value",
    }
    return Config.model_validate(
        {
            "name": "new-day",
            "sources": [
                {
                    "events": f"{folder}/events-*.parquet",
                    "columns": columns,
                    "event_type": {"column": "event_type"},
                }
            ],
            "roles": {
                "touch": ["visit", "email_open", "email_click"],
                "intent": ["cart"],
                "purchase": ["purchase"],
                "support": ["support"],
            },
            "stages": STAGES,
            "activity_days": 365,
        }
    )


def write_files(folder: Path, customers: int) -> dict[str, int]:
    """The stored events, and the new day's, of which some occurred before."""
    shutil.rmtree(folder, ignore_errors=True)
    first, new = folder / "events-0.parquet", folder / "aside-1.parquet"
    stored = event_table.write(first, customers=customers)
    pq.write_table(_known(pq.read_table(first)), first, compression="zstd", row_group_size=1 << 20)
    days = range(event_table.DAYS, event_table.DAYS + 1)
    wanted = int(stored * SHARE)
    event_table.write(new, customers=customers, days=days, events_each=100)
    table = pq.read_table(new)
    while table.num_rows < wanted:
        table = pa.concat_tables([table, table])
    table = _known(table.slice(0, wanted))
    moments = table["occurred_at"].to_numpy().astype("datetime64[us]")
    late = np.arange(wanted) % round(1 / LATE) == 0
    moments[late] -= (1 + np.arange(wanted) % 10)[late].astype("timedelta64[D]")
    column = pa.array(moments, pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    table = table.set_column(table.schema.get_field_index("occurred_at"), "occurred_at", column)
    pq.write_table(table, new)
    return {"stored": stored, "new": wanted}


def _known(table: pa.Table) -> pa.Table:
    return table.append_column("known_at", table["occurred_at"])


def check(frame: pd.DataFrame) -> float:
    numbers = frame.select_dtypes("number").fillna(-1.0).to_numpy(np.float64)
    return float((numbers * (1 + np.arange(len(numbers)) % 97)[:, None]).sum())


def scored_part(output: Path, config: Any) -> tuple[float, float]:
    """Seconds to build the features and facts of the last snapshot, and their check sum."""
    from features.table.feature_store import open_archive

    start = time.perf_counter()
    archive = open_archive(output, config)
    at = archive.builder.last_snapshot
    total = check(archive.features(at)) + check(archive.builder.profile(at))
    return time.perf_counter() - start, total


def main() -> None:
    from flows.services.update_aggregates import refresh_tallies
    from flows.services.workspace import Workspace

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder = arguments.work.resolve() / "new-day"
    rows = write_files(folder, arguments.customers)
    config, found = shop(folder), {**rows}
    grown, anew = Workspace(folder / "grown"), Workspace(folder / "anew")
    refresh_tallies(grown, config)
    (folder / "aside-1.parquet").rename(folder / "events-1.parquet")
    for name, space in (("added", grown), ("anew", anew)):
        start = time.perf_counter()
        read = refresh_tallies(space, config)
        found[f"{name}_tally_seconds"] = time.perf_counter() - start
        found[f"{name}_bytes_read"] = read.bytes_read
        seconds, found[f"{name}_check"] = scored_part(space.output, config)
        found[f"{name}_seconds"] = found[f"{name}_tally_seconds"] + seconds
    found["equal"] = found["added_check"] == found["anew_check"]
    for kind in ("tally_seconds", "seconds"):
        found[f"times_faster_{kind}"] = found[f"anew_{kind}"] / found[f"added_{kind}"]
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, value in found.items():
        print(f"{name}: {value:,.2f}" if isinstance(value, float) else f"{name}: {value}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
