"""Which event files the stored tallies were made from, and whether new ones can be added to them.

A source that is a pattern or a list of files grows by new files: only those are read. Everything
else (a file that changed or went, another config, a lookup with new content) asks for a rebuild.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from features.config.config import Config
from features.config.sources import EventSource, Location, UrlTable
from features.sources.files import distinct_files
from features.sources.quarantine import ReadReport, sum_reports
from features.storage.check_sums import has_sums

MANIFEST = "manifest.json"
Stamp = tuple[int, int]  # bytes and time of change of a file
PATTERN = "*?["
# Rows set aside for these reasons may be good on a later day.
TOO_EARLY = ("occurred_at after", "known_at after")


class CannotExtend(Exception):
    """New files change what is stored, so that it must be built anew; says why."""


@dataclass(frozen=True)
class Manifest:
    """What the stored tallies hold.

    Attributes
    ----------
    recipe
        Hash of the config keys that the tallies depend on.
    latest
        Day number after which no event counted as genuine.
    files
        By source, the event files read: path, and its stamp.
    others
        Files that every row may depend on (lookups, identities, stage history): path, and stamp.
    segments
        Names of the stored segments, oldest first.
    reports
        By source, what became of its rows, all segments together.
    event_types
        Those with events, rising.
    """

    recipe: str
    latest: int
    files: tuple[Mapping[str, Stamp], ...]
    others: Mapping[str, Stamp]
    segments: tuple[str, ...] = ()
    reports: tuple[ReadReport, ...] = ()
    event_types: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of all event files."""
        return sum(size for files in self.files for size, _ in files.values())

    def save(self, folder: Path) -> None:
        """Write it in one act: from then on the segments it names count."""
        partial = folder / f"{MANIFEST}.partial"
        partial.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        os.replace(partial, folder / MANIFEST)

    @classmethod
    def load(cls, folder: Path) -> Manifest | None:
        """The manifest of a folder of tallies; None where there is none that can be read.

        None also where the tallies are of an earlier version, which stored no check sums.
        """
        try:
            content: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            tables = [folder / name / "daily.parquet" for name in content["segments"]]
            if not all(has_sums(table) for table in tables if table.exists()):
                return None
            return cls(
                recipe=content["recipe"],
                latest=content["latest"],
                files=tuple(_stamps(files) for files in content["files"]),
                others=_stamps(content["others"]),
                segments=tuple(content["segments"]),
                reports=tuple(ReadReport(**report) for report in content["reports"]),
                event_types=tuple(content["event_types"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _stamps(files: Mapping[str, Sequence[int]]) -> dict[str, Stamp]:
    return {path: (size, changed) for path, (size, changed) in files.items()}


@dataclass(frozen=True)
class Change:
    """What has to be read, now that the files are as they are.

    Attributes
    ----------
    kind
        ``none`` (nothing new), ``added`` (new files only) or ``rebuild``.
    reason
        Why a rebuild.
    config
        The config with the new files as the only ones of its sources; sources without are left
        out, but for those of visitors where there are identities, which then have no files.
    numbers
        Positions of those sources in the whole config.
    earlier
        The config with the files that were read before.
    """

    kind: Literal["none", "added", "rebuild"]
    reason: str = ""
    config: Config | None = None
    numbers: tuple[int, ...] = ()
    earlier: Config | None = None


def survey(config: Config, recipe: str, latest: int) -> Manifest:
    """The event files as they are now.

    Raises
    ------
    UserError
        Where a source has no file.
    """
    files = tuple(_files(source.events) for source in config.sources)
    others: dict[str, Stamp] = {}
    for location in _others(config):
        others |= _files(location)
    return Manifest(recipe, latest, files, others)


def _others(config: Config) -> list[Location]:
    """Tables beside the events on which what is stored depends."""
    found = [lookup.table for source in config.sources for lookup in source.lookups]
    if config.identities is not None:
        found.append(config.identities.table)
    if config.stage.truth == "history" and config.stage_history is not None:
        found.append(config.stage_history.table)
    return found


def _files(location: Location) -> dict[str, Stamp]:
    if not isinstance(location, str | tuple):
        return {}
    found = {}
    for name in distinct_files(location):
        stat = os.stat(name)
        found[name] = (stat.st_size, stat.st_mtime_ns)
    return found


def grows(source: EventSource) -> bool:
    """Whether a source may get new files beside those it has."""
    return _grows(source.events)


def _grows(location: Location) -> bool:
    if isinstance(location, str):
        return any(sign in location for sign in PATTERN)
    return isinstance(location, tuple)


def compare(config: Config, stored: Manifest | None, now: Manifest) -> Change:
    """What has changed since the stored tallies were made."""
    if stored is None:
        return Change("rebuild", "nothing is stored yet")
    if stored.recipe != now.recipe:
        return Change("rebuild", "the config has changed")
    fresh_links = _fresh_links(config, stored, now)
    if {p: s for p, s in now.others.items() if p not in fresh_links} != dict(stored.others):
        return Change("rebuild", "a table beside the events has changed")
    if any(isinstance(location, UrlTable) for location in _others(config)):
        return Change("rebuild", "a database table is read anew each time")
    for source, before, after in zip(config.sources, stored.files, now.files, strict=True):
        if isinstance(source.events, UrlTable):
            return Change("rebuild", "a database table is read anew each time")
        for path, stamp in before.items():
            if after.get(path) != stamp:
                said = "has changed" if path in after else "is gone"
                return Change("rebuild", f"{Path(path).name} {said}")
    waiting = any(
        reason.startswith(TOO_EARLY) for report in stored.reports for reason in report.quarantined
    )
    if waiting and now.latest > stored.latest:
        return Change("rebuild", "rows that came before their day may count now")
    fresh = [
        sorted(after.keys() - before.keys())
        for before, after in zip(stored.files, now.files, strict=True)
    ]
    if not any(fresh) and not fresh_links:
        return Change("none")
    visitors = {
        n
        for n, source in enumerate(config.sources)
        if config.identities is not None and source.columns.anonymous_id is not None
    }
    if any(config.sources[n].event_id is not None for n in visitors):
        return Change("rebuild", "a visitor's copy of an event may count by now")
    numbers = tuple(n for n, files in enumerate(fresh) if files or n in visitors)
    if not numbers:
        return Change("none")
    sources = tuple(
        config.sources[n].model_copy(update={"events": tuple(fresh[n])}) for n in numbers
    )
    grown = config.model_copy(update={"sources": sources})
    return Change("added", config=grown, numbers=numbers, earlier=_earlier(config, stored))


def _fresh_links(config: Config, stored: Manifest, now: Manifest) -> set[str]:
    """Files of identities that have come beside those there were."""
    if config.identities is None or not _grows(config.identities.table):
        return set()
    return set(_files(config.identities.table)) & (now.others.keys() - stored.others.keys())


def _earlier(config: Config, stored: Manifest) -> Config:
    """The config with the files that the stored tallies were made from."""
    sources = tuple(
        source.model_copy(update={"events": tuple(files)}) if grows(source) else source
        for source, files in zip(config.sources, stored.files, strict=True)
    )
    links = config.identities
    if links is not None and _grows(links.table):
        there = tuple(path for path in _files(links.table) if path in stored.others)
        links = links.model_copy(update={"table": there})
    return config.model_copy(update={"sources": sources, "identities": links})


def added(before: Sequence[ReadReport], new: Sequence[ReadReport], numbers: Sequence[int]) -> Any:
    """Reports by source, with those of the new files added to their sources' own."""
    found = list(before)
    for number, report in zip(numbers, new, strict=True):
        found[number] = sum_reports(found[number].source, [found[number], report])
    return tuple(found)
