"""Batch scoring: stored features to scores in parquet, against LightGBM's own walk of the trees.

`uv run python benchmarks/scoring.py --output FOLDER --customers 1000000`, where FOLDER is what
`stagecast run` (or train and promote) left. Its customers at the last snapshot are drawn with
replacement, and their amounts and ratios changed by a tenth each, so that no two rows are equal.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd
import pyarrow as pa

from features.storage.runs import write_parquet
from flows.services.workspace import Workspace
from models.registry import registry
from models.registry.registry import Loaded
from models.scorer.derived_features import derive, model_columns
from models.scorer.linear_model import matrix
from models.serving.batches import predict_batches
from models.serving.score import scoring_frame, stage_late_days

PLAIN = 10_000  # customers whose trees LightGBM walks


def enlarged(frame: pd.DataFrame, customers: int, *, seed: int = 1) -> pd.DataFrame:
    """So many customers like those given, no two of them equal."""
    rng = np.random.default_rng(seed)
    rows = frame.iloc[rng.integers(0, len(frame), customers)].reset_index(drop=True)
    names = model_columns(rows)
    values = rows[names].to_numpy(copy=True)
    for column in range(values.shape[1]):
        known = np.nan_to_num(values[:, column])
        if not np.array_equal(known, np.floor(known)):  # whole numbers are counts, days and codes
            values[:, column] *= np.exp(rng.normal(0.0, 0.1, customers))
    keys = {"customer_id": np.char.mod("c%08d", np.arange(customers))}
    rest = rows.drop(columns=[*names, "customer_id"])
    return pd.concat(
        [pd.DataFrame(keys), rest, pd.DataFrame(values, columns=names, copy=False)], axis=1
    )


def processor_seconds() -> float:
    """Of this process and its finished workers."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


@contextmanager
def timed(into: dict[str, Any], name: str) -> Iterator[None]:
    """Note seconds and processor seconds."""
    wall, used = time.perf_counter(), processor_seconds()
    yield
    into[f"{name}_s"] = time.perf_counter() - wall
    into[f"{name}_processor_s"] = processor_seconds() - used


def scored(loaded: Loaded, file: Path, threads: int) -> dict[str, Any]:
    """Stored features to a parquet file of scores; what it took."""
    found: dict[str, Any] = {}
    with timed(found, "all"):
        with timed(found, "read"):
            frame = pd.read_parquet(file)
        with timed(found, "predict"):
            rows, _ = predict_batches(loaded, frame, threads=threads)
        with timed(found, "write"):
            target = file.with_name("scores.parquet")
            write_parquet(target, pa.Table.from_pandas(rows, preserve_index=False))
    assert len(rows) == len(frame)
    return {
        "customers": len(rows),
        "threads": threads,
        "mb_written": target.stat().st_size / 1e6,
        **found,
        "customers_per_s": len(rows) / found["all_s"],
        "customers_per_processor_s": len(rows) / found["all_processor_s"],
    }


def plain(loaded: Loaded, frame: pd.DataFrame) -> dict[str, Any]:
    """LightGBM's own prediction of the same trees, each once, on prepared numbers."""
    context = loaded.scorer.head["training_context"]
    derived = derive(frame, context)
    for name in ("p_alive", "expected_days", "expected_value", "clv"):
        derived[f"btyd__{name}"] = 1.0  # numbers of its own make no tree slower
    used, trees = 0.0, {}
    for part in loaded.scorer.parts.values():
        for name, booster in part.boosters.items():
            if name.startswith("lead_"):
                continue  # nearly nobody here is one
            columns = part.parameters["columns"]
            x = matrix(derived, columns)
            if name == "timing":  # asked of likely movers only, once a destination
                x = x[: len(x) // 4]
            beside = booster.num_feature() - x.shape[1]  # destination, or what another model says
            x = np.column_stack([x, np.zeros((len(x), beside))])
            before = time.process_time()
            booster.predict(x, raw_score=True, num_threads=1)
            used += time.process_time() - before
            trees[f"{part.name}.{name}"] = booster.num_trees()
    return {"trees": trees, "lightgbm_us_a_customer": used / len(frame) * 1e6}


def equal(loaded: Loaded, frame: pd.DataFrame) -> float:
    """Largest relative difference of any number, walked by LightGBM in small batches instead."""
    context = loaded.scorer.head["training_context"]
    many = loaded.predict(frame, context)
    few = [loaded.predict(frame.iloc[at : at + 2000], context) for at in range(0, len(frame), 2000)]
    one, other = (each.select_dtypes("float64").to_numpy() for each in (many, pd.concat(few)))
    texts = [each.select_dtypes("str").reset_index(drop=True) for each in (many, pd.concat(few))]
    pd.testing.assert_frame_equal(*texts)
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(np.abs(one - other) / np.maximum(np.abs(other), 1e-9)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder with a champion")
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    space = Workspace(asked.output.absolute())
    archive, loaded = space.archive(), registry.load(space.tracking())
    late = stage_late_days(loaded.scorer.parts)
    base = scoring_frame(archive, archive.builder.last_snapshot, late_days=late)
    sample = enlarged(base, PLAIN)
    result = {"difference": equal(loaded, sample), **plain(loaded, sample)}
    with tempfile.TemporaryDirectory(prefix="stagecast-bench-") as folder:
        file = Path(folder) / "features.parquet"
        enlarged(base, asked.customers).to_parquet(file, index=False)
        result |= scored(loaded, file, asked.threads)
    us = 1e6 / result["customers_per_processor_s"]
    result["lightgbm_over_ours"] = result["lightgbm_us_a_customer"] / us
    print(json.dumps(result, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
