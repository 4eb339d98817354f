"""The tables of a store as readers of SQL see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from features.storage.postgres_schema import VIEWS
from features.storage.postgres_store import PostgresStore
from features.storage.result_tables import RESULT_TABLES
from features.storage.scores_store import STORE_FILE
from features.storage.sync_tables import SYNC_TABLES


def connect(url: str) -> Any:
    import psycopg

    return psycopg.connect(**PostgresStore.of(Path(), url).parameters)


def tables(output: Path, url: str | None) -> dict[str, pd.DataFrame]:
    """Every table as a reader of SQL sees it, in one order."""
    found = {}
    for name in (*VIEWS, *RESULT_TABLES, *SYNC_TABLES, "runs"):
        if url is None:
            with duckdb.connect(str(output / STORE_FILE), read_only=True) as con:
                cursor = con.execute(f"SELECT * FROM {name}")
                columns, rows = [c[0] for c in cursor.description or ()], cursor.fetchall()
        else:
            store = PostgresStore.of(output, url)
            with connect(url) as con:
                cursor = con.execute(f"SELECT * FROM {store.schema}.{name}")
                columns, rows = [c.name for c in cursor.description], cursor.fetchall()
        rows = [
            tuple(value.tolist() if isinstance(value, np.ndarray) else value for value in row)
            for row in rows
        ]
        frame = pd.DataFrame(rows, columns=columns, dtype=object)
        keys = frame.apply(lambda row: repr([str(v) for v in row]), axis=1) if len(frame) else []
        order = np.argsort(np.asarray(keys, dtype=str), kind="stable")
        found[name] = frame.iloc[order].reset_index(drop=True)
    return found
