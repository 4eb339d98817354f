"""Temporian: moving_count and moving_sum, sampled at every customer's snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import temporian as tp
from measured_run import Frame, facts, run, window_name

STEP = 1e-6  # windows are (t - w, t]: sampled a microsecond before midnight they are [t - w, t)
DAY = 86_400.0
EVER = 1e12


def frames(case: dict[str, Any]) -> Iterator[Frame]:
    events = pd.read_parquet(case["file"])
    seconds = events["occurred_at"].astype("int64") / 1e6
    ids = np.unique(events["customer_id"].to_numpy())
    at = np.array(case["snapshots"]) * DAY - STEP
    sampling = tp.event_set(
        timestamps=np.tile(at, len(ids)),
        features={"customer_id": np.repeat(ids, len(at))},
        indexes=["customer_id"],
    )
    columns: dict[str, Any] = {}
    for kind in case["types"]:
        mine = (events["event_type"] == kind).to_numpy()
        rows = tp.event_set(
            timestamps=seconds[mine].to_numpy(),
            features={
                "customer_id": events["customer_id"].to_numpy()[mine],
                "value": events["value"].to_numpy()[mine],
            },
            indexes=["customer_id"],
        )
        for days in case["windows"]:
            length = EVER if days is None else days * DAY
            counted = rows.moving_count(length, sampling=sampling)
            name = window_name(days)
            columns[f"{kind}__count_{name}"] = _table(counted, ids, len(at))
            if "sum" in facts(case, kind):
                summed = rows["value"].moving_sum(length, sampling=sampling)
                columns[f"{kind}__sum_{name}"] = _table(summed, ids, len(at))
    for number in range(len(at)):
        values = {name: table[:, number] for name, table in columns.items()}
        yield number, pd.DataFrame({"customer_id": ids, **values}).to_parquet


def _table(found: Any, ids: np.ndarray, snapshots: int) -> np.ndarray:
    """Values by customer and snapshot; customers without such an event are zero."""
    made = np.zeros((len(ids), snapshots))
    for place, key in enumerate(ids):
        index = found.data.get((key,))
        if index is not None:
            made[place] = index.features[0]
    return made


if __name__ == "__main__":
    run(frames)
