"""Polars, snapshot by snapshot: lazy scan, filtered aggregates, streaming engine.

Of three ways to write it (this, a group by customer and type with a pivot, and masks summed) this
was the fastest at 20,000 and at 200,000 customers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from measured_run import Frame, facts, run, window_name


def frames(case: dict[str, Any]) -> Iterator[Frame]:
    import datetime as dt

    import polars as pl

    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    for number, day in enumerate(case["snapshots"]):
        at = epoch + dt.timedelta(days=day)
        made = []
        for kind in case["types"]:
            for days in case["windows"]:
                inside = pl.col("event_type") == kind
                if days is not None:
                    inside &= pl.col("occurred_at") >= at - dt.timedelta(days=days)
                name = window_name(days)
                made.append(inside.sum().alias(f"{kind}__count_{name}"))
                if "sum" in facts(case, kind):
                    made.append(pl.col("value").filter(inside).sum().alias(f"{kind}__sum_{name}"))
        frame = (
            pl.scan_parquet(case["file"])
            .filter(pl.col("occurred_at") < at)
            .group_by("customer_id")
            .agg(made)
            .collect(engine="streaming")
        )
        yield number, frame.write_parquet


if __name__ == "__main__":
    assert os.environ["POLARS_MAX_THREADS"]
    run(frames)
