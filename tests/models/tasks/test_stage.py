from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from models.baselines import stage_baselines
from models.fitting import multiclass_trees
from models.metrics import metrics
from models.scorer.part import Part
from models.scorer.stage import predict_stage, stage_table_probabilities
from models.tasks.stage import fit_stage
from tests.lifecycle_frames import STAGES, contexts, life, split


def fitted(train: pd.DataFrame, stages: list[str] = STAGES) -> Part:
    return fit_stage(
        train,
        contexts(train),
        validation_at=train["snapshot_at"].max(),
        stages=stages,
        seed=3,
        threads=1,
    )


def predicted(part: Part, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    return predict_stage(part, rows, {"population_gap_days": 12.0})


@pytest.fixture(scope="module")
def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    return split(life(snapshots=4))


@pytest.fixture(scope="module")
def part(frames: tuple[pd.DataFrame, pd.DataFrame]) -> Part:
    return fitted(frames[0])


def test_beats_the_frequency_table(part, frames):
    train, test = frames
    truth = test["truth_code"].to_numpy().astype(int)
    table = stage_baselines.frequency_table(train, test, stages=3)["probabilities"]
    ours = metrics.multiclass_log_loss(truth, predicted(part, test)["probabilities"])
    assert part.parameters["weights"]["trees"] > 0.7
    assert ours < 0.5 * metrics.multiclass_log_loss(truth, table)


def test_outputs_are_probabilities_and_rowwise(part, frames):
    test = frames[1]
    out = predicted(part, test)
    p = out["probabilities"]
    assert p.shape == (len(test), 3)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_array_equal(out["confidence"], p[np.arange(len(p)), out["code"]])
    pieces = [predicted(part, test.iloc[i : i + 7])["probabilities"] for i in range(0, len(p), 7)]
    np.testing.assert_array_equal(np.concatenate(pieces), p)
    np.testing.assert_array_equal(predicted(part, test.iloc[5:6])["probabilities"], p[5:6])
    assert predicted(part, test.iloc[:0])["probabilities"].shape == (0, 3)


def test_survives_saving_and_column_order(part, frames, tmp_path):
    test = frames[1]
    part.save(tmp_path / "stage")
    loaded = Part.load(tmp_path / "stage")
    turned = test[test.columns[::-1]]
    expected = predicted(part, test)["probabilities"]
    np.testing.assert_allclose(predicted(loaded, turned)["probabilities"], expected, atol=1e-12)


def test_same_seed_gives_the_same_part(part, frames):
    again = fitted(frames[0])
    assert again.parameters == part.parameters
    assert (
        again.boosters["stage"].model_to_string().split("parameters:")[0]
        == (part.boosters["stage"].model_to_string().split("parameters:")[0])
    )


def test_multipliers_never_touch_probabilities(part, frames):
    test = frames[1]
    turned = Part(part.name, {**part.parameters, "multipliers": [50.0, 1.0, 1.0]}, part.boosters)
    plain, other = predicted(part, test), predicted(turned, test)
    np.testing.assert_array_equal(plain["probabilities"], other["probabilities"])
    assert (other["code"] == 0).sum() > (plain["code"] == 0).sum()


def test_labels_are_no_inputs(part):
    assert not {"truth_code", "next_code", "period"} & set(part.parameters["columns"])


@pytest.mark.parametrize(
    "train",
    [
        life(12, 2),
        life(900, 1),
        life(900, 1).assign(truth_code=1.0),
        life().assign(truth_code=2.0, stage__code=2.0),
        life().assign(purchase__recency_days=np.nan),
        life().iloc[[0]],
    ],
    ids=["tiny", "one-snapshot", "one-truth", "one-stage", "never-bought", "one-row"],
)
def test_odd_data_give_a_part(train):
    part = fitted(train)
    test = life(40, 1, seed=9).assign(stage__code=lambda f: f["stage__code"].where(f.index > 3))
    p = predicted(part, test)["probabilities"]
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
    assert np.isfinite(p).all()
    json.dumps(part.parameters, allow_nan=False)


def test_a_stage_too_rare_to_learn_keeps_its_frequency(frames):
    train, test = frames
    rare = train.copy()
    rare.loc[rare.index[:5], "truth_code"] = 3.0
    part = fitted(rare, [*STAGES, "rare"])
    assert 3 not in part.parameters["classes"]
    p = predicted(part, test)["probabilities"]
    assert 0 < p[:, 3].mean() < 0.05


def test_clear_errors(frames):
    train = frames[0]
    with pytest.raises(ValueError, match="no training rows"):
        fit_stage(
            train.iloc[:0],
            {},
            validation_at=pd.Timestamp("2024-03-04"),
            stages=STAGES,
            seed=1,
        )
    with pytest.raises(ValueError, match="2030-01-01"):
        fit_stage(
            train,
            contexts(train),
            validation_at=pd.Timestamp("2030-01-01"),
            stages=STAGES,
            seed=1,
        )
    with pytest.raises(ValueError, match="expected stage codes 0 to 2"):
        fitted(train.assign(truth_code=7.0))


def test_frequency_table_by_hand():
    train = pd.DataFrame(
        {
            "snapshot_at": np.datetime64("2024-01-01", "s"),
            "stage__code": [0.0, 0.0, 0.0, 1.0],
            "purchase__recency_days": [5.0, 5.0, 5.0, np.nan],
            "truth_code": [0.0, 0.0, 1.0, 1.0],
        }
    )
    table = stage_baselines.fit_frequency_table(train, 2)
    p = stage_table_probabilities(table, train)
    # Stage 0: frequencies (2/3, 1/3) of all three in one bin, so smoothing changes nothing.
    np.testing.assert_allclose(p, [[2 / 3, 1 / 3]] * 3 + [[0.0, 1.0]])
    unknown = train.assign(stage__code=np.nan)
    np.testing.assert_allclose(stage_table_probabilities(table, unknown)[0], [0.5, 0.5])


def test_columns_that_follow_the_calendar_are_left_out():
    frame = life(50, 3)
    number = frame.groupby("snapshot_at").ngroup()
    names = ["purchase__count_90d", "purchase__count_prev_60d", "purchase__count_60d"]
    values = np.arange(len(frame), dtype=float)
    frame = frame.assign(
        tenure__days=np.minimum(100.0, 100.0) + 28.0 * number,
        purchase__count_all=values,
        same__thing=1.0,
        **dict.fromkeys(names, values),
    )
    kept = multiclass_trees.steady_columns(
        frame, [*names, "purchase__count_all", "tenure__days", "same__thing"]
    )
    assert kept == ["purchase__count_90d", "purchase__count_60d"]
