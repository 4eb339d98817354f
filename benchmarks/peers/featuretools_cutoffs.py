"""Featuretools: cutoff times, one training window at a time, ``where`` clauses by event type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import featuretools as ft
import pandas as pd
from measured_run import Frame, facts, run, window_name


def frames(case: dict[str, Any]) -> Iterator[Frame]:
    events = pd.read_parquet(case["file"])
    events["occurred_at"] = events["occurred_at"].dt.tz_localize(None)
    events["event_id"] = range(len(events))
    entities = ft.EntitySet("shop")
    entities.add_dataframe(
        dataframe_name="events",
        dataframe=events,
        index="event_id",
        time_index="occurred_at",
        logical_types={"event_type": "Categorical"},
    )
    entities.normalize_dataframe("events", "customers", "customer_id", make_time_index=False)
    entities.add_interesting_values(
        dataframe_name="events", values={"event_type": list(case["types"])}
    )
    first = events.groupby("customer_id")["occurred_at"].min()
    cutoffs = []
    for day in case["snapshots"]:
        # Cutoffs are inclusive, windows open at their start: a step before midnight is [t-w, t).
        at = pd.Timestamp(0) + pd.Timedelta(days=day) - pd.Timedelta(microseconds=1)
        there = first.index[first <= at]
        cutoffs.append(pd.DataFrame({"customer_id": there, "time": at}))
    wanted = pd.concat(cutoffs, ignore_index=True)
    found: dict[str, Any] = {}
    for days in case["windows"]:
        matrix, _ = ft.dfs(
            entityset=entities,
            target_dataframe_name="customers",
            cutoff_time=wanted,
            training_window=None if days is None else f"{days} days",
            include_cutoff_time=True,
            agg_primitives=["count", "sum"],
            where_primitives=["count", "sum"],
            trans_primitives=[],
            max_depth=1,
            cutoff_time_in_index=True,
        )
        name = window_name(days)
        for kind in case["types"]:
            clause = f"WHERE event_type = {kind}"
            found[f"{kind}__count_{name}"] = matrix[f"COUNT(events {clause})"]
            if "sum" in facts(case, kind):
                found[f"{kind}__sum_{name}"] = matrix[f"SUM(events.value {clause})"]
    frame = pd.DataFrame(found).fillna(0)
    for number, (_, mine) in enumerate(frame.groupby(level="time")):
        yield number, mine.reset_index("time", drop=True).reset_index().to_parquet


if __name__ == "__main__":
    run(frames)
