"""DuckDB: events joined with snapshots, filtered aggregates by customer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import duckdb
from measured_run import Frame, facts, run, window_name


def frames(case: dict[str, Any]) -> Iterator[Frame]:
    connection = duckdb.connect()
    connection.execute(f"SET threads = {case['threads']}")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"SET temp_directory = '{case['output']}/spill'")
    columns = []
    for kind in case["types"]:
        for days in case["windows"]:
            inside = f"event_type = '{kind}'"
            inside += "" if days is None else f" AND day >= t - {days}"
            for name in facts(case, kind):
                made = "count(*)" if name == "count" else "sum(value)"
                alias = f"{kind}__{name}_{window_name(days)}"
                columns.append(f"{made} FILTER (WHERE {inside}) AS {alias}")
    snapshots = ", ".join(f"({n}, {t})" for n, t in enumerate(case["snapshots"]))
    connection.execute(f"""
        CREATE TEMP TABLE made AS
        SELECT number, customer_id, {", ".join(columns)}
        FROM (SELECT customer_id, event_type, value,
                     epoch_us(occurred_at) // 86400000000 AS day
              FROM '{case["file"]}') AS events
        JOIN (VALUES {snapshots}) AS snapshots(number, t) ON events.day < snapshots.t
        GROUP BY ALL
    """)
    for number in range(len(case["snapshots"])):
        query = f"SELECT * EXCLUDE number FROM made WHERE number = {number}"
        yield number, partial(_copy, connection, query)


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: str) -> None:
    connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")


if __name__ == "__main__":
    run(frames)
