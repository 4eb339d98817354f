"""Decisions of the promotion, and what counts as a recipe."""

from __future__ import annotations

from features.config.config import find, load
from models.registry.looks import same_recipe
from models.registry.promotion import Comparison, decide_promotion, recipe_hash


def comparison(task: str, champion: float, low: float, high: float) -> Comparison:
    middle, error = champion + (low + high) / 2, (high - low) / (2 * 1.96)
    return Comparison(
        task, "log_loss", middle, champion, low, high, standard_error=error, customers=10_000
    )


def guard(number: int, difference: float, error: float) -> Comparison:
    reach = 1.96 * error
    return Comparison(
        "churn", f"guard {number}", 0.5 + difference, 0.5, difference - reach, difference + reach,
        guard=0.005, standard_error=error, customers=10_000,
    )  # fmt: skip


def test_the_same_recipe_passes_when_it_is_not_worse() -> None:
    decision = decide_promotion([comparison("churn", 0.2, -0.003, 0.003)], same_recipe=True)
    assert decision.accepted
    assert "not worse" in decision.reason
    assert decision.look is None


def test_a_worse_task_refuses_and_is_named_with_its_figures() -> None:
    good, bad = comparison("stage", 0.5, -0.01, -0.005), comparison("clv", 100.0, 1.0, 9.0)
    for same in (True, False):
        decision = decide_promotion([good, bad], same_recipe=same)
        assert not decision.accepted
        assert "clv" in decision.reason
        assert "105.0000 against 100.0000" in decision.reason


def test_another_recipe_must_be_better_somewhere() -> None:
    equal = comparison("churn", 0.2, -0.001, 0.001)
    assert not decide_promotion([equal], same_recipe=False).accepted
    better = comparison("stage", 0.5, -0.02, -0.001)
    decision = decide_promotion([equal, better], same_recipe=False)
    assert not decision.accepted  # not better than half of the level of the first look asks for
    better = comparison("stage", 0.5, -0.02, -0.004)
    decision = decide_promotion([equal, better], same_recipe=False)
    assert decision.accepted
    assert "stage" in decision.reason
    assert (decision.look, decision.level) == (1, 0.025)


def test_each_look_asks_for_more() -> None:
    better = comparison("stage", 0.5, -0.02, -0.004)
    accepted = [decide_promotion([better], same_recipe=False, look=k).accepted for k in (1, 3, 10)]
    assert accepted == [True, True, False]
    late = decide_promotion([better], same_recipe=False, look=10)
    assert "look 10 at this champion, level 0.00045" in late.reason


def test_leads_must_not_be_worse_and_earn_no_promotion() -> None:
    equal, better = comparison("churn", 0.2, -0.001, 0.001), comparison("lead", 0.5, -0.2, -0.1)
    assert not decide_promotion([equal, better], same_recipe=False).accepted
    assert not decide_promotion(
        [equal, comparison("lead", 0.5, 0.1, 0.2)], same_recipe=True
    ).accepted


def test_guards_refuse_by_what_all_of_them_together_allow() -> None:
    equal = comparison("churn", 0.2, -0.001, 0.001)
    chance = guard(0, 0.022, 0.01)  # 2.2 standard errors: alone below 5 %, not among twenty
    within = [guard(number, 0.0, 0.0) for number in range(1, 20)]
    assert not decide_promotion([equal, chance], same_recipe=True).accepted
    assert decide_promotion([equal, chance, *within], same_recipe=True).accepted
    harm = guard(0, 0.04, 0.01)
    decision = decide_promotion([equal, harm, *within], same_recipe=True)
    assert not decision.accepted
    assert "guard 0" in decision.reason


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
