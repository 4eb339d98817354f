"""DuckDB: events joined with snapshots, filtered aggregates by customer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
from measured_run import Frame, run, window_name


def frames(case: dict[str, Any]) -> Iterator[Frame]:
    connection = duckdb.connect()
    connection.execute(f"SET threads = {case['threads']}")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"SET temp_directory = '{case['spill']}'")
    columns = []
    for kind in case["types"]:
        for days in case["windows"]:
            inside = f"event_type = '{kind}'"
            inside += "" if days is None else f" AND day >= t - {days}"
            for name, made in (("count", "count(*)"), ("sum", "sum(value)")):
                alias = f"{kind}__{name}_{window_name(days)}"
                columns.append(f"{made} FILTER (WHERE {inside}) AS {alias}")
    snapshots = ", ".join(f"({n}, {t})" for n, t in enumerate(case["snapshots"]))
    table = connection.execute(f"""
        SELECT number, customer_id, {", ".join(columns)}
        FROM (SELECT customer_id, event_type, value,
                     epoch_us(occurred_at) // 86400000000 AS day
              FROM '{case["file"]}') AS events
        JOIN (VALUES {snapshots}) AS snapshots(number, t) ON events.day < snapshots.t
        GROUP BY ALL
    """).to_arrow_table()
    numbers = table["number"].to_numpy()
    names = table.column_names[2:]
    for number in range(len(case["snapshots"])):
        mine = numbers == number
        yield (
            number,
            table["customer_id"].to_numpy()[mine],
            {n: table[n].to_numpy()[mine] for n in names},
        )


if __name__ == "__main__":
    run(frames)
