from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from campaigns.experiment_effects import experiment_effects
from features.errors import UserError
from flows.commands.cli import app
from flows.setup.experiment_file import read_experiment
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


def test_every_arm_is_compared_with_the_control_arm(tmp_path: Path) -> None:
    frame = people()
    read = read_experiment(written(tmp_path, frame), control="control")
    assert set(read.used) == {"before", "orders", "region"}
    assert "after the draw" in read.ignored["clicks"]
    assert "neither" in read.ignored["name"]
    effects = experiment_effects(read.people, control="control", seed=1).set_index("arm")
    assert list(effects["answer"]) == ["not yet", "gain"]
    assert effects.loc["b", "low"] < 3 < effects.loc["b", "high"]
    assert (effects["variance_left"] < 0.2).all()
    assert effects["sample_ratio_p"].isna().all()
    shares = frame.assign(outcome=(frame["outcome"] > 50).astype(int), control_share=0.5)
    read = read_experiment(written(tmp_path, shares), control="control")
    tested = experiment_effects(read.people, control="control", seed=1).set_index("arm")
    assert (tested["variance_left"] == 1).all()
    assert (tested["sample_ratio_p"] > 0.001).all()


def test_an_outcome_per_order_is_a_ratio(tmp_path: Path) -> None:
    frame = people()
    file = written(tmp_path, frame)
    read = read_experiment(file, control="control", per="Orders", covariates=["before"])
    assert read.used == ("before",)
    effects = experiment_effects(read.people, control="control", seed=1).set_index("arm")
    sums = frame[frame["entered_at"] != ""].groupby("arm")[["outcome", "orders"]].sum()
    ratio = sums["outcome"] / sums["orders"]
    for arm in "ab":
        expected = ratio[arm] - ratio["control"]
        assert effects.loc[arm, "low"] < expected < effects.loc[arm, "high"]


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
    expected = experiment_effects(read.people, control="control", seed=1)
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
    found = experiment_effects(read.people, control=read.control, seed=1)
    numbers = expected.select_dtypes("number").columns
    pd.testing.assert_frame_equal(found[numbers], expected[numbers])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arm,money\na,1\n", "no column outcome"),
        ("arm,outcome\na,maybe\ncontrol,1\n", "maybe"),
        ("arm,outcome\na,1\nb,2\n", "--control"),
        ("arm,outcome\na,1\ncontrol,\n", "write 0"),
        ("arm,outcome\na,1\ncontrol,inf\n", "write 0|text"),
        ("arm,outcome,control share,control-share\na,1,.5,.5\n", "two columns control_share"),
        ("arm,outcome,customer_id\na,1,7\ncontrol,1,7.0\n", "one row per person"),
        ("arm,outcome,entered_at\na,1,2024-01-01\ncontrol,1,03.02.2024\n", "year"),
        ("arm,outcome,control_share\na,1,50\ncontrol,1,50\n", "between 0 and 1"),
        ("", "no rows|empty|header|column"),
    ],
)
def test_a_file_that_cannot_be_measured_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "experiment.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_experiment(file, control="control")


def test_a_missing_file_or_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        read_experiment(tmp_path / "nowhere.csv", control="control")
    file = written(tmp_path, people(300))
    for options in ({"per": "visits"}, {"covariates": ["visits"]}):
        with pytest.raises(UserError, match="visits"):
            read_experiment(file, control="control", **options)


def test_the_command_says_what_it_used_and_who_was_not_drawn(tmp_path: Path) -> None:
    frame = people(2000)
    frame["arm"] = frame["arm"].where(frame.index % 10 != 0, "")
    answer = CliRunner().invoke(
        app, ["measure", "--experiment", str(written(tmp_path, frame)), "--output", str(tmp_path)]
    )
    assert answer.exit_code == 0, answer.output
    assert "200 rows without an arm" in answer.output
    assert "clicks not used" in answer.output
