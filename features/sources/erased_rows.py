"""Rows of who asked to be erased, left out while sources are read."""

from __future__ import annotations

import ibis
from ibis.expr.types import Table

from features.sources.erasure_list import ON_REQUEST, Erased


def without(events: Table, erased: Erased) -> Table:
    """Marks the rows of the erased as left out, also those that could not be used anyway.

    Ids are hashed one by one where the list is kept, so each engine tells which ids there are.
    """
    if not erased:
        return events
    there = events.select("customer_id").distinct().to_pyarrow()["customer_id"]
    theirs = events.customer_id.isin(erased.among(there.to_pylist())).fill_null(False)
    none = ibis.null("string")
    return events.mutate(
        reason=theirs.ifelse(none, events.reason),
        ignored=theirs.ifelse(ibis.literal(ON_REQUEST), events.ignored),
    )
