from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from models.fitting.btyd import BGNBD, MBGNBD, GammaGamma
from models.fitting.two_class_model import TwoClassModel


@parametrize_with_checks([TwoClassModel(max_rounds=60)])
def test_scikit_learns_own_checks(estimator: BaseEstimator, check) -> None:
    check(estimator)


def _curved(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Outcomes that depend on a product of two columns, which a regression cannot follow."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(rows, 4)), columns=["a", "b", "c", "d"])
    log_odds = 2.0 * frame["a"] * frame["b"] + frame["c"]
    return frame, (random.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(int)


def test_it_follows_what_a_regression_cannot() -> None:
    x, y = _curved(3000, 1)
    new_x, new_y = _curved(3000, 2)
    model, regression = TwoClassModel().fit(x, y), LogisticRegression().fit(x, y)
    ours = roc_auc_score(new_y, model.predict_proba(new_x)[:, 1])
    assert ours > roc_auc_score(new_y, regression.predict_proba(new_x)[:, 1]) + 0.1
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]


def test_the_block_of_the_page_runs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?TwoClassModel.*?)```", page, re.DOTALL)
    x, y = _curved(200, 7)
    exec(compile(block, "docs/models.md", "exec"), {"features": x, "churned": y, "customers": None})


def test_it_works_in_pipelines_and_cross_validation() -> None:
    x, y = _curved(400, 3)
    scores = cross_val_score(make_pipeline(StandardScaler(), TwoClassModel(folds=2)), x, y, cv=3)
    assert scores.mean() > 0.5


def test_classes_may_be_words_and_values_may_be_missing() -> None:
    x, y = _curved(400, 4)
    x = x.mask(np.random.default_rng(0).random(x.shape) < 0.2)
    words = np.where(y == 1, "left", "came back")
    model = TwoClassModel().fit(x, words)
    assert list(model.classes_) == ["came back", "left"]
    assert set(model.predict(x)) == {"came back", "left"}


def test_copies_of_customers_in_one_fold_do_not_lengthen_the_trees() -> None:
    x, _ = _curved(300, 5)
    noise = np.random.default_rng(1).random(300) < 0.5  # outcomes that cannot be learned
    copies = pd.concat([x] * 6, ignore_index=True)
    labels, who = np.tile(noise.astype(int), 6), np.tile(np.arange(300), 6)
    together = TwoClassModel().fit(copies, labels, customers=who)
    apart = TwoClassModel().fit(copies, labels)
    assert together.rounds_ * 5 < apart.rounds_


def test_threads_do_not_change_the_result() -> None:
    x, y = _curved(500, 6)
    one, two = (TwoClassModel(threads=threads).fit(x, y) for threads in (1, 2))
    np.testing.assert_array_equal(one.predict_proba(x), two.predict_proba(x))


@pytest.mark.parametrize("model", [BGNBD(), MBGNBD(), GammaGamma()])
def test_models_of_purchase_counts_are_estimators_with_parameters(model: BaseEstimator) -> None:
    clone = type(model)(**model.get_params())
    assert clone.get_params() == model.get_params()
    assert repr(clone) == repr(model)
