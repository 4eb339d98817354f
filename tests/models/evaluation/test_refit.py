"""Which earlier recipes can be fitted on the features of today."""

from __future__ import annotations

import json
from typing import Any

import pytest

from features.config.config import Config, find, load
from features.table.build_fingerprint import column_names
from models.evaluation.refit import EarlierRecipe, earlier_recipe

CONFIG = find("configs/completejourney.yaml")


def stored(config: Config) -> dict[str, Any]:
    """The config as a training stores it."""
    content: dict[str, Any] = json.loads(config.model_dump_json(by_alias=True))
    return content


@pytest.mark.parametrize(
    "setting",
    [
        "seed=7",
        "clv.margin=0.4",
        "churn.calibration=platt",
        "snapshots.every_days=14",
        "name=other",
    ],
)
def test_what_decides_learning_is_taken_from_the_earlier_config(setting):
    then, now = load(CONFIG, (setting,)), load(CONFIG, ("threads=1", "data_through=2017-12-01"))
    recipe = earlier_recipe(stored(then), column_names(then), now)
    assert isinstance(recipe, EarlierRecipe)
    assert recipe.left_out == frozenset()
    assert recipe.config.content_for("recipe") == then.content_for("recipe")
    assert (recipe.config.threads, recipe.config.data_through) == (1, now.data_through)


def test_features_that_came_later_are_left_out():
    then, now = load(CONFIG, ("windows=[30,90]",)), load(CONFIG, ("windows=[30,60,90]",))
    recipe = earlier_recipe(stored(then), column_names(then), now)
    assert isinstance(recipe, EarlierRecipe)
    assert recipe.left_out == set(column_names(now)) - set(column_names(then))
    assert any("60d" in name for name in recipe.left_out)


def test_a_taxonomy_in_another_installation_is_the_same_one():
    now = load(CONFIG)
    content = stored(now)
    content["stages"]["file"] = "/an/earlier/environment/" + now.stages.file.rsplit("/", 1)[-1]
    recipe = earlier_recipe(content, column_names(now), now)
    assert isinstance(recipe, EarlierRecipe)
    assert recipe.config.stages == now.stages
    content["stages"]["file"] = "/an/earlier/environment/another.yaml"
    assert "stages changed" in str(earlier_recipe(content, column_names(now), now))


REASONS = {
    "no stored config": (None, [], "its config is not stored"),
    "a config of another version": ({"nothing": 1}, [], "its config is not stored"),
    "no stored features": ("", None, "names of its features"),
    "a feature that went": ("", ["gone__count"], "1 of its features are not built any more (gone"),
    "another time zone": ("timezone=Asia/Tokyo", [], "timezone changed"),
    "another population": ("activity_days=77", [], "activity_days changed"),
}


@pytest.mark.parametrize("case", REASONS)
def test_recipes_that_cannot_be_fitted_have_a_reason(case):
    parts_or_setting, columns, reason = REASONS[case]
    if isinstance(parts_or_setting, str):
        parts_or_setting = stored(load(CONFIG, (parts_or_setting,) if parts_or_setting else ()))
    answer = earlier_recipe(parts_or_setting, columns, load(CONFIG))
    assert isinstance(answer, str)
    assert reason in answer
