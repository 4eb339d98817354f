"""Leave out rows of erased customers while sources are read."""

from __future__ import annotations

import ibis
from ibis.expr.types import Table

from features.sources.erasure_list import ON_REQUEST, ErasureList


def mark_erased(events: Table, erased: ErasureList) -> Table:
    """Mark rows of erased customers as ignored, including bad rows.

    The list hashes ids in Python, so the engine first returns the distinct ids.
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
