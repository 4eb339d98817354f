"""Write the feature frame of a snapshot to its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.storage.check_sums import write_sum_before_rename
from features.storage.fault_injection import boundary


def write_snapshot(columns: Mapping[str, Any], path: Path) -> None:
    """Write the columns of a feature frame with their check sum, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Named after the process: workers may build the same snapshot side by side.
    unfinished = path.with_suffix(f".{os.getpid()}.partial")
    # Types and pandas' notes come from one row; a frame of all rows would cost a copy of them.
    sample = pd.DataFrame({name: values[:1] for name, values in columns.items()})
    schema = pa.Schema.from_pandas(sample, preserve_index=False)
    arrays = [
        pa.array(columns[column.name], type=column.type, from_pandas=True) for column in schema
    ]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), unfinished)
    boundary("snapshot written")
    # Before the file is there, so that none is ever there without: whoever builds the same
    # snapshot beside us writes the same bytes.
    write_sum_before_rename(unfinished, path)
    os.replace(unfinished, path)
