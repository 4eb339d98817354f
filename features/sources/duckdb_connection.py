"""Connections to the embedded DuckDB engine, with limits of memory, threads and spilling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis

from features.sources.sql_compilers import import_compilers_when_used

import_compilers_when_used()
import ibis.backends.duckdb  # noqa: E402  otherwise loaded on first use, which takes a second

_MIN_MEMORY_MB = 200  # the engine cannot work in less
# Rows buffered before a partitioned write is flushed; fewer make many small row groups.
_WRITE_BUFFER_ROWS = 2_000_000


def connect(
    temporary: Path | None = None,
    *,
    memory: int | None = None,
    threads: int | None = None,
    ordered: bool = True,
) -> Any:
    """Connect to an embedded DuckDB that spills to `temporary` when `memory` (bytes) runs short.

    `ordered=False` allows any row order and needs less memory.
    """
    connection = ibis.duckdb.connect()
    # Buffer enough streamed batches to keep all threads busy.
    settings: dict[str, Any] = {
        "preserve_insertion_order": ordered,
        "streaming_buffer_size": "64MiB",
        "partitioned_write_flush_threshold": _WRITE_BUFFER_ROWS,
    }
    if temporary is not None:
        temporary.mkdir(parents=True, exist_ok=True)
        settings["temp_directory"] = str(temporary)
    if memory is not None:
        settings["memory_limit"] = f"{max(memory >> 20, _MIN_MEMORY_MB)}MiB"
    if threads is not None:
        settings["threads"] = threads
    for setting, value in settings.items():
        connection.raw_sql(f"SET {setting} = $value", parameters={"value": value})
    _no_progress_bar(connection)
    return connection


def _no_progress_bar(connection: Any) -> None:
    """Switch off the engine's progress bar; in a notebook an unneeded change would raise."""
    ((bar_enabled,),) = connection.raw_sql(
        "SELECT current_setting('enable_progress_bar')"
    ).fetchall()
    if bar_enabled:
        connection.raw_sql("SET enable_progress_bar = false")


@contextmanager
def nested_selects() -> Iterator[None]:
    """Leave the selects of a query nested within the block.

    The engine takes them apart itself, and for a sample Ibis would need longer than the engine
    needs for the rows.
    """
    sql_options = ibis.options.sql
    was_fused = sql_options.fuse_selects
    sql_options.fuse_selects = False
    try:
        yield
    finally:
        sql_options.fuse_selects = was_fused
