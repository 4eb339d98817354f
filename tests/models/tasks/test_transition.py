from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.baselines import transition_baselines
from models.metrics import metrics
from models.scorer.derived_features import derive
from models.scorer.linear_model import matrix
from models.scorer.part import Part
from models.scorer.stage import booster_classes, forest_classes
from models.scorer.transition import predict_transition
from models.tasks.transition import fit_transition
from tests.lifecycle_frames import PERIOD_DAYS, PERIODS, STAGES, contexts, life, split

GRID = {"periods": PERIODS, "period_days": PERIOD_DAYS}


def fitted(train: pd.DataFrame) -> Part:
    return fit_transition(
        train,
        contexts(train),
        validation_at=train["snapshot_at"].max(),
        stages=STAGES,
        seed=3,
        threads=1,
        **GRID,
    )


def predicted(part: Part, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    return predict_transition(part, rows, {"population_gap_days": 12.0})


def log_loss(out: dict[str, np.ndarray], rows: pd.DataFrame) -> float:
    truth = np.where(rows["period"] > 0, rows["next_code"], len(STAGES)).astype(int)
    return metrics.multiclass_log_loss(truth, out["probabilities"])


def check(out: dict[str, np.ndarray], rows: pd.DataFrame, stages: int, periods: int) -> None:
    """What holds for every transition model."""
    p, cif = out["probabilities"], out["cif"]
    assert p.shape == (len(rows), stages + 1)
    assert cif.shape == (len(rows), stages, periods)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-9)
    assert (p >= 0).all()
    assert (np.diff(cif, axis=2) >= -1e-12).all()
    np.testing.assert_allclose(cif[:, :, -1], p[:, :-1], atol=1e-9)
    np.testing.assert_allclose(out["p_move"], 1.0 - p[:, -1], atol=1e-9)
    code = rows["stage__code"].to_numpy()
    known = np.flatnonzero(~np.isnan(code))
    assert (p[known, code[known].astype(int)] == 0.0).all()
    moving = out["p_move"] > 0
    assert np.isnan(out["median_period"][~moving]).all()
    assert ((out["median_period"][moving] >= 1) & (out["median_period"][moving] <= periods)).all()


@pytest.fixture(scope="module")
def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    return split(life(600, snapshots=4))


@pytest.fixture(scope="module")
def part(frames: tuple[pd.DataFrame, pd.DataFrame]) -> Part:
    return fitted(frames[0])


def test_beats_the_timer_table(part, frames):
    train, test = frames
    timer = transition_baselines.timer_table(train, test, stages=len(STAGES), **GRID)
    ours = predicted(part, test)
    assert part.parameters["kind"] == "trees"
    assert log_loss(ours, test) < 0.7 * log_loss(timer, test)


def test_knows_when_the_rule_clock_runs_out(part, frames):
    test = frames[1]
    leaving = test[(test["next_code"] == 0) & (test["activity__level"] < -0.3)]
    said = predicted(part, leaving)["median_period"]
    assert (said == leaving["period"]).mean() > 0.9


def test_outputs(part, frames):
    test = frames[1]
    out = predicted(part, test)
    check(out, test, len(STAGES), PERIODS)
    np.testing.assert_array_equal(out["median_days"], out["median_period"] * PERIOD_DAYS)
    for size in (1, 7):
        rows = test.iloc[:21]
        pieces = [predicted(part, rows.iloc[i : i + size]) for i in range(0, 21, size)]
        for name in out:
            np.testing.assert_array_equal(
                np.concatenate([piece[name] for piece in pieces]), out[name][:21]
            )
    assert predicted(part, test.iloc[:0])["cif"].shape == (0, len(STAGES), PERIODS)


def test_survives_saving(part, frames, tmp_path):
    part.save(tmp_path / "transition")
    loaded = predicted(Part.load(tmp_path / "transition"), frames[1])
    for name, values in predicted(part, frames[1]).items():
        np.testing.assert_allclose(loaded[name], values, atol=1e-12)


