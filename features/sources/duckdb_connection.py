"""The embedded engine: how much memory and how many threads it may use, and where it spills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import ibis.backends.duckdb  # loaded on first use else, which takes a second

LEAST_MEMORY_MB = 200  # the engine cannot work in less
# Rows that wait in memory before they are dealt out to files: fewer make many small pieces of each.
WAITING = 2_000_000


def connect(
    temporary: Path | None = None,
    *,
    memory: int | None = None,
    threads: int | None = None,
    ordered: bool = True,
) -> Any:
    """An embedded DuckDB that spills to `temporary` where memory (bytes) runs short.

    Where the order of rows does not matter (`ordered` is False) it needs less of it.
    """
    connection = ibis.duckdb.connect()
    # Of what is handed over in batches, enough is made ahead to keep all threads busy.
    settings: dict[str, Any] = {
        "preserve_insertion_order": ordered,
        "streaming_buffer_size": "64MiB",
        "partitioned_write_flush_threshold": WAITING,
    }
    if temporary is not None:
        temporary.mkdir(parents=True, exist_ok=True)
        settings["temp_directory"] = str(temporary)
    if memory is not None:
        settings["memory_limit"] = f"{max(memory >> 20, LEAST_MEMORY_MB)}MiB"
    if threads is not None:
        settings["threads"] = threads
    for setting, value in settings.items():
        connection.raw_sql(f"SET {setting} = $value", parameters={"value": value})
    _no_progress_bar(connection)
    return connection


def _no_progress_bar(connection: Any) -> None:
    """Keep the engine's bar out of what a command prints; a notebook may refuse a change of it."""
    ((bar_enabled,),) = connection.raw_sql(
        "SELECT current_setting('enable_progress_bar')"
    ).fetchall()
    if bar_enabled:
        connection.raw_sql("SET enable_progress_bar = false")
