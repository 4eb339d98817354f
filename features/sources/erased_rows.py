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
    customer_ids = events.select("customer_id").distinct().to_pyarrow()["customer_id"]
    is_erased = events.customer_id.isin(erased.among(customer_ids.to_pylist())).fill_null(False)
    no_reason = ibis.null("string")
    return events.mutate(
        reason=is_erased.ifelse(no_reason, events.reason),
        ignored=is_erased.ifelse(ibis.literal(ON_REQUEST), events.ignored),
    )