def test_same_seed_gives_the_same_predictions(part, frames):
    again = predicted(fitted(frames[0]), frames[1])
    np.testing.assert_array_equal(again["cif"], predicted(part, frames[1])["cif"])


@pytest.mark.parametrize(
    "train",
    [
        life(12, 2),
        life(900, 1),
        life().assign(next_code=-1.0, period=0.0),
        life().assign(stage__code=2.0, next_code=-1.0, period=0.0),
        life().assign(stage__code=2.0, next_code=0.0, period=2.0),
        life().assign(stage__silent_period=np.nan),
        life().iloc[[0]],
    ],
    ids=["tiny", "one-snapshot", "no-movers", "one-stage", "all-move", "no-timers", "one-row"],
)
def test_odd_data_give_a_part(train):
    part = fitted(train)
    test = life(40, 1, seed=9)
    test["stage__code"] = test["stage__code"].where(test.index > 3)
    check(predicted(part, test), test, len(STAGES), PERIODS)
    json.dumps(part.parameters, allow_nan=False)


def test_nobody_moves_where_nobody_ever_did():
    part = fitted(life().assign(next_code=-1.0, period=0.0))
    out = predicted(part, life(30, 1))
    assert out["p_move"].max() < 1e-6


def test_wrong_labels_are_named(frames):
    with pytest.raises(ValueError, match="expected stage codes 0 to 2 and periods 0 to 4"):
        fitted(frames[0].assign(period=9.0))


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_baselines_keep_the_invariants(stages, periods, rows, seed):
    rng = np.random.default_rng(seed)
    code = rng.integers(0, stages, rows)
    other = rng.integers(0, stages, rows)
    period = np.where(other == code, 0, rng.integers(0, periods + 1, rows))
    frame = pd.DataFrame(
        {
            "stage__code": np.where(rng.random(rows) < 0.1, np.nan, code),
            "stage__silent_period": rng.integers(1, periods + 2, rows).astype(float),
            "stage__periods_in_stage": rng.integers(0, 30, rows).astype(float),
            "next_code": np.where(period > 0, other, -1).astype(float),
            "period": period.astype(float),
        }
    )
    for model in (
        transition_baselines.timer_table,
        transition_baselines.markov,
        transition_baselines.semi_markov,
    ):
        out = model(frame, frame, stages=stages, periods=periods, period_days=7)
        check(out, frame, stages, periods)


def test_markov_by_hand():
    # Of four customers one moves to stage 1 in period 1: one move in 1 + 3 x 2 customer-periods.
    frame = pd.DataFrame(
        {
            "stage__code": [0.0] * 4,
            "next_code": [1.0, -1.0, -1.0, -1.0],
            "period": [1.0, 0.0, 0.0, 0.0],
        }
    )
    out = transition_baselines.markov(frame, frame, stages=2, periods=2, period_days=7)
    hazard = 1 / 7
    np.testing.assert_allclose(out["cif"][0, 1], [hazard, hazard + (1 - hazard) * hazard])


def test_few_rows_are_served_by_the_mean_of_several_seeds() -> None:
    train, rows = split(life(900, snapshots=4))
    part = fit_transition(
        train, contexts(train), validation_at=train["snapshot_at"].max(), stages=STAGES,
        periods=PERIODS, period_days=PERIOD_DAYS, seed=1, threads=1,
    )  # fmt: skip
    assert {"destination", "destination_1", "destination_2"} <= set(part.boosters)
    x = matrix(derive(rows, contexts(rows)[rows["snapshot_at"].iloc[0]]),
                         part.parameters["columns"])  # fmt: skip
    names = [name for name in part.boosters if name.startswith("destination")]
    each = [booster_classes(part.boosters[name], x) for name in names]
    assert not np.allclose(each[0], each[1])
    np.testing.assert_allclose(
        forest_classes(part, "destination", x), np.mean(each, axis=0), rtol=1e-12
    )
    assert forest_classes(part, "destination", x[:0]).shape == (0, each[0].shape[1])
