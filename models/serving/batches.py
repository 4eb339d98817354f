"""Predict the customers of one snapshot in batches, in worker processes.

Batches do not change scores: given the scoring context, prediction is row by row. Workers read
batches from files and load the scorer from a local folder, so an outage of the registry does not
stop them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from features import processes
from features.progress import Told, unheard
from models.registry import registry
from models.registry.registry import Loaded
from models.registry.version import Version
from models.scorer.scoring_context import add_sums, scorer_context, scorer_sums

_BATCH = 50_000  # customers predicted at once, to limit memory
# With fewer customers starting worker processes takes longer than they save.
_SIDE_BY_SIDE_FROM = 150_000


def predict_batches(
    loaded: Loaded, frame: pd.DataFrame, *, threads: int, progress: Told = unheard
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Scored rows of a snapshot's customers, in their order, and the scoring context.

    Parameters
    ----------
    loaded
        The scorer.
    frame
        Its input (see `models.serving.score.scoring_frame`): all existing customers.
    threads
        Processors to use; the result does not depend on it.
    progress
        Called with the number of customers counted for the context, and of customers scored.
    """
    workers = threads if len(frame) >= _SIDE_BY_SIDE_FROM else 1
    with _batches(loaded, frame, workers) as run_on_batches:
        sums_by_batch = run_on_batches(
            batch_sums, done=_batch_counter("customers counted", len(frame), progress)
        )
        context = context_from_sums(loaded, sums_by_batch)
        scored_batches = run_on_batches(
            _rows, context, done=_batch_counter("customers scored", len(frame), progress)
        )
    return pd.concat(scored_batches, ignore_index=True), context


def _batch_counter(activity: str, customers: int, progress: Told) -> Callable[[], None]:
    """Function to call after each batch: it reports how many customers are done."""
    done = 0
    progress(activity, done, customers)

    def one_more() -> None:
        nonlocal done
        done = min(done + _BATCH, customers)
        progress(activity, done, customers)

    return one_more


def context_from_sums(loaded: Loaded, sums: list[dict[str, float]]) -> dict[str, Any]:
    """Scoring context from the sums of all batches, added in their order."""
    totals: dict[str, float] = {}
    for batch_totals in sums:
        totals = add_sums(totals, batch_totals)
    return scorer_context(loaded.scorer.parts, totals)


def split_batches(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The batches of a frame."""
    for start in range(0, len(frame), _BATCH):
        yield frame.iloc[start : start + _BATCH]


def batch_sums(loaded: Loaded, batch: pd.DataFrame) -> dict[str, float]:
    """Sums of a batch, from which the scoring context is made."""
    return scorer_sums(loaded.scorer.parts, batch)


def _rows(loaded: Loaded, batch: pd.DataFrame, context: Mapping[str, Any]) -> pd.DataFrame:
    return loaded.predict(batch, context)


@contextmanager
def _batches(loaded: Loaded, frame: pd.DataFrame, workers: int) -> Iterator[Callable[..., Any]]:
    """Yield ``run(work, *arguments, done)``: the list of ``work(loaded, batch, *arguments)``.

    ``done`` is called after each batch.
    """
    if workers == 1:

        def run_here(
            work: Callable[..., Any], *arguments: Any, done: Callable[[], None]
        ) -> list[Any]:
            return _collect(
                (work(loaded, batch, *arguments) for batch in split_batches(frame)), done
            )

        yield run_here
        return
    with (
        tempfile.TemporaryDirectory(prefix="stagecast-score-") as name,
        processes.pool(workers) as pool,
    ):
        files = []
        for number, batch in enumerate(split_batches(frame)):
            files.append(Path(name) / f"{number}.feather")
            batch.reset_index(drop=True).to_feather(files[-1], compression="uncompressed")

        def run_in_workers(
            work: Callable[..., Any], *arguments: Any, done: Callable[[], None]
        ) -> list[Any]:
            scorer = (loaded.folder, loaded.version.version)
            futures = [pool.submit(_in_worker, scorer, work, file, arguments) for file in files]
            return _collect((future.result() for future in futures), done)

        yield run_in_workers


def _collect(results: Iterable[Any], done: Callable[[], None]) -> list[Any]:
    collected = []
    for result in results:
        collected.append(result)
        done()
    return collected


def _in_worker(
    scorer: tuple[Path, int], work: Callable[..., Any], file: Path, arguments: tuple[Any, ...]
) -> Any:
    return work(cached_scorer(*scorer), pd.read_feather(file), *arguments)


@lru_cache(maxsize=1)
def cached_scorer(folder: Path, number: int) -> Loaded:
    """The scorer, loaded once per worker process."""
    return registry.load_folder(folder, Version(registry.SCORER, number, "", (), {}, "", 0))
