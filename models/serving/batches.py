"""The customers of one snapshot in batches, predicted side by side by processes of their own.

A batch changes no score: given the scoring context, prediction is row by row. Workers read their
batches from files and load the scorer from the folder that the registry was asked for once, so
that a registry that goes away meanwhile stops nothing.
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

_BATCH = 50_000  # customers predicted at once: bounds memory, changes no score
# Customers from which on worker processes gain more than they take to start.
_SIDE_BY_SIDE_FROM = 150_000


def predicted(
    loaded: Loaded, frame: pd.DataFrame, *, threads: int, told: Told = unheard
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Scored rows of a snapshot's customers, in their order, and the scoring context.

    Parameters
    ----------
    loaded
        The scorer.
    frame
        Its input (see `models.serving.score.scoring_frame`), everyone who exists.
    threads
        Processors to use; the result does not depend on it.
    told
        Told of how many customers are counted for the context, and of how many are scored.
    """
    workers = threads if len(frame) >= _SIDE_BY_SIDE_FROM else 1
    with _batches(loaded, frame, workers) as each:
        counted = each(population_sums, done=_counting("customers counted", len(frame), told))
        context = context_of(loaded, counted)
        batches = each(_rows, context, done=_counting("customers scored", len(frame), told))
    return pd.concat(batches, ignore_index=True), context


def _counting(what: str, of: int, told: Told) -> Callable[[], None]:
    """What is called after each batch, and tells how many customers are done."""
    done = 0
    told(what, done, of)

    def one_more() -> None:
        nonlocal done
        done = min(done + _BATCH, of)
        told(what, done, of)

    return one_more


def context_of(loaded: Loaded, sums: list[dict[str, float]]) -> dict[str, Any]:
    """Scoring context from the sums of all batches, added in their order."""
    total: dict[str, float] = {}
    for each in sums:
        total = add_sums(total, each)
    return scorer_context(loaded.scorer.parts, total)


def pieces(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The batches of a frame."""
    for start in range(0, len(frame), _BATCH):
        yield frame.iloc[start : start + _BATCH]


def population_sums(loaded: Loaded, batch: pd.DataFrame) -> dict[str, float]:
    """What a batch adds to the sums that the scoring context is made from."""
    return scorer_sums(loaded.scorer.parts, batch)


def _rows(loaded: Loaded, batch: pd.DataFrame, context: Mapping[str, Any]) -> pd.DataFrame:
    return loaded.predict(batch, context)


@contextmanager
def _batches(loaded: Loaded, frame: pd.DataFrame, workers: int) -> Iterator[Callable[..., Any]]:
    """Gives ``each(work, *arguments, done)``: a list of ``work(loaded, batch, *arguments)``.

    ``done`` is called after each batch.
    """
    if workers == 1:

        def here(work: Callable[..., Any], *arguments: Any, done: Callable[[], None]) -> list[Any]:
            return _each_told((work(loaded, one, *arguments) for one in pieces(frame)), done)

        yield here
        return
    with (
        tempfile.TemporaryDirectory(prefix="stagecast-score-") as name,
        processes.pool(workers) as pool,
    ):
        files = []
        for number, one in enumerate(pieces(frame)):
            files.append(Path(name) / f"{number}.feather")
            one.reset_index(drop=True).to_feather(files[-1], compression="uncompressed")

        def each(work: Callable[..., Any], *arguments: Any, done: Callable[[], None]) -> list[Any]:
            scorer = (loaded.folder, loaded.version.version)
            futures = [pool.submit(_in_worker, scorer, work, file, arguments) for file in files]
            return _each_told((future.result() for future in futures), done)

        yield each


def _each_told(results: Iterable[Any], done: Callable[[], None]) -> list[Any]:
    found = []
    for result in results:
        found.append(result)
        done()
    return found


def _in_worker(
    scorer: tuple[Path, int], work: Callable[..., Any], file: Path, arguments: tuple[Any, ...]
) -> Any:
    return work(loaded_once(*scorer), pd.read_feather(file), *arguments)


@lru_cache(maxsize=1)
def loaded_once(folder: Path, number: int) -> Loaded:
    """The scorer of this worker process."""
    return registry.load_folder(folder, Version(registry.SCORER, number, "", (), {}, "", 0))
