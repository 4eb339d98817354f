"""Simulated customers with a known truth, streamed to parquet in parts of bounded memory."""

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
from simulator.scenario import Lifecycle, Scenario
from simulator.shared_settings import BLOCK, plan, products, spend

# Every parquet file of a simulation says so in its metadata, under this key.
LABEL = b"simulated"
MOST_CUSTOMERS = 100_000_000
# Customers a file, unless told otherwise.
CHUNK = 8 * BLOCK
MANIFEST = "manifest.json"
TABLES = (
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
# Tables that no customer owns, one file each.
SHARED = ("products", "spend")


@dataclass(frozen=True)
class Part:
    """A run of whole blocks that one process writes to one file a table."""

    scenario: Scenario
    seed: int
    customers: int
    output: Path
    number: int
    blocks: range

    @property
    def size(self) -> int:
        """Customers in this part."""
        return min(self.blocks.stop * BLOCK, self.customers) - self.blocks.start * BLOCK


def simulate(
    name: str,
    *,
    customers: int,
    seed: int,
    output: Path,
    chunk: int = CHUNK,
    workers: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, int]:
    """Simulate customers and write their history, and the truth apart from it.

    A customer's history depends on the scenario, the seed and their own number only: not on the
    chunk, the number of workers, or how many other customers there are. All moments are UTC.

    Parameters
    ----------
    name
        Scenario: `reference`, `btyd`, or the path of a YAML file.
    customers
        How many; from 1 to 100 million.
    seed
        Of everything random; 0 or more.
    output
        Folder. Parts of an earlier simulation in it are removed.
    chunk
        Customers a file, rounded up to whole blocks of 2,048.
    workers
        Processes.
    progress
        Called with the number of customers written since the last call.

    Returns
    -------
    dict
        Rows by table. Written are ``<table>/part-*.parquet`` for each of `TABLES` (truth under
        ``truth/``), ``products.parquet``, ``spend.parquet`` and last ``manifest.json``; scenario
        `btyd` has purchases and truth only.

    Raises
    ------
    UserError
        For an unknown scenario, or numbers out of range.
    """
    spec = scenario.load(name)
    _check(customers, seed, chunk, workers)
    _clear(output)
    parts = [
        Part(spec, seed, customers, output, number, blocks)
        for number, blocks in enumerate(block_ranges(customers, chunk))
    ]
    rows: Counter[str] = Counter()
    for part, written in _written(parts, workers):
        rows.update(written)
        progress(part.size)
    rows.update(_shared(spec, seed, customers, output))
    about = {
        "simulated": True,
        "notice": spec.notice,
        "scenario": name,
        "customers": customers,
        "seed": seed,
        "first_day": str(spec.start),
        "last_day": str(spec.end - dt.timedelta(days=1)),
        "rows": dict(sorted(rows.items())),
    }
    (output / MANIFEST).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return dict(rows)


def block_ranges(customers: int, chunk: int = CHUNK) -> list[range]:
    """The blocks of customers that each file holds."""
    blocks, step = -(-customers // BLOCK), -(-chunk // BLOCK)
    return [range(first, min(first + step, blocks)) for first in range(0, blocks, step)]


def _check(customers: int, seed: int, chunk: int, workers: int) -> None:
    for what, value, least, most in (
        ("customers", customers, 1, MOST_CUSTOMERS),
        ("seed", seed, 0, 2**63 - 1),
        ("chunk", chunk, 1, MOST_CUSTOMERS),
        ("workers", workers, 1, 256),
    ):
        if not least <= value <= most:
            raise UserError(what, found=value, expected=f"a whole number from {least} to {most}")


def _clear(output: Path) -> None:
    """Remove what an earlier simulation wrote, and nothing else."""
    output.mkdir(parents=True, exist_ok=True)
    for name in (MANIFEST, *(f"{table}.parquet" for table in SHARED)):
        (output / name).unlink(missing_ok=True)
    for table in TABLES:
        for part in (output / table).glob("part-*.parquet"):
            part.unlink()


def _written(parts: list[Part], workers: int) -> Iterator[tuple[Part, dict[str, int]]]:
    """Write all parts, in this process or in several; gives each with its rows by table."""
    if min(workers, len(parts)) == 1:
        for part in parts:
            yield part, write_part(part)
        return
    # Fresh processes: a forked one would inherit threads of numpy and Arrow in any state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(parts)), mp_context=context) as pool:
        waiting = {pool.submit(write_part, part): part for part in parts}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def write_part(part: Part) -> dict[str, int]:
    """Write one part, a row group a block; returns rows by table."""
    rows: Counter[str] = Counter()
    writers: dict[str, pq.ParquetWriter] = {}
    try:
        for tables in _blocks(part):
            for name, table in tables.items():
                if name not in writers:
                    writers[name] = _writer(part, name, table.schema)
                writers[name].write_table(table)
                rows[name] += table.num_rows
    finally:
        for writer in writers.values():
            writer.close()
    return dict(rows)


def _blocks(part: Part) -> Iterator[dict[str, pa.Table]]:
    if isinstance(part.scenario, Lifecycle):
        shared = plan(part.scenario, part.seed)
        for number in part.blocks:
            yield generate_block.tables(shared, number, part.customers)
    else:
        for number in part.blocks:
            yield btyd.tables(part.scenario, part.seed, number, part.customers)


def _writer(part: Part, name: str, schema: pa.Schema) -> pq.ParquetWriter:
    folder = part.output / name
    folder.mkdir(parents=True, exist_ok=True)
    labelled = schema.with_metadata({LABEL: part.scenario.notice.encode()})
    file = folder / f"part-{part.number:05d}.parquet"
    return pq.ParquetWriter(file, labelled, compression="zstd", compression_level=1)


def _shared(spec: Scenario, seed: int, customers: int, output: Path) -> dict[str, int]:
    """Write the tables that no customer owns."""
    if not isinstance(spec, Lifecycle):
        return {}
    shared = plan(spec, seed)
    tables = dict(zip(SHARED, (products(shared), spend(shared, customers)), strict=True))
    for name, table in tables.items():
        labelled = table.replace_schema_metadata({LABEL: spec.notice.encode()})
        pq.write_table(labelled, output / f"{name}.parquet")
    return {name: table.num_rows for name, table in tables.items()}
