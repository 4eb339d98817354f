from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from campaigns.experiment_effects import ExperimentPeople, experiment_effects
from features.errors import UserError
from flows.commands.cli import app
from flows.setup.experiment_file import ExperimentFile, read_experiment
from tests.tries import tries


def people(n: int = 6000) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    arm = rng.choice(["control", "a", "b"], n)
    before = rng.gamma(2, 20, n)
    return pd.DataFrame(
        {
            "customer_id": np.arange(n),
            "arm": arm,
            "outcome": before + rng.gamma(2, 5, n) + 3 * (arm == "b"),
            "before": before,
            "entered_at": rng.choice(["2024-01-01", "2024-01-08"], n),
            "clicks": rng.poisson(np.where(arm == "b", 2.0, 0.5)),
            "orders": 1 + rng.poisson(before / 20),
            "region": rng.choice(["north", "south"], n),
            "name": [f"person {i}" for i in range(n)],
        }
    )


def written(tmp_path: Path, frame: pd.DataFrame) -> Path:
    file = tmp_path / "experiment.csv"
    frame.to_csv(file, index=False)
    return file


def effects_of(read: ExperimentFile) -> pd.DataFrame:
    measured = experiment_effects(read.people, control=read.control, seed=1)
    return measured.effects.set_index("arm")


def test_every_arm_is_compared_with_the_control_arm(tmp_path: Path) -> None:
    frame = people()
    read = read_experiment(written(tmp_path, frame), control="control", covariates=["before"])
    assert read.covariates == ("before",)
    assert read.other_columns == ("clicks", "orders", "region")
    assert read.warnings == ()
    effects = effects_of(read)
    assert list(effects["answer"]) == ["not yet", "gain"]
    assert effects.loc["b", "low"] < 3 < effects.loc["b", "high"]
    assert (effects["variance_left"] < 0.2).all()
    assert effects["sample_ratio_p"].isna().all()
    means = frame.groupby("arm")["outcome"].mean()
    assert effects["mean_treatment"].tolist() == pytest.approx(means[["a", "b"]].tolist())
    assert effects["mean_control"].tolist() == pytest.approx([means["control"]] * 2)


def test_no_covariate_is_taken_without_being_named(tmp_path: Path) -> None:
    """A column that the message changed would hide the effect."""
    read = read_experiment(written(tmp_path, people()), control="control")
    assert read.covariates == ()
    assert (effects_of(read)["variance_left"] == 1).all()


def test_a_covariate_that_the_message_changed_is_reported(tmp_path: Path) -> None:
    file = written(tmp_path, people())
    (warning,) = read_experiment(file, control="control", covariates=["Clicks"]).warnings
    assert "clicks differs between the arms" in warning


def test_shares_use_no_covariates_and_test_the_planned_draw(tmp_path: Path) -> None:
    frame = people()
    shares = frame.assign(outcome=(frame["outcome"] > 50).astype(int), control_share="50 %")
    read = read_experiment(written(tmp_path, shares), control="control", covariates=["before"])
    assert read.covariates == ()
    assert read.warnings == ("the outcome is 0 or 1: covariates are not used",)
    tested = effects_of(read)
    assert (tested["variance_left"] == 1).all()
    assert (tested["sample_ratio_p"] > 0.001).all()


def test_arms_that_contradict_the_draw_have_no_valid_answer(tmp_path: Path) -> None:
    frame = people().assign(control_share=0.5)
    lost = frame[(frame["arm"] != "b") | (frame.index % 3 != 0)]
    answers = effects_of(read_experiment(written(tmp_path, lost), control="control"))["answer"]
    assert answers.to_dict() == {"a": "not yet", "b": "not valid"}
    called = CliRunner().invoke(app, ["measure", "--experiment", str(tmp_path / "experiment.csv")])
    assert "do not trust the effect" in " ".join(called.output.split())


def test_an_outcome_per_order_is_a_ratio(tmp_path: Path) -> None:
    frame = people()
    file = written(tmp_path, frame)
    read = read_experiment(file, control="control", per="Orders", covariates=["before"])
    assert read.covariates == ("before",)
    effects = effects_of(read)
    sums = frame.groupby("arm")[["outcome", "orders"]].sum()
    ratio = sums["outcome"] / sums["orders"]
    for arm in "ab":
        expected = ratio[arm] - ratio["control"]
        assert effects.loc[arm, "low"] < expected < effects.loc[arm, "high"]
        assert effects.loc[arm, "mean_treatment"] == pytest.approx(ratio[arm])


