"""The two-class recipe as a scikit-learn estimator, for use without the rest of the project."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from features.arrays import Array
from models.fitting.binary_ensemble import (
    TwoClassRecipe,
    fit_logistic,
    predict_out_of_fold,
    refit_trees,
)
from models.scorer.linear_model import linear, sigmoid

_FEW_OF_A_CLASS = 30  # rows of the rarer class, below which no customer is held out
_ROUNDS_WITHOUT_TEST = 30  # of the trees, where too few rows tell when to stop


class TwoClassModel(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Mean of the log-odds of LightGBM and of a logistic regression.

    It is the recipe of churn and of the lead score without their calibration. Rows of a customer
    stay together: the number of trees is found on customers that the trees have not seen.

    Parameters
    ----------
    learning_rate, leaves, max_rounds
        Of the trees.
    linear_weight
        Weight of the regression, 0 to 1; the trees have the rest.
    folds
        Customer folds, and seeds of the last fit.
    random_state
        Seed; the same seed gives the same model.
    threads
        Processors to use; the result does not depend on it.

    Attributes
    ----------
    classes_
        The two classes; probabilities are in their order.
    n_features_in_, feature_names_in_
        Columns of the data it was fitted on; names only for a frame.
    rounds_
        Number of trees of each booster.
    regression_
        Coefficients, as `models.fitting.binary_ensemble.fit_logistic` returns them.
    boosters_
        LightGBM boosters by name.
    """

    def __init__(
        self,
        *,
        learning_rate: float = 0.03,
        leaves: int = 15,
        max_rounds: int = 1500,
        linear_weight: float = 0.5,
        folds: int = 3,
        random_state: int = 0,
        threads: int = 1,
    ) -> None:
        self.learning_rate = learning_rate
        self.leaves = leaves
        self.max_rounds = max_rounds
        self.linear_weight = linear_weight
        self.folds = folds
        self.random_state = random_state
        self.threads = threads

    def __sklearn_tags__(self) -> Any:
        """Missing values are allowed, and more than two classes are not."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any, customers: Any = None) -> TwoClassModel:
        """Fit on rows with known classes.

        Parameters
        ----------
        X
            Rows x features, numbers; NaN where missing.
        y
            Class of each row, two of them.
        customers
            Customer of each row; None: each row is another customer's.

        Raises
        ------
        ValueError
            For one class or more than two.
        """
        inputs, target = validate_data(
            self, X, y, ensure_all_finite="allow-nan", dtype=np.float64, ensure_min_samples=2
        )
        check_classification_targets(target)
        self.classes_, outcome = np.unique(target, return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(
                f"Only binary classification is supported: there are {len(self.classes_)} classes."
            )
        if len(self.classes_) < 2:
            raise ValueError("The classifier needs two classes, and y has one class.")
        frame = self._frame(inputs)
        columns = list(frame.columns)
        if customers is None:
            customers = np.arange(len(frame))
        check_consistent_length(customers, inputs)
        frame["customer_id"] = np.asarray(customers).astype(str)
        recipe, outcome = self._recipe(), outcome.astype(np.float64)
        common = {"seed": self.random_state, "threads": self.threads}
        self.rounds_ = min(self.max_rounds, _ROUNDS_WITHOUT_TEST)
        if min(outcome.sum(), len(outcome) - outcome.sum()) >= _FEW_OF_A_CLASS:
            held_out = predict_out_of_fold(
                frame, columns, outcome, recipe, with_regression=False, **common
            )
            self.rounds_ = max(1, round(float(np.mean(held_out.rounds)) * recipe.refit_factor))
        self.regression_ = fit_logistic(frame, columns, outcome, strength=recipe.strength)
        self.boosters_ = refit_trees(frame, columns, outcome, recipe, rounds=self.rounds_, **common)
        return self

    def decision_function(self, X: Any) -> Array:
        """Log-odds of the second class, one number a row."""
        check_is_fitted(self)
        inputs = validate_data(
            self, X, reset=False, ensure_all_finite="allow-nan", dtype=np.float64
        )
        trees = np.mean(
            [booster.predict(inputs, raw_score=True) for booster in self.boosters_.values()],
            axis=0,
        )
        regression = linear(self.regression_, inputs)
        return np.asarray(self.linear_weight * regression + (1 - self.linear_weight) * trees)

    def predict_proba(self, X: Any) -> Array:
        """Probability of each class, rows x 2, in the order of `classes_`."""
        second = sigmoid(self.decision_function(X))
        return np.column_stack([1.0 - second, second])

    def predict(self, X: Any) -> Array:
        """The more probable class of each row."""
        check_is_fitted(self)
        return np.asarray(self.classes_[(self.decision_function(X) > 0).astype(int)])

    def _recipe(self) -> TwoClassRecipe:
        return TwoClassRecipe(
            learning_rate=self.learning_rate,
            leaves=self.leaves,
            max_rounds=self.max_rounds,
            linear_weight=self.linear_weight,
            folds=self.folds,
        )

    def _frame(self, inputs: Array) -> pd.DataFrame:
        """Inputs under numbered names, which cannot collide with that of the customer."""
        return pd.DataFrame(inputs, columns=[f"x{number}" for number in range(inputs.shape[1])])
