"""A data set as MLflow shows it: name, digest, columns and counts, and no row of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LoggedData:
    """A data set that a run learned from or was tested on, described without any of its rows.

    Attributes
    ----------
    name
        Data set and task, such as ``my-shop churn``.
    digest
        16 hex digits; equal for equal sources, columns and dates (`data_digest`).
    context
        ``training`` or ``evaluation``.
    columns
        Names of the feature columns that the model reads, all of them numbers.
    rows, snapshots
        Number of rows (one a customer and snapshot) and of snapshots.
    first_at, last_at
        First and last snapshot, ISO dates.
    """

    name: str
    digest: str
    context: Literal["training", "evaluation"]
    columns: tuple[str, ...]
    rows: int
    snapshots: int
    first_at: str
    last_at: str

    @property
    def profile(self) -> str:
        """Counts and dates as JSON, as MLflow shows them beside the name."""
        return json.dumps(
            {
                "num_rows": self.rows,
                "num_features": len(self.columns),
                "num_snapshots": self.snapshots,
                "first_snapshot": self.first_at,
                "last_snapshot": self.last_at,
            }
        )


def data_digest(fingerprint: str, columns: Sequence[str], *dates: str) -> str:
    """Digest of a data set: 16 hex digits of a hash over sources, column names and dates.

    Parameters
    ----------
    fingerprint
        Hash of the source files and of the settings that they are read with.
    columns
        Names of the feature columns; their order does not matter.
    dates
        First and last snapshot, ISO dates.
    """
    content = json.dumps([fingerprint, sorted(columns), *dates])
    return hashlib.sha256(content.encode()).hexdigest()[:16]
