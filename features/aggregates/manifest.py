"""Manifest of the stored tallies: their event files, and whether new files can be added.

A source that is a pattern or a list of files can grow: only its new files are read. Any other
change (a changed or missing file, another config, a changed lookup) requires a rebuild.
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
from features.sources.locations import distinct_files
from features.sources.read_report import ReadReport, sum_reports
from features.storage.check_sums import has_sums

MANIFEST = "manifest.json"
_Stamp = tuple[int, int]  # size in bytes and modification time (ns) of a file
_PATTERN = "*?["
# Rows quarantined for these reasons may be usable on a later day.
_TOO_EARLY = ("occurred_at after", "known_at after")


class CannotExtend(Exception):
    """New files would change stored rows, so that a rebuild is needed; holds the reason."""


@dataclass(frozen=True)
class Manifest:
    """Contents of the stored tallies.

    Attributes
    ----------
    recipe
        Hash of the config keys that the tallies depend on.
    latest
        Day number after which events were refused.
    files
        Event files read, by source: path -> stamp.
    others
        Files that affect every row (lookups, identities, stage history): path -> stamp.
    segments
        Names of the stored segments, oldest first.
    reports
        Row counts by source over all segments.
    event_types
        Event types that occur, sorted.
    """

    recipe: str
    latest: int
    files: tuple[Mapping[str, _Stamp], ...]
    others: Mapping[str, _Stamp]
    segments: tuple[str, ...] = ()
    reports: tuple[ReadReport, ...] = ()
    event_types: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Total size of all event files in bytes."""
        return sum(size for files in self.files for size, _ in files.values())

    def save(self, folder: Path) -> None:
        """Write atomically; from then on the listed segments count."""
        partial = folder / f"{MANIFEST}.partial"
        partial.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        os.replace(partial, folder / MANIFEST)

    @classmethod
    def load(cls, folder: Path) -> Manifest | None:
        """Load the manifest of a folder of tallies; None if missing or unreadable.

        Also None for tallies of an earlier version without check sums.
        """
        try:
            content: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            daily_files = [folder / name / "daily.parquet" for name in content["segments"]]
            if not all(has_sums(daily_file) for daily_file in daily_files if daily_file.exists()):
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


def _stamps(files: Mapping[str, Sequence[int]]) -> dict[str, _Stamp]:
    return {path: (size, changed) for path, (size, changed) in files.items()}


@dataclass(frozen=True)
class Change:
    """The files to read after comparing the stored manifest with the current files.

    Attributes
    ----------
    kind
        ``none`` (nothing new), ``added`` (new files only) or ``rebuild``.
    reason
        Why a rebuild is needed.
    config
        The config with only the new files; sources without new files are left out, except those
        with anonymous ids if there are identities, which then have no files.
    numbers
        Positions of those sources in the whole config.
    earlier
        The config with the files read before.
    """

    kind: Literal["none", "added", "rebuild"]
    reason: str = ""
    config: Config | None = None
    numbers: tuple[int, ...] = ()
    earlier: Config | None = None


def current_manifest(config: Config, recipe: str, latest: int) -> Manifest:
    """Return a manifest of the current event files.

    Raises
    ------
    UserError
        If a source has no file.
    """
    event_files = tuple(_files(source.events) for source in config.sources)
    other_files: dict[str, _Stamp] = {}
    for location in _other_locations(config):
        other_files |= _files(location)
    return Manifest(recipe, latest, event_files, other_files)


def _other_locations(config: Config) -> list[Location]:
    """Return tables other than events that the stored tallies depend on."""
    locations = [lookup.table for source in config.sources for lookup in source.lookups]
    if config.identities is not None:
        locations.append(config.identities.table)
    if config.stage.truth == "history" and config.stage_history is not None:
        locations.append(config.stage_history.table)
    return locations


