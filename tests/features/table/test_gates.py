"""The gates of a promotion: matured, stored anyhow, and unseen by what was fitted before them."""

from __future__ import annotations

import pytest

from features.calendar import Span
from features.config.config import find, load
from features.table.prediction_targets import TASK_NAMES
from features.table.snapshot_builder import Builder

FIRST = 16_000


def builder(days: int, *settings: str) -> Builder:
    """Builder of data of some days, without customers."""
    config = load(find("configs/cdnow.yaml"), settings)
    return Builder.outline(config, ("purchase",), Span(first=FIRST, through=FIRST + days - 1))


GRIDS = {
    "long history": (1_500, "snapshots.every_days=28"),
    "short history": (320, "snapshots.every_days=28"),
    "dense grid": (900, "snapshots.every_days=7"),
    "sparse grid": (2_000, "snapshots.every_days=120"),
    "late settling": (1_500, "settle_days=20"),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("task", TASK_NAMES)
def test_gates_are_matured_stored_and_unseen(grid, task):
    days, setting = GRIDS[grid]
    shop_builder = builder(days, setting, *(f"{name}.train={{}}" for name in TASK_NAMES))
    gates, horizon = shop_builder.gates(task), shop_builder.horizon(task)
    assert gates == sorted(set(gates))
    assert gates[-1] == shop_builder.gate(task)
    assert 1 <= len(gates) <= 3
    assert gates[-1] - gates[0] <= horizon
    final = shop_builder.training_days(task, shop_builder.last_snapshot)
    assert set(gates) <= {*final, shop_builder.gate(task)}
    before = shop_builder.training_days(task, gates[0])
    assert before
    assert max(before) + horizon + shop_builder.config.settle_days <= gates[0]
    assert {*gates, *before} <= set(shop_builder.needed_days())
    at_latest = shop_builder.training_days(task, shop_builder.gate(task))
    assert len(before) >= len(at_latest) * 3 / 4 - 1


@pytest.mark.parametrize(
    ("days", "every", "gates"),
    [(320, 28, 1), (480, 28, 2), (1_500, 28, 3), (1_500, 60, 2), (3_000, 120, 1)],
    ids=["short", "middling", "long", "half a horizon apart", "over a horizon apart"],
)
def test_more_history_allows_more_gates(days, every, gates):
    shop_builder = builder(
        days, "churn.train={}", f"snapshots.every_days={every}", "churn.horizon_days=90"
    )
    assert len(shop_builder.gates("churn")) == gates
