"""What a changed key makes out of date is declared at the key, and hashes follow it."""

from __future__ import annotations

from typing import Any

import pytest

from features.config.config import Config, key_effects
from features.config.types import Affects

PLAIN = Config.model_validate(
    {
        "name": "shop",
        "sources": [
            {
                "events": "a.csv",
                "columns": {"customer_id": "a", "occurred_at": {"column": "b"}},
                "event_type": "purchase",
            }
        ],
        "stages": {"file": "a.yaml"},
    }
)
CHANGES = {
    "timezone": "Europe/Vienna",
    "windows": (7, 30),
    "name": "other",
    "data_through": "2020-01-01",
    "seed": 1,
    "settle_days": 3,
    "tune": {"trials": 3},
    "threads": 7,
    "memory_limit": "1GB",
    "engine": "spark",
    "max_age": {"consents": 3},
    "export_mode": "delta",
    "truth": "folder",
}


@pytest.mark.parametrize("key", Config.model_fields)
def test_every_key_declares_once_what_it_affects(key: str) -> None:
    declared = [m for m in Config.model_fields[key].metadata if isinstance(m, Affects)]
    assert len(declared) == 1, (
        f"the config key {key!r} must say what it affects: Annotated[..., DATA], STORED, LEARNING "
        "or USE of features.config.types"
    )


@pytest.mark.parametrize(("key", "value"), CHANGES.items(), ids=str)
def test_only_what_a_key_affects_changes(key: str, value: Any) -> None:
    changed = Config.model_validate({**PLAIN.model_dump(exclude_defaults=True), key: value})
    affects = key_effects()[key]
    for purpose in ("features", "recipe"):
        is_same = PLAIN.content_for(purpose) == changed.content_for(purpose)
        assert is_same is not getattr(affects, purpose)
