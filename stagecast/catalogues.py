"""What columns and metrics mean."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from features.contracts import SCORED_ROW
from stagecast.published_files import DEFAULT_OUTPUT


def score_columns() -> pd.DataFrame:
    """Return the columns of scored rows.

    Returns
    -------
    DataFrame
        One row a column: name, dtype, meaning (with the unit), null (when a cell is null; empty:
        never). Preferences add two columns for every declared attribute.
    """
    return pd.DataFrame([asdict(column) for column in SCORED_ROW])


def feature_columns(output: str | Path = DEFAULT_OUTPUT) -> pd.DataFrame:
    """Return the feature columns of a data set, which its config and its events determine.

    Returns
    -------
    DataFrame
        One row a column: name, unit, meaning, null (what a missing value means), and the other
        fields of the catalogue.

    Raises
    ------
    UserError
        If no features are stored in the folder.
    """
    from features.table.feature_columns import columns
    from features.table.feature_store import stored_spec
    from flows.services.workspace import Workspace

    space = Workspace(Path(output).absolute())
    return pd.DataFrame(
        [asdict(column) for column in columns(stored_spec(space.output, space.config()))]
    )


def metric_definitions() -> pd.DataFrame:
    """Return the metrics of the life cycle.

    Returns
    -------
    DataFrame
        One row a metric: key, names (tuple of what taxonomies call it), unit, meaning.
    """
    from features.metrics.metric_catalog import METRICS

    rows = [(metric.key, metric.names, metric.unit, metric.meaning) for metric in METRICS]
    return pd.DataFrame(rows, columns=["key", "names", "unit", "meaning"])
