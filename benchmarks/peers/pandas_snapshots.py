"""pandas, snapshot by snapshot and window by window: filter, group, unstack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
from measured_run import Frame, facts, run, window_name


def frames(case: dict[str, Any]) -> Iterator[Frame]:
    events = pd.read_parquet(case["file"])
    events["event_type"] = events["event_type"].astype("category")
    for number, day in enumerate(case["snapshots"]):
        at = pd.Timestamp(0, tz="UTC") + pd.Timedelta(days=day)
        past = events[events["occurred_at"] < at]
        parts = {}
        for days in case["windows"]:
            inside = past
            if days is not None:
                inside = past[past["occurred_at"] >= at - pd.Timedelta(days=days)]
            grouped = inside.groupby(["customer_id", "event_type"], observed=True)["value"]
            both = grouped.agg(["count", "sum"]).unstack(fill_value=0)
            for made, kind in both.columns:
                if made not in facts(case, kind):
                    continue
                parts[f"{kind}__{made}_{window_name(days)}"] = both[made, kind]
        frame = pd.DataFrame(parts).fillna(0)
        yield number, frame.reset_index().to_parquet


if __name__ == "__main__":
    run(frames)
