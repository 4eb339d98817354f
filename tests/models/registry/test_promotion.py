"""Decisions of the promotion, and what counts as a recipe."""

from __future__ import annotations

from features.config.config import find, load
from models.registry.promotion import Comparison, decide, recipe_hash, same_recipe


def comparison(task: str, champion: float, low: float, high: float) -> Comparison:
    middle = champion + (low + high) / 2
    return Comparison(task, "log_loss", middle, champion, low, high)


def test_the_same_recipe_passes_when_it_is_not_worse() -> None:
    decision = decide([comparison("churn", 0.2, -0.003, 0.003)], same_recipe=True)
    assert decision.accepted
    assert "not worse" in decision.reason


def test_a_worse_task_refuses_and_is_named_with_its_figures() -> None:
    good, bad = comparison("stage", 0.5, -0.01, -0.005), comparison("clv", 100.0, 1.0, 9.0)
    for same in (True, False):
        decision = decide([good, bad], same_recipe=same)
        assert not decision.accepted
        assert "clv" in decision.reason
        assert "105.0000 against 100.0000" in decision.reason


def test_another_recipe_must_be_better_somewhere() -> None:
    equal = comparison("churn", 0.2, -0.001, 0.001)
    assert not decide([equal], same_recipe=False).accepted
    better = comparison("stage", 0.5, -0.02, -0.001)
    decision = decide([equal, better], same_recipe=False)
    assert decision.accepted
    assert "stage" in decision.reason


def test_the_edge_of_the_tolerance_counts_as_not_worse() -> None:
    assert comparison("churn", 0.5, 0.0, 0.01).not_worse
    assert not comparison("churn", 0.5, 0.0, 0.0101).not_worse


def test_a_recipe_is_what_decides_learning_and_not_where_data_lie() -> None:
    config = load(find("configs/completejourney.yaml"))
    renamed = load(find("configs/completejourney.yaml"), ("name=other", "campaigns=[]"))
    changed = load(find("configs/completejourney.yaml"), ("churn.horizon_days=30",))
    assert recipe_hash(config) == recipe_hash(renamed)
    assert recipe_hash(config) != recipe_hash(changed)


def test_other_features_are_another_recipe() -> None:
    tags = {"config": "a", "columns": "b"}
    assert same_recipe(tags, dict(tags))
    assert not same_recipe(tags, tags | {"columns": "c"})
    assert not same_recipe(tags, tags | {"config": "c"})
    # A champion from before columns were told.
    assert same_recipe({"config": "a"}, tags)
