"""Write a simulation to parquet, part by part, in bounded memory."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import UserError
from simulator import btyd, generate_block, scenario
from simulator.scenario import LifecycleScenario, Scenario
from simulator.shared_settings import BLOCK_SIZE, make_plan, product_table, spend_table

# Metadata key under which every parquet file of a simulation carries the scenario's notice.
SIMULATED_LABEL = b"simulated"
_MOST_CUSTOMERS = 100_000_000
# Default number of customers in a file.
_CHUNK = 8 * BLOCK_SIZE
SIMULATION_MANIFEST = "manifest.json"
CUSTOMER_TABLES = (
    "events",
    "anonymous_events",
    "identities",
    "customers",
    "consents",
    "stage_history",
    "experiments",
    "truth/customers",
    "truth/states",
    "truth/snapshots",
    "truth/uplift",
    "truth/mis_stagings",
)
# Tables without a customer column, one file each.
_SHARED_TABLES = ("products", "spend")


@dataclass(frozen=True)
class _Part:
    """Consecutive blocks that one process writes to one file of each table."""

    scenario: Scenario
    seed: int
    customers: int
    output: Path
    number: int
    blocks: range

    @property
    def size(self) -> int:
        """Customers in this part."""
        return min(self.blocks.stop * BLOCK_SIZE, self.customers) - self.blocks.start * BLOCK_SIZE


def write_simulation(
    name: str,
    *,
    customers: int,
    seed: int,
    output: Path,
    chunk: int = _CHUNK,
    workers: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, int]:
    """Simulate customers; write their history and, in a separate folder, the truth.

    A customer's history depends only on the scenario, the seed and the customer's number. Chunk
    size, workers and the number of customers do not change it. All moments are UTC.

    Parameters
    ----------
    name
        Scenario: `reference`, `btyd`, or the path of a YAML file.
    customers
        Number of customers, from 1 to 100 million.
    seed
        Random seed, 0 or more.
    output
        Folder. Parts of an earlier simulation in it are removed.
    chunk
        Customers in a file, rounded up to whole blocks of 2,048.
    workers
        Number of processes.
    progress
        Called with the number of customers written since the last call.

    Returns
    -------
    dict
        Table -> number of rows. The files are ``<table>/part-*.parquet`` for each of
        `CUSTOMER_TABLES`, ``products.parquet``, ``spend.parquet`` and, written last,
        ``manifest.json``. Scenario `btyd` has only purchases and truth.

    Raises
    ------
    UserError
        If the scenario is unknown or a number is out of range.
    """
    loaded = scenario.load_scenario(name)
    _check_numbers(customers, seed, chunk, workers)
    _remove_earlier_tables(output)
    parts = [
        _Part(loaded, seed, customers, output, number, blocks)
        for number, blocks in enumerate(block_ranges(customers, chunk))
    ]
    total_rows: Counter[str] = Counter()
    for part, row_counts in _write_parts(parts, workers):
        total_rows.update(row_counts)
        progress(part.size)
    total_rows.update(_write_shared_tables(loaded, seed, customers, output))
    manifest = {
        "simulated": True,
        "notice": loaded.notice,
        "scenario": name,
        "customers": customers,
        "seed": seed,
        "first_day": str(loaded.start),
        "last_day": str(loaded.end - dt.timedelta(days=1)),
        "rows": dict(sorted(total_rows.items())),
    }
    (output / SIMULATION_MANIFEST).write_text(
        json.dumps(manifest, indent=2) + "\n", encoding="utf-8"
    )
    return dict(total_rows)


def block_ranges(customers: int, chunk: int = _CHUNK) -> list[range]:
    """Ranges of block numbers, one range a file."""
    blocks, blocks_per_file = -(-customers // BLOCK_SIZE), -(-chunk // BLOCK_SIZE)
    return [
        range(first, min(first + blocks_per_file, blocks))
        for first in range(0, blocks, blocks_per_file)
    ]


def _check_numbers(customers: int, seed: int, chunk: int, workers: int) -> None:
    for setting, value, lowest, highest in (
        ("customers", customers, 1, _MOST_CUSTOMERS),
        ("seed", seed, 0, 2**63 - 1),
        ("chunk", chunk, 1, _MOST_CUSTOMERS),
        ("workers", workers, 1, 256),
    ):
        if not lowest <= value <= highest:
            raise UserError(
                setting, found=value, expected=f"a whole number from {lowest} to {highest}"
            )


def _remove_earlier_tables(output: Path) -> None:
    """Remove the files of an earlier simulation; leave all other files."""
    output.mkdir(parents=True, exist_ok=True)
    for name in (SIMULATION_MANIFEST, *(f"{table}.parquet" for table in _SHARED_TABLES)):
        (output / name).unlink(missing_ok=True)
    for table in CUSTOMER_TABLES:
        for part in (output / table).glob("part-*.parquet"):
            part.unlink()


def _write_parts(parts: list[_Part], workers: int) -> Iterator[tuple[_Part, dict[str, int]]]:
    """Write all parts, in this process or in several; yield each part with its rows by table."""
    if min(workers, len(parts)) == 1:
        for part in parts:
            yield part, _write_part(part)
        return
    # Spawn, not fork: a forked process inherits locked threads of numpy and Arrow.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(parts)), mp_context=context) as pool:
        part_of_task = {pool.submit(_write_part, part): part for part in parts}
        for task in as_completed(part_of_task):
            yield part_of_task[task], task.result()


def _write_part(part: _Part) -> dict[str, int]:
    """Write one part, one row group a block; return rows by table."""
    row_counts: Counter[str] = Counter()
    writers: dict[str, pq.ParquetWriter] = {}
    try:
        for tables in _blocks(part):
            for name, table in tables.items():
                if name not in writers:
                    writers[name] = _open_writer(part, name, table.schema)
                writers[name].write_table(table)
                row_counts[name] += table.num_rows
    finally:
        for writer in writers.values():
            writer.close()
    return dict(row_counts)


def _blocks(part: _Part) -> Iterator[dict[str, pa.Table]]:
    if isinstance(part.scenario, LifecycleScenario):
        shared = make_plan(part.scenario, part.seed)
        for number in part.blocks:
            yield generate_block.lifecycle_tables(shared, number, part.customers)
    else:
        for number in part.blocks:
            yield btyd.btyd_tables(part.scenario, part.seed, number, part.customers)


def _open_writer(part: _Part, name: str, schema: pa.Schema) -> pq.ParquetWriter:
    folder = part.output / name
    folder.mkdir(parents=True, exist_ok=True)
    labelled_schema = schema.with_metadata({SIMULATED_LABEL: part.scenario.notice.encode()})
    file = folder / f"part-{part.number:05d}.parquet"
    return pq.ParquetWriter(file, labelled_schema, compression="zstd", compression_level=1)


def _write_shared_tables(
    loaded: Scenario, seed: int, customers: int, output: Path
) -> dict[str, int]:
    """Write products and acquisition spend; return rows by table."""
    if not isinstance(loaded, LifecycleScenario):
        return {}
    shared = make_plan(loaded, seed)
    tables = dict(
        zip(_SHARED_TABLES, (product_table(shared), spend_table(shared, customers)), strict=True)
    )
    for name, table in tables.items():
        labelled = table.replace_schema_metadata({SIMULATED_LABEL: loaded.notice.encode()})
        pq.write_table(labelled, output / f"{name}.parquet")
    return {name: table.num_rows for name, table in tables.items()}
