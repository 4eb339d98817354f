from __future__ import annotations

import re

import lightgbm as lgb
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.config.config import find, load
from models.evaluation.evaluate import MetricFigure
from models.registry.logged_data import data_digest
from models.registry.run_records import (
    best_baselines,
    flat_parameters,
    headline_metrics,
    metric_key,
    metrics_by_key,
    recipe_name,
    recipe_parameters,
)
from models.scorer.part import Part

METHODS = ("champion", "rfm", "mean")


def figure(method: str, metric: str, value: float | None, subset: str = "all") -> MetricFigure:
    return MetricFigure("churn", method, "2021-01-01", 60, subset, metric, value, 100)


@given(st.dictionaries(st.tuples(st.sampled_from(METHODS), st.sampled_from(["auc", "log_loss"])),
                       st.none() | st.floats(0, 1), min_size=1),
       st.sampled_from(["blend", "rfm", "btyd"]))  # fmt: skip
def test_every_known_figure_has_one_key_of_its_own(values, served):
    figures = [figure(method, metric, value) for (method, metric), value in values.items()]
    by_key = metrics_by_key(figures, served)
    known = [value for value in values.values() if value is not None]
    assert sorted(by_key.values()) == sorted(known)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_a_group_of_any_name_is_a_name_that_mlflow_accepts(subset):
    key = metric_key(figure("champion", "auc", 0.5, subset))
    assert re.fullmatch(r"[/\w.\- ]+", key)  # the rule in MLflow's own message
    assert key.startswith("churn/served/")


def test_a_group_keeps_its_own_level():
    assert metric_key(figure("rfm", "auc", 0.5, "stage=new")) == "churn/rfm/stage_new/auc"
    assert metric_key(figure("rfm", "auc", 0.5)) == "churn/rfm/auc"


def test_headlines_compare_with_one_baseline_the_best_by_its_loss():
    figures = [
        *(figure("champion", "log_loss", 0.40), figure("champion", "auc", 0.80)),
        *(figure("rfm", "log_loss", 0.45), figure("rfm", "auc", 0.70)),
        *(figure("mean", "log_loss", 0.60), figure("mean", "auc", 0.75)),
        figure("rfm", "log_loss", 0.1, "movers"),
    ]
    assert best_baselines(figures) == {"churn": "rfm"}
    assert headline_metrics(figures) == {
        "churn/served/log_loss": 0.40,
        "churn/served/auc": 0.80,
        "churn/best_baseline/log_loss": 0.45,
        "churn/best_baseline/auc": 0.70,
    }


def test_headlines_without_a_baseline_are_those_of_the_recipe():
    assert headline_metrics([figure("champion", "auc", 0.8)]) == {"churn/served/auc": 0.8}


def test_a_recipe_is_called_by_its_choice_or_its_heaviest_method():
    chosen = Part("churn", {"report": {"served": "btyd"}, "weights": {"rfm": 1.0}})
    assert recipe_name(chosen) == "btyd"
    assert recipe_name(Part("clv", {"weights": {"btyd": 0.7, "gbm": 0.3}})) == "btyd"
    assert recipe_name(Part("clv", {"weights": {"btyd": 0.5, "gbm": 0.5}})) == "blend"
    assert recipe_name(Part("clv", {})) == "blend"


def test_parameters_hold_config_weights_and_settings_of_the_trees():
    x = np.arange(80.0).reshape(40, 2)
    boosters = {
        name: lgb.train(
            {"objective": "binary", "num_leaves": 3, "seed": seed, "verbose": -1},
            lgb.Dataset(x, (x[:, 0] > 40).astype(float), params={"min_data_in_leaf": 5}),
            num_boost_round=2,
        )
        for seed, name in enumerate(("s1", "s2"))
    }
    part = Part("churn", {"weights": {"trees": 1.0}, "columns": ["a", "b"]}, boosters)
    config = load(find("configs/cdnow.yaml"), ("churn.horizon_days=30",))
    parameters = recipe_parameters(part, config)
    assert parameters["horizon_days"] == 30
    assert parameters["weight.trees"] == 1.0
    assert parameters["features"] == 2
    assert parameters["trees.num_leaves"] == 3
    assert (parameters["trees.s1.seed"], parameters["trees.s2.seed"]) == (0, 1)
    assert parameters["trees.s1.number"] == boosters["s1"].num_trees()


@given(st.recursive(st.integers() | st.none(), lambda inner: st.dictionaries(
    st.text("abc", min_size=1, max_size=3), inner, max_size=3), max_leaves=8))  # fmt: skip
def test_flat_parameters_keep_every_number(content):
    def leaves(value):
        if isinstance(value, dict):
            return [leaf for inner in value.values() for leaf in leaves(inner)]
        return [] if value is None else [value]

    wrapped = {"top": content}
    assert sorted(flat_parameters(wrapped).values()) == sorted(leaves(wrapped))


def test_a_digest_knows_sources_columns_and_dates_and_no_order():
    digest = data_digest("f", ["a", "b"], "2020-01-01", "2020-02-01")
    assert digest == data_digest("f", ["b", "a"], "2020-01-01", "2020-02-01")
    assert len(digest) == 16
    for other in (
        data_digest("g", ["a", "b"], "2020-01-01", "2020-02-01"),
        data_digest("f", ["a"], "2020-01-01", "2020-02-01"),
        data_digest("f", ["a", "b"], "2020-01-01", "2020-02-02"),
    ):
        assert other != digest
