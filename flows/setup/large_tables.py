"""Large files: all events of some customers, and totals from one pass over all rows.

A trial of a config needs whole customers and not all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.calendar import day_date
from features.config.config import Config
from features.config.sources import EventSource
from features.sources.locations import describe_location, distinct_files
from features.sources.quick_counts import copy_sample, count_rows
from features.sources.read_report import ReadReport
from flows.setup.source_totals import SourceTotals

_LARGE_BYTES = 150_000_000
_SAMPLE_BYTES = 12_000_000
_FEWEST_CUSTOMERS = 1_000


def sample_share(config: Config, customers: int) -> int:
    """One customer in how many suffices for a trial; 1 where the files are not large.

    Tables with the customer in a lookup are read whole, and so are tables behind a URL.

    Parameters
    ----------
    config
        With the files.
    customers
        How many there are at least: enough of them must be left.
    """
    if any(not _is_plain(source) for source in config.sources):
        return 1
    size = sum(Path(name).stat().st_size for source in config.sources for name in _files(source))
    if size <= _LARGE_BYTES:
        return 1
    return max(1, min(round(size / _SAMPLE_BYTES), customers // _FEWEST_CUSTOMERS))


def _is_plain(source: EventSource) -> bool:
    return isinstance(source.events, str | tuple) and not source.lookups


def _files(source: EventSource) -> list[str]:
    assert isinstance(source.events, str | tuple)
    return distinct_files(source.events)


def sampled_config(config: Config, share: int, folder: Path) -> Config:
    """The config on one customer in `share`; their rows are copied into a folder."""
    sources = []
    for number, source in enumerate(config.sources):
        path = folder / f"{number}.parquet"
        copy_sample(source, share, path)
        sources.append(source.model_copy(update={"events": str(path)}))
    return config.model_copy(update={"sources": tuple(sources)})


def named_reports(reports: Sequence[ReadReport], config: Config, share: int) -> list[ReadReport]:
    """The reports of a sample under the names of the sampled tables."""
    names = [describe_location(source.events) for source in config.sources]
    return [
        dataclasses.replace(report, source=f"{name} (1 customer in {share})")
        for report, name in zip(reports, names, strict=True)
    ]


def totals_of_rows(source: EventSource, config: Config, *, latest: int) -> SourceTotals | None:
    """Totals of a source in one quick pass over its rows; None where that cannot be done."""
    counts = count_rows(source, config, latest=latest)
    if counts is None:
        return None
    return SourceTotals(
        describe_location(source.events),
        counts.orders,
        counts.customers,
        counts.revenue / 10**config.minor_units,
        counts.others,
        day_date(counts.first_day),
        day_date(counts.last_day),
    )


def estimated_totals(total: SourceTotals, share: int) -> SourceTotals:
    """Totals of a sample, for all customers."""
    return dataclasses.replace(
        total,
        source=f"{total.source} (estimated from 1 customer in {share})",
        orders=total.orders * share,
        customers=total.customers * share,
        revenue=total.revenue * share,
        events=total.events * share,
    )


def agrees(plain: SourceTotals | None, tallied: SourceTotals) -> bool:
    """Whether the plain count of a sample is that of its tallies."""
    if plain is None:
        return False
    same = ("orders", "customers", "first_day", "last_day")
    alike: list[Any] = [getattr(plain, name) == getattr(tallied, name) for name in same]
    return all(alike) and abs(plain.revenue - tallied.revenue) < 0.005