def test_an_arm_without_a_ratio_is_named(tmp_path: Path) -> None:
    frame = people()
    frame.loc[frame["arm"] == "a", "orders"] = 0
    read = read_experiment(written(tmp_path, frame), control="control", per="orders")
    measured = experiment_effects(read.people, control="control", seed=1)
    assert list(measured.effects["arm"]) == ["b"]
    assert "sum of 0" in measured.not_compared["a"]
    frame.loc[frame["arm"] == "control", "orders"] = 0
    called = CliRunner().invoke(
        app, ["measure", "--experiment", str(written(tmp_path, frame)), "--per", "orders"]
    )
    assert isinstance(called.exception, UserError)
    assert "sum of 0" in str(called.exception)


@pytest.mark.parametrize("changes", [False, True], ids=["same-share", "changing-share"])
def test_waves_with_changing_shares_are_no_effect(changes: bool) -> None:
    """With another share of arms in a wave, its other level of outcomes looks like an effect."""
    rng = np.random.default_rng(3)
    wave = rng.integers(0, 2, 4000)
    arm = np.where(rng.random(4000) < np.where(changes & (wave == 1), 0.95, 0.5), "a", "control")
    experiment = ExperimentPeople(
        pd.Series(arm),
        pd.Series(rng.gamma(2, 5, 4000) + 30 * wave),
        pd.Series(np.where(wave == 1, "2024-01-08", "2024-01-01")),
        pd.Series(np.zeros(4000)),
        pd.DataFrame(index=range(4000)),
    )
    (effect,) = experiment_effects(experiment, control="control", seed=1).effects.itertuples()
    assert effect.low < 0 < effect.high
    assert effect.n_treatment + effect.n_control == 4000


def test_people_of_days_with_one_arm_only_are_left_out(tmp_path: Path) -> None:
    frame = people(3000)
    frame["entered_at"] = np.where(frame["arm"] == "a", "2024-01-01", "2024-01-08")
    read = read_experiment(written(tmp_path, frame), control="control")
    measured = experiment_effects(read.people, control="control", seed=1)
    assert list(measured.effects["arm"]) == ["b"]
    assert "no day" in measured.not_compared["a"]
    frame.loc[frame.index % 5 == 0, "entered_at"] = "2024-01-15"
    read = read_experiment(written(tmp_path, frame), control="control")
    measured = experiment_effects(read.people, control="control", seed=1)
    first = measured.effects.set_index("arm").loc["a"]
    together = frame[frame["arm"].isin(["a", "control"])]
    compared = together[together["entered_at"] == "2024-01-15"]
    assert first["n_treatment"] + first["n_control"] == len(compared)
    assert measured.people_left_out == {"a": len(together) - len(compared)}


@settings(max_examples=tries(12), deadline=None)
@given(
    delimiter=st.sampled_from([",", ";", "\t"]),
    comma=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    names=st.sampled_from([str.upper, str.title, lambda name: f" {name.replace('_', ' ')} "]),
    control=st.sampled_from(["control", "Control ", "CONTROL"]),
    words=st.booleans(),
)
def test_other_spellings_of_a_file_give_the_same_effects(
    tmp_path_factory: pytest.TempPathFactory,
    delimiter: str,
    comma: bool,
    encoding: str,
    names: object,
    control: str,
    words: bool,
) -> None:
    folder = tmp_path_factory.mktemp("experiment")
    frame = people(300)[["customer_id", "arm", "outcome", "before", "entered_at"]].round(2)
    if words:
        frame["outcome"] = (frame["outcome"] > 50).astype(int)
    read = read_experiment(written(folder, frame), control="control")
    expected = experiment_effects(read.people, control="control", seed=1).effects
    other = frame.assign(arm=frame["arm"].where(frame.index % 2 == 0, frame["arm"].str.upper()))
    if words:
        other["outcome"] = other["outcome"].map({1: "Yes", 0: "no"})
    assert callable(names)
    file = folder / "other.csv"
    sign = "," if comma and delimiter != "," else "."
    other.set_axis([names(name) for name in other], axis=1).to_csv(
        file, index=False, sep=delimiter, decimal=sign, encoding=encoding
    )
    read = read_experiment(file, control=control)
    measured = experiment_effects(read.people, control=read.control, seed=1).effects
    numbers = expected.select_dtypes("number").columns
    pd.testing.assert_frame_equal(measured[numbers], expected[numbers])


