"""Recorded stages: nobody's own record has a say in what they are predicted to be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.scorer.part import Part
from models.scorer.stage import customer_folds, predict_stage
from models.tasks.stage_from_crm import CRM_FOLDS, fit_recorded_stage
from tests.lifecycle_frames import STAGES, contexts, life, split

CONTEXT = {"population_gap_days": 12.0}


def fitted(train: pd.DataFrame, seed: int = 3) -> Part:
    return fit_recorded_stage(
        train,
        contexts(train),
        validation_at=train["snapshot_at"].max(),
        stages=STAGES,
        seed=seed,
        threads=1,
    )


def probabilities(part: Part, rows: pd.DataFrame) -> np.ndarray:
    return predict_stage(part, rows, CONTEXT)["probabilities"]


@pytest.fixture(scope="module")
def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    return split(life(400, snapshots=3))


@pytest.fixture(scope="module")
def part(frames: tuple[pd.DataFrame, pd.DataFrame]) -> Part:
    return fitted(frames[0])


def test_ones_own_record_changes_nothing_and_others_do(
    part: Part, frames: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    train, test = frames
    fold = customer_folds(test["customer_id"], CRM_FOLDS, 3)
    # Some of a fold are staged anew: its predictions stay, those of the other folds do not.
    mine = set(test["customer_id"][fold == 2][:15])
    other = train.copy()
    changed = other["customer_id"].isin(mine)
    other.loc[changed, "truth_code"] = (other.loc[changed, "truth_code"] + 1) % len(STAGES)
    again = fitted(other)
    assert part.parameters["weights"] == again.parameters["weights"] == {"trees": 1.0}
    before, after = probabilities(part, test), probabilities(again, test)
    np.testing.assert_array_equal(before[fold == 2], after[fold == 2])
    assert (np.abs(before - after)[fold != 2].max(axis=1) > 1e-6).mean() > 0.9


def test_wrong_records_are_the_least_likely_ones(
    part: Part, frames: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    train, test = frames
    rng = np.random.default_rng(4)
    wrong = rng.random(len(test)) < 0.1
    shift = rng.integers(1, len(STAGES), len(test))
    by_customer = dict(zip(test["customer_id"], np.where(wrong, shift, 0), strict=True))
    moved = train["truth_code"] + train["customer_id"].map(by_customer)
    noisy = fitted(train.assign(truth_code=moved % len(STAGES)))
    recorded = ((test["truth_code"] + np.where(wrong, shift, 0)) % len(STAGES)).astype(int)
    own = probabilities(noisy, test)[np.arange(len(test)), recorded]
    first = np.argsort(own)[: wrong.sum()]
    assert wrong[first].mean() > 0.8


def test_prediction_is_row_wise_and_survives_saving(
    part: Part, frames: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    test = frames[1]
    whole = probabilities(part, test)
    np.testing.assert_allclose(whole.sum(axis=1), 1.0, atol=1e-12)
    pieces = [probabilities(part, test.iloc[i : i + 7]) for i in range(0, len(test), 7)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert probabilities(part, test.iloc[:0]).shape == (0, len(STAGES))
    part.save(tmp_path / "stage")
    turned = test[test.columns[::-1]].sample(frac=1, random_state=1)
    loaded = probabilities(Part.load(tmp_path / "stage"), turned)
    np.testing.assert_allclose(loaded, whole[turned.index - test.index[0]], atol=1e-12)


def test_folds_hang_on_the_id_and_the_seed_alone() -> None:
    ids = pd.Series([f"c{i}" for i in range(2000)])
    fold = customer_folds(ids, 5, 1)
    assert np.bincount(fold).min() > 300
    turned = ids[::-1]
    np.testing.assert_array_equal(customer_folds(turned, 5, 1), fold[::-1])
    assert (customer_folds(ids, 5, 2) != fold).mean() > 0.5


@pytest.mark.parametrize(
    "train",
    [life(12, 2), life(200, 1), life(200, 2).assign(truth_code=1.0), life().iloc[[0]]],
    ids=["tiny", "one-snapshot", "one-stage", "one-row"],
)
def test_odd_data_give_a_part(train: pd.DataFrame) -> None:
    part = fitted(train)
    p = probabilities(part, life(40, 1, seed=9))
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
    json.dumps(part.parameters, allow_nan=False)
    assert not {"truth_code", "next_code", "period"} & set(part.parameters["columns"])


def test_no_records_are_no_training() -> None:
    with pytest.raises(ValueError, match="stage record"):
        fit_recorded_stage(
            life().iloc[:0], {}, validation_at=pd.Timestamp("2024-03-04"), stages=STAGES, seed=1
        )
