"""The run that is served: its scorer and population, replaced as a whole when another is current.

The alias of the champion takes effect with the run that it scores: until then stored rows,
audiences and rows from events are all of one scorer.
"""

from __future__ import annotations

import csv
import datetime as dt
import gc
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.errors import UserError
from features.storage.row_reader import RowReader
from features.storage.runs import run_folder
from flows.services.score_events import OpenScorer, open_scorer
from flows.services.workspace import Workspace
from flows.serving.answers import Refusal
from models.registry.version import CHAMPION

_log = logging.getLogger("stagecast.serve")


@dataclass
class ServedRun:
    """The scorer of the current run, looked up by requests while a thread watches for a newer one.

    Attributes
    ----------
    output
        The output folder.
    reader
        Reader of the store.
    after_loading
        Called each time that a run was loaded.
    campaigns
        Campaigns that the run has planned, also those without members.
    """

    output: Path
    reader: RowReader
    after_loading: Callable[[], None] = lambda: None
    _scorer: OpenScorer | None = field(default=None, init=False, repr=False)
    _champion: int | None = field(default=None, init=False, repr=False)
    campaigns: frozenset[str] = field(default=frozenset(), init=False)
    _trouble: str = field(default="not loaded yet", init=False, repr=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False, repr=False)

    @property
    def scorer(self) -> OpenScorer:
        """The open scorer; a request keeps the one that it began with.

        Raises
        ------
        UserError
            If none could be loaded yet.
        """
        scorer = self._scorer
        if scorer is None:
            raise UserError(
                "the scorer of the current run",
                found=self._trouble,
                expected="a published run with its scorer and scoring context",
                hint="run `stagecast doctor` with this output folder",
            )
        return scorer

    def refresh(self) -> bool:
        """Load the scorer of the current run if it is another one; False if nothing changed.

        What cannot be loaded changes nothing but `status`.
        """
        try:
            self._champion = self._champion_now()
            run_id = self.reader.current_run_id()
            if self._scorer is not None and self._scorer.run.run_id == run_id:
                self._trouble = ""
                return False
            scorer = open_scorer(self.output)
            _warm_up(scorer)
        except Exception as error:
            # Whatever is wrong with the new one, the old one goes on answering.
            trouble, self._trouble = self._trouble, _words(error)
            if self._trouble != trouble:  # once, and not at every look of `watch`
                _log.warning("the current run could not be loaded: %s", _message(error))
            return False
        self.campaigns = _planned(run_folder(self.output, run_id))
        self._scorer, self._trouble = scorer, ""
        # What stays until the next run is not looked at again in every collection of cycles.
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self.after_loading()
        _log.info("serving run %s, scorer version %s", scorer.run.run_id, scorer.run.scorer_version)
        return True

    def watch(self, seconds: float) -> threading.Thread:
        """Refresh every so many seconds, in a thread that ends with `stop`."""

        def repeat() -> None:
            while not self._stop.wait(seconds):
                self.refresh()

        thread = threading.Thread(target=repeat, name="served run", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """End the thread of `watch`."""
        self._stop.set()

    def status(self) -> dict[str, Any]:
        """What is served, and what waits: no customer is named.

        Returns
        -------
        dict
            ready (bool), trouble (the last error in words; empty if there is none), and, once a run
            is loaded, run_id, snapshot_at, scorer_version, champion (version of the alias; null if
            unknown) and champion_waits (bool: it takes effect with the next run).
        """
        scorer, champion = self._scorer, self._champion
        status: dict[str, Any] = {"ready": scorer is not None, "trouble": self._trouble}
        if scorer is not None:
            status |= {
                "run_id": scorer.run.run_id,
                "snapshot_at": str(scorer.run.snapshot_at),
                "scorer_version": scorer.run.scorer_version,
                "champion": None if champion is None else str(champion),
                "champion_waits": champion is not None
                and str(champion) != scorer.run.scorer_version,
            }
        return status

    def _champion_now(self) -> int | None:
        versions = Workspace(self.output).registered_versions()
        return next((row.version for row in versions if CHAMPION in row.aliases), None)


def _words(error: Exception) -> str:
    """An error without values of rows and paths: its place and what was found, or its kind."""
    if not isinstance(error, UserError):
        return type(error).__name__
    refusal = Refusal.of(503, error)
    return f"{refusal.where}: {refusal.found}"


def _message(error: Exception) -> str:
    """An error for the log: as `_words`, and what to do about it."""
    if not isinstance(error, UserError):
        return type(error).__name__
    parts = Refusal.of(503, error).parts()
    return "; ".join(f"{name}: {text}" for name, text in parts.items() if text)


def _planned(folder: Path) -> frozenset[str]:
    """Campaigns of a run's plan; none without a plan."""
    file = folder / "audiences" / "plan.csv"
    if not file.is_file():
        return frozenset()
    with file.open(encoding="utf-8", newline="") as stream:
        return frozenset(row["campaign_id"] for row in csv.DictReader(stream))


def _warm_up(scorer: OpenScorer) -> None:
    """Score an invented event, so that the first visitor does not wait for imports and caches."""
    types = scorer.scorer.config.role_types()
    event_type = next((name for names in types.values() for name in names), "purchase")
    before = scorer.run.snapshot_at - dt.timedelta(days=1)
    event = {"customer_id": "warm-up", "event_type": event_type, "occurred_at": str(before)}
    try:
        scorer.score([{**event, "value": 1}])
    except UserError:
        return  # this data set refuses it: later events are scored all the same
