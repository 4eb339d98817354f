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

from features.config import Config
from features.quarantine import ReadReport
from features.source_config import EventSource, Location, UrlTable
from features.tables import matches

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
        """The manifest of a folder of tallies; None where there is none that can be read."""
        try:
            content: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
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
        out.
    numbers
        Positions of those sources in the whole config.
    """

    kind: Literal["none", "added", "rebuild"]
    reason: str = ""
    config: Config | None = None
    numbers: tuple[int, ...] = ()


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
    for name in matches(location):
        stat = os.stat(name)
        found[name] = (stat.st_size, stat.st_mtime_ns)
    return found


def grows(source: EventSource) -> bool:
    """Whether a source may get new files beside those it has."""
    location = source.events
    if isinstance(location, str):
        return any(sign in location for sign in PATTERN)
    return isinstance(location, tuple)


def compare(config: Config, stored: Manifest | None, now: Manifest) -> Change:
    """What has changed since the stored tallies were made."""
    if stored is None:
        return Change("rebuild", "nothing is stored yet")
    if stored.recipe != now.recipe:
        return Change("rebuild", "the config has changed")
    if dict(stored.others) != dict(now.others):
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
    numbers = tuple(n for n, files in enumerate(fresh) if files)
    if not numbers:
        return Change("none")
    if config.identities is not None:
        return Change("rebuild", "a visitor of the new files may be a known customer")
    if any(source.columns.session_id is not None for source in config.sources):
        return Change("rebuild", "a session may go on in the new files")
    sources = tuple(
        config.sources[n].model_copy(update={"events": tuple(fresh[n])}) for n in numbers
    )
    return Change("added", config=config.model_copy(update={"sources": sources}), numbers=numbers)


def added(before: Sequence[ReadReport], new: Sequence[ReadReport], numbers: Sequence[int]) -> Any:
    """Reports by source, with those of the new files added to their sources' own."""
    found = list(before)
    for number, report in zip(numbers, new, strict=True):
        old = found[number]
        found[number] = ReadReport(
            old.source,
            old.rows + report.rows,
            _summed(old.quarantined, report.quarantined),
            _summed(old.ignored, report.ignored),
        )
    return tuple(found)


def _summed(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in (*one, *other)}
