"""Example data sets that Python packages ship, as Arrow tables by name."""

from __future__ import annotations

import pyarrow as pa

from features.errors import UserError


def table(dataset: str, name: str, *, most_rows: int | None = None) -> pa.Table:
    """One table of an example data set, or its first rows.

    Raises
    ------
    UserError
        Where the package that ships the data is absent, or has no such table.
    """
    if dataset == "completejourney":
        from features.datasets import completejourney

        return completejourney.completejourney_table(name, most_rows=most_rows)
    if dataset == "cdnow":
        from features.datasets import cdnow

        whole_table = cdnow.cdnow_table(name)
        return whole_table if most_rows is None else whole_table.slice(0, most_rows)
    raise UserError("dataset", found=dataset, expected="completejourney or cdnow")