def _files(location: Location) -> dict[str, _Stamp]:
    if not isinstance(location, str | tuple):
        return {}
    stamps = {}
    for file_name in distinct_files(location):
        status = os.stat(file_name)
        stamps[file_name] = (status.st_size, status.st_mtime_ns)
    return stamps


def can_grow(source: EventSource) -> bool:
    """Return True if a source can get additional files."""
    return _grows(source.events)


def _grows(location: Location) -> bool:
    if isinstance(location, str):
        return any(sign in location for sign in _PATTERN)
    return isinstance(location, tuple)


def compare_files(config: Config, stored: Manifest | None, current: Manifest) -> Change:
    """Compare the stored manifest with the current one, and say what to read."""
    if stored is None:
        return Change("rebuild", "nothing is stored yet")
    if stored.recipe != current.recipe:
        return Change("rebuild", "the config has changed")
    fresh_links = _fresh_links(config, stored, current)
    if {
        file_path: file_stamp
        for file_path, file_stamp in current.others.items()
        if file_path not in fresh_links
    } != dict(stored.others):
        return Change("rebuild", "a table beside the events has changed")
    if any(isinstance(location, UrlTable) for location in _other_locations(config)):
        return Change("rebuild", "a database table is read anew each time")
    for source, stored_files, current_files in zip(
        config.sources, stored.files, current.files, strict=True
    ):
        if isinstance(source.events, UrlTable):
            return Change("rebuild", "a database table is read anew each time")
        for path, stamp in stored_files.items():
            if current_files.get(path) != stamp:
                change = "has changed" if path in current_files else "is gone"
                return Change("rebuild", f"{Path(path).name} {change}")
    has_early_rows = any(
        reason.startswith(_TOO_EARLY) for report in stored.reports for reason in report.quarantined
    )
    if has_early_rows and current.latest > stored.latest:
        return Change("rebuild", "rows that came before their day may count now")
    new_files = [
        sorted(current_files.keys() - stored_files.keys())
        for stored_files, current_files in zip(stored.files, current.files, strict=True)
    ]
    if not any(new_files) and not fresh_links:
        return Change("none")
    visitors = {
        position
        for position, source in enumerate(config.sources)
        if config.identities is not None and source.columns.anonymous_id is not None
    }
    if any(config.sources[position].event_id is not None for position in visitors):
        return Change("rebuild", "a visitor's copy of an event may count by now")
    numbers = tuple(
        position for position, files in enumerate(new_files) if files or position in visitors
    )
    if not numbers:
        return Change("none")
    sources = tuple(
        config.sources[position].model_copy(update={"events": tuple(new_files[position])})
        for position in numbers
    )
    extended_config = config.model_copy(update={"sources": sources})
    return Change(
        "added", config=extended_config, numbers=numbers, earlier=_earlier(config, stored)
    )


def _fresh_links(config: Config, stored: Manifest, now: Manifest) -> set[str]:
    """Return the new files of the identities table."""
    if config.identities is None or not _grows(config.identities.table):
        return set()
    return set(_files(config.identities.table)) & (now.others.keys() - stored.others.keys())


def _earlier(config: Config, stored: Manifest) -> Config:
    """Return the config with the files behind the stored tallies."""
    sources = tuple(
        source.model_copy(update={"events": tuple(files)}) if can_grow(source) else source
        for source, files in zip(config.sources, stored.files, strict=True)
    )
    links = config.identities
    if links is not None and _grows(links.table):
        stored_paths = tuple(path for path in _files(links.table) if path in stored.others)
        links = links.model_copy(update={"table": stored_paths})
    return config.model_copy(update={"sources": sources, "identities": links})


def add_reports(
    stored: Sequence[ReadReport], additions: Sequence[ReadReport], numbers: Sequence[int]
) -> Any:
    """Add the reports of new files to the stored reports by source."""
    totals = list(stored)
    for number, report in zip(numbers, additions, strict=True):
        totals[number] = sum_reports(totals[number].source, [totals[number], report])
    return tuple(totals)
