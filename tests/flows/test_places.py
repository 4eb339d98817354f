"""Where a run writes: no name of a file or folder comes from a customer."""

from __future__ import annotations

import re

from features.storage.scores_store import read_current
from tests.flows.shop import Shop


def test_no_customer_id_names_a_file(shop: Shop) -> None:
    ids = set(read_current(shop.output).scores["customer_id"])
    assert len(ids) > 100
    for place in shop.output.rglob("*"):
        words = set(re.split(r"[^A-Za-z0-9]+", place.name))
        assert not words & ids, place
