"""The scorer of a published run: scored rows of raw events or of features."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from features.errors import UserError
from stagecast.published_files import DEFAULT_OUTPUT, date_of

if TYPE_CHECKING:
    from flows.services.score_events import OpenScorer


@dataclass(frozen=True)
class Scorer:
    """The scorer that made the scores of a run, with that run's population; see `open_scorer`.

    Attributes
    ----------
    version
        Number in the registry.
    snapshot_at
        Date of the run.
    run_id
        Its id.
    """

    version: int
    snapshot_at: dt.date
    run_id: str
    _open: OpenScorer = field(repr=False)

    def score_events(
        self,
        events: pd.DataFrame | Iterable[Mapping[str, Any]],
        *,
        at: dt.date | str | None = None,
        since_run: bool = False,
    ) -> pd.DataFrame:
        """Return scored rows of customers from their raw events, exactly as the batch.

        Parameters
        ----------
        events
            All events of each customer: customer_id, event_type, occurred_at (with its offset), and
            of known_at, value, order_id, channel, is_machine and declared attributes what there is.
        at
            Date of the scores; default: that of the run, and with `since_run` tomorrow.
        since_run
            True if these are only the events that became known on the day of the run or later; the
            stored history is added.

        Returns
        -------
        DataFrame
            The columns of `stagecast.scores` as JSON values (dates as text), one row per customer
            who exists at that date; run_id is null.

        Raises
        ------
        UserError
            For events that cannot be used, and dates before the run or after tomorrow.
        """
        from features.sources.api_events import plain_events

        day = date_of(at, "at")
        present = [_present(row) for row in _rows(events)]
        answer = self._open.score(plain_events(present), at=day, since_run=since_run)
        return pd.DataFrame(answer["scores"])

    def score_features(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return scored rows of feature rows, such as those of `stagecast.features`.

        Parameters
        ----------
        features
            One row per customer and snapshot, with at least the columns that the models read.

        Returns
        -------
        DataFrame
            The columns that models predict, one row each in the same order, with the statistics of
            the run's population.

        Raises
        ------
        ValueError
            If a column is missing, or holds values of another type.
        """
        inner = self._open.scorer
        return inner.loaded.predict(features, inner.scoring_context)


def open_scorer(output: str | Path = DEFAULT_OUTPUT, *, at: dt.date | str | None = None) -> Scorer:
    """Load the scorer of a published run. This takes a second; scoring then takes milliseconds.

    Parameters
    ----------
    output
        The output folder.
    at
        The latest run up to this date; default: the current run.

    Raises
    ------
    UserError
        If no run is published by then, or its scorer does not load.
    """
    from flows.services.score_events import open_scorer as opened

    scorer = opened(Path(output).absolute(), at=date_of(at, "at"))
    run = scorer.run
    return Scorer(int(run.scorer_version), run.snapshot_at, run.run_id, scorer)


def _rows(events: Any) -> list[Any]:
    if isinstance(events, pd.DataFrame):
        return events.to_dict("records")
    # The parts of a text or of one event are no events.
    if isinstance(events, str | bytes | Mapping) or not isinstance(events, Iterable):
        raise UserError(
            "events",
            found=f"a value of type {type(events).__name__}",
            expected="a DataFrame, or a list of events, each a dict",
        )
    return list(events)


def _present(row: Any) -> Any:
    """An event without its empty cells: a frame has no other way to say that one is absent."""
    if not isinstance(row, Mapping):
        return row  # refused with its position where events are read
    return {name: _plain(cell) for name, cell in row.items() if not _empty(cell)}


def _plain(cell: Any) -> Any:
    return cell.isoformat() if isinstance(cell, dt.date) else cell


def _empty(cell: Any) -> bool:
    return cell is None or cell is pd.NaT or (isinstance(cell, float) and cell != cell)