_BAD_FILES = {
    "no-outcome": ("arm,money\na,1\n", "no column outcome"),
    "no-columns": ("group,money\na,1\n", "no column arm and none outcome"),
    "word": ("arm,outcome\na,maybe\ncontrol,1\n", "'maybe' in row 2"),
    "no-control": ("arm,outcome\na,1\nb,2\n", "--control, one of: a, b"),
    "empty-cell": ("arm,outcome\na,1\ncontrol,\n", "an empty cell in row 3"),
    "infinite": ("arm,outcome\na,1\ncontrol,inf\n", "'inf' in row 3"),
    "a-date": ("arm,outcome\na,1\ncontrol,2024-03-01\n", "looks like a date"),
    "same-names": ("arm,outcome,control share,control-share\na,1,.5,.5\n", "two columns"),
    "person-twice": ("arm,outcome,customer_id\na,1,7\ncontrol,1,7.0\n", "one row per person"),
    "day-first": ("arm,outcome,entered_at\na,1,2024-01-01\ncontrol,1,03.02.2024\n", "in row 3"),
    "no-day": ("arm,outcome,entered_at\na,1,2024-01-01\ncontrol,1,2024-02-31\n", "in row 3"),
    "old-day": ("arm,outcome,entered_at\na,1,0024-01-01\ncontrol,1,2024-02-01\n", "in row 2"),
    "empty-day": ("arm,outcome,entered_at\na,1,2024-01-01\ncontrol,1,\n", "empty cell in row 3"),
    "share-of-50": ("arm,outcome,control_share\na,1,50\ncontrol,1,50\n", "50 in row 2"),
    "share-hole": ("arm,outcome,control_share\na,1,.5\ncontrol,1,\n", "write .5"),
    "thousands": ('arm;outcome\na;1.127\ncontrol;2.451\n', "in one way only"),
    "quoted-thousands": ('arm,outcome\na,"1,127"\ncontrol,"2,451"\n', "in one way only"),
    "currencies": ("arm,outcome\na,$5.00\ncontrol,€4.00\n", "one currency"),
    "currency-column": ("arm,outcome,currency\na,5,EUR\ncontrol,4,usd\n", "one currency"),
    "two-problems": ("arm,outcome,entered_at\na,x,y\ncontrol,1,2024-01-01\n", "2 problems"),
    "nothing": ("", "no rows|empty|header|column"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), _BAD_FILES.values(), ids=list(_BAD_FILES))
def test_a_file_that_cannot_be_measured_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "experiment.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as refused:
        read_experiment(file, control="control")
    assert "`csv:`" not in str(refused.value)


_BAD_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "per-absent": ({"per": "visits"}, "no such column"),
    "per-outcome": ({"per": "outcome"}, "the outcome"),
    "per-text": ({"per": "name"}, "number"),
    "covariate-absent": ({"covariates": ["visits"]}, "no such column"),
    "covariate-arm": ({"covariates": ["Arm"]}, "the arm"),
    "covariate-outcome": ({"covariates": ["outcome"]}, "the outcome"),
    "covariate-per": ({"covariates": ["orders"], "per": "orders"}, "divided by"),
    "covariate-person": ({"covariates": ["customer_id"]}, "the person"),
    "covariate-names": ({"covariates": ["name"]}, "at most 20"),
    "covariate-list": ({"covariates": ["tags"]}, "at most 20"),
}


@pytest.mark.parametrize(("options", "message"), _BAD_OPTIONS.values(), ids=list(_BAD_OPTIONS))
def test_a_column_that_cannot_be_used_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    frame = people(300)
    file = tmp_path / "experiment.parquet"
    frame.assign(tags=[[number] for number in frame.index]).to_parquet(file)
    with pytest.raises(UserError, match=message):
        read_experiment(file, control="control", **options)


def test_a_missing_file_or_an_address_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        read_experiment(tmp_path / "nowhere.csv", control="control")
    with pytest.raises(UserError, match="a file on this machine"):
        read_experiment(Path("https://example.org/people.csv"), control="control")
    for folder in (tmp_path, Path("."), Path("..")):
        with pytest.raises(UserError, match="a folder"):
            read_experiment(folder, control="control")


def test_days_count_as_they_are_written(tmp_path: Path) -> None:
    frame = people(300).assign(entered_at="2024-01-01T23:30:00-08:00")
    read = read_experiment(written(tmp_path, frame), control="control")
    assert set(read.people.wave) == {"2024-01-01"}


def test_the_command_says_what_it_used_and_who_was_not_drawn(tmp_path: Path) -> None:
    frame = people(2000)
    frame["arm"] = frame["arm"].where(frame.index % 10 != 0, "")
    called = CliRunner().invoke(
        app, ["measure", "--experiment", str(written(tmp_path, frame)), "--output", str(tmp_path)]
    )
    assert called.exit_code == 0, called.output
    assert "200 rows without an arm" in called.output
    assert "columns not used: before, clicks, orders, region" in " ".join(called.output.split())


def test_an_experiment_in_which_nothing_came_says_so(tmp_path: Path) -> None:
    frame = people(300).assign(outcome=0.0)
    read = read_experiment(written(tmp_path, frame), control="control")
    assert "every outcome is 0" in read.warnings
