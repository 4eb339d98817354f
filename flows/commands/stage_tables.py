"""How stages are shown and written: tables for the terminal, a parquet file of paths."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.text import Text

from features.lifecycle.sub_stages_and_flags import Reason, Standing, path_frame, stage_path
from features.table.snapshot_builder import Builder
from flows.services.console import print_table


def print_counts(found: Standing, at: str) -> None:
    """Print customers and share by stage."""
    total = sum(found.counts.values())
    rows = [(stage, n, f"{n / max(total, 1):.1%}") for stage, n in found.counts.items()]
    print_table(f"stages on {at}", ["stage", "customers", "share"], [*rows, ("all", total, "")])


def print_moves(found: Standing, at: str, to: str) -> None:
    """Print customers by stage at the first date (rows) and the second (columns)."""
    rows = [(stage, *row.values()) for stage, row in found.transitions.items()]
    print_table(f"moves from {at} to {to}", ["from \\ to", *found.transitions], rows)


def reason_line(reason: Reason) -> Text:
    """One step of an explanation."""
    return Text.assemble(
        ("yes", "green") if reason.holds else ("no ", "red"),
        f" {'  ' * reason.depth}",
        (reason.text, "bold" if reason.depth == 0 else ""),
        (f"  (saw {reason.seen})" if reason.seen else "", "dim"),
    )


def write_path(builder: Builder, days: list[int], file: Path) -> int:
    """Write every customer's stage at every date; returns the number of rows."""
    schema = pa.schema(
        [
            ("customer_id", pa.string()),
            ("snapshot_at", pa.timestamp("s")),
            ("stage", pa.dictionary(pa.int8(), pa.string())),
        ]
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    partial, rows = file.with_name(file.name + ".partial"), 0
    with pq.ParquetWriter(partial, schema) as writer:
        for day, who, code in stage_path(builder.taxonomy, builder.history, days):
            frame = path_frame(builder.taxonomy, builder.history, day, who, code)
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
            rows += len(frame)
    os.replace(partial, file)
    return rows
