"""What the features step stores for the steps after it: tallies and one feature file a snapshot."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.build import Builder, Task
from features.config import Config
from features.contracts import SNAPSHOT
from features.errors import UserError
from features.stage_records import stored_records, write_records
from features.tallies import Tallies
from features.timeline import day_date, day_number

FOLDER = "features"
_BUILDING = threading.Lock()
FILES = ("daily.parquet", "attributes.parquet")
RECORDS = "stage_history.parquet"  # only where the stage history is the truth
SESSIONS = "sessions.parquet"  # only where a source has sessions


@dataclass(frozen=True)
class SourceCount:
    """Rows of one source: read, set aside and left out, with reasons."""

    source: str
    rows: int
    quarantined: dict[str, int]
    ignored: dict[str, int]


@dataclass(frozen=True)
class Archive:
    """The folder ``OUTPUT/features`` of one data set.

    Attributes
    ----------
    folder
        Holds ``tallies/`` and ``snapshots/snapshot_at=DATE/features.parquet``.
    builder
        Builds what is not stored yet.
    """

    folder: Path
    builder: Builder

    def features(self, at: int) -> pd.DataFrame:
        """Feature frame of a snapshot: read where stored, else built and stored."""
        return self.delayed(at, 0)

    def inputs(self, task: Task, at: int) -> pd.DataFrame:
        """Feature frame that a task's model learns from and is tested on at a snapshot."""
        return self.delayed(at, self.builder.delay(task))

    def delayed(self, at: int, delay: int) -> pd.DataFrame:
        """Feature frame of a snapshot from data that run some days behind, stored alike."""
        path = self.path(at, delay)
        with _BUILDING:  # two tasks may ask for one snapshot; it is built once
            if not path.is_file():
                return self._built(at, delay, path)
        frame = pd.read_parquet(path)
        frame[SNAPSHOT] = frame[SNAPSHOT].astype("datetime64[s]")
        return frame

    def _built(self, at: int, delay: int, path: Path) -> pd.DataFrame:
        frame = self.builder.features(at, delay=delay)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Named after the process: workers may build the same snapshot side by side.
        partial = path.with_suffix(f".{os.getpid()}.partial")
        frame.to_parquet(partial, index=False)
        os.replace(partial, path)
        return frame

    def path(self, at: int, delay: int = 0) -> Path:
        """File of a snapshot's features."""
        name = f"features_{delay}_days_late.parquet" if delay else "features.parquet"
        return self.folder / "snapshots" / f"snapshot_at={day_date(at)}" / name

    def stored(self) -> list[int]:
        """Day numbers of the snapshots stored."""
        names = [p.parent.name for p in self.folder.glob("snapshots/*/features.parquet")]
        return sorted(day_number(dt.date.fromisoformat(n.split("=", 1)[1])) for n in names)

    def daily(self, first: int, at: int, customers: Sequence[str] | None = None) -> pd.DataFrame:
        """Tallies of the days ``[first, at)`` that were known before `at`, of some or all.

        Returns
        -------
        DataFrame
            customer_id, event_type, day (number), count (events; purchases: orders).
        """
        filters: list[tuple[str, str, Any]] = [
            ("day", ">=", first),
            ("day", "<", at),
            ("known_day", "<", at),
        ]
        if customers is not None:
            filters.append(("customer_id", "in", list(customers)))
        columns = ["customer_id", "event_type", "day", "count"]
        path = self.folder / "tallies" / FILES[0]
        rows = pd.read_parquet(path, columns=columns, filters=filters)
        # An order learned in parts has parts of which some only change its value.
        return rows[rows["count"] != 0].reset_index(drop=True)

    def ensure(self, days: Iterable[int], done: Callable[[int], None]) -> int:
        """Build and store the snapshots that are missing; tells each finished day."""
        count = 0
        for at in days:
            self.features(at)
            done(at)
            count += 1
        return count

    def source_counts(self) -> list[SourceCount]:
        """What the reading step counted, one a source."""
        text = (self.folder / "sources.json").read_text(encoding="utf-8")
        return [SourceCount(**row) for row in json.loads(text)]


def store(
    output: Path,
    config: Config,
    tallies: Tallies,
    counts: list[SourceCount],
    records: pa.Table | None = None,
) -> Archive:
    """Replace what was stored by fresh tallies; old snapshots go, since they may be outdated."""
    builder = Builder.from_tallies(config, tallies, records)
    folder, fresh = output / FOLDER, output / f"{FOLDER}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "tallies").mkdir(parents=True)
    for name, table in zip(FILES, (tallies.daily, tallies.attributes), strict=True):
        pq.write_table(table, fresh / "tallies" / name)
    if records is not None:
        write_records(records, fresh / "tallies" / RECORDS)
    if tallies.sessions is not None:
        pq.write_table(tallies.sessions, fresh / "tallies" / SESSIONS)
    text = json.dumps([asdict(c) for c in counts], indent=1)
    (fresh / "sources.json").write_text(text, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(fresh, folder)
    return Archive(folder, builder)


def open_archive(output: Path, config: Config) -> Archive:
    """The stored tallies of an output folder, ready to build from.

    Raises
    ------
    UserError
        Where the features step has not run.
    """
    tallies = read_tallies(output)
    records = stored_records(output / FOLDER / "tallies" / RECORDS)
    return Archive(output / FOLDER, Builder.from_tallies(config, tallies, records))


def read_tallies(output: Path) -> Tallies:
    """The stored tallies of an output folder (errors as `open_archive`)."""
    folder = output / FOLDER
    if not all((folder / "tallies" / name).is_file() for name in FILES):
        raise UserError(
            str(folder),
            found="no stored tallies",
            expected="what `stagecast features` stores",
            mend="run `stagecast features` (or `stagecast run`) with this output folder first",
        )
    daily, attributes = (pq.read_table(folder / "tallies" / name) for name in FILES)
    if "latest" not in daily.column_names:
        raise UserError(
            str(folder),
            found="tallies of an earlier version",
            expected="those of this one",
            mend="run `stagecast features` (or `stagecast run`) with this output folder again",
        )
    sessions = folder / "tallies" / SESSIONS
    return Tallies(daily, attributes, pq.read_table(sessions) if sessions.is_file() else None)
