"""Example data sets that Python packages ship, as Arrow tables by name."""

from __future__ import annotations

import pyarrow as pa

from features.errors import UserError


def table(dataset: str, name: str) -> pa.Table:
    """One table of an example data set.

    Raises
    ------
    UserError
        Where the package that ships the data is absent, or has no such table.
    """
    if dataset == "completejourney":
        from features.datasets import completejourney

        return completejourney.table(name)
    if dataset == "cdnow":
        from features.datasets import cdnow

        return cdnow.table(name)
    raise UserError("dataset", found=dataset, expected="completejourney or cdnow")
