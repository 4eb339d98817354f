from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.errors import UserError
from flows.commands.cli import app
from flows.setup.decision_file import LogColumns, read_decisions

REWARD = {"Nothing": 0.1, "Mail": 0.2, "Voucher": 0.4}


def decisions(count: int = 4_000, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    offer = rng.choice(list(REWARD), count, p=[0.5, 0.3, 0.2])
    bought = rng.random(count) < np.vectorize(REWARD.get)(offer)
    return pd.DataFrame(
        {
            "offer": offer,
            "propensity": np.vectorize({"Nothing": 0.5, "Mail": 0.3, "Voucher": 0.2}.get)(offer),
            "reward": bought.astype(float),
            "plan": rng.choice(["mail", "voucher "], count),
            "region": rng.choice(["north", "south"], count),
            "age": rng.integers(18, 80, count),
            "customer_id": np.arange(count) // 2,
        }
    )


def written(tmp_path: Path, frame: pd.DataFrame, name: str = "log.csv") -> Path:
    file = tmp_path / name
    frame.to_csv(file, index=False)
    return file


def evaluated(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["policy", "evaluate", *arguments, "--json", "-"])
    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads(result.stdout)
    return content


def test_every_kind_of_policy_is_estimated(tmp_path: Path) -> None:
    log = written(tmp_path, decisions())
    other = written(tmp_path, decisions(500, seed=2), "other.csv")
    result = evaluated(
        str(log), "--policy", "uniform", "--policy", "always:voucher", "--policy", "column:plan",
        "--policy", f"log:{other}", "--by", "region", "--covariate", "age",
        "--person", "customer_id",
    )  # fmt: skip
    values = {row["policy"]: row for row in result["policies"]}
    assert list(values) == ["uniform", "always:voucher", "column:plan", "log:other.csv"]
    for name, truth in {"uniform": 0.7 / 3, "always:voucher": 0.4, "column:plan": 0.3}.items():
        assert values[name]["low"] < truth < values[name]["high"]
    assert result["logged"]["low"] < 0.19 < result["logged"]["high"]
    assert values["always:voucher"]["gain_low"] > 0


def test_columns_under_other_usual_names_and_written_numbers(tmp_path: Path) -> None:
    frame = decisions(600).rename(
        columns={"offer": "Action", "propensity": "propensity score", "reward": "click"}
    )
    frame["propensity score"] = frame["propensity score"].map(
        lambda p: f"{p:.2f}".replace(".", ",")
    )
    log = tmp_path / "log.csv"
    frame.to_csv(log, index=False, sep=";")
    read = read_decisions(log, LogColumns(), ["uniform"])
    assert sorted(set(read.log.propensity)) == [0.2, 0.3, 0.5]
    assert read.log.offers == ("Mail", "Nothing", "Voucher")


def test_the_terminal_says_which_policy_cannot_be_told(tmp_path: Path) -> None:
    log = written(tmp_path, decisions(300).assign(reward=0))
    result = CliRunner().invoke(app, ["policy", "evaluate", str(log), "--policy", "uniform"])
    assert result.exit_code == 0
    assert "the log" in result.output
    assert "uniform: about 0 rewarded decisions" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("column", "cells", "said"),
    [
        ("propensity", 0, "a share above 0, at most 1"),
        ("propensity", 1.2, "a share above 0, at most 1"),
        ("propensity", None, "an empty cell in row 2"),
        ("offer", None, "an offer in every row"),
        ("reward", "maybe", "'maybe' in row 2"),
        ("offer", "Mail", "at least two offers"),
    ],
)
def test_bad_cells_are_refused_with_their_row(
    tmp_path: Path, column: str, cells: object, said: str
) -> None:
    log = written(tmp_path, decisions(50).assign(**{column: cells}))
    with pytest.raises(UserError, match=said):
        read_decisions(log, LogColumns(), ["uniform"])


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("often", "uniform, always:OFFER"),
        ("always:gift", "offers of the log: Mail, Nothing"),
        ("column:region", "an offer of the log"),
        ("column:absent", "no such column"),
        ("log:absent.csv", "no such file"),
    ],
)
def test_policies_that_cannot_be_read(tmp_path: Path, policy: str, said: str) -> None:
    log = written(tmp_path, decisions(50))
    with pytest.raises(UserError, match=said):
        read_decisions(log, LogColumns(), [policy])


def test_a_log_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no decisions"):
        read_decisions(written(tmp_path, decisions(5).iloc[:0]), LogColumns(), ["uniform"])


def test_all_problems_of_a_file_come_in_one_answer(tmp_path: Path) -> None:
    frame = decisions(50).drop(columns="reward").assign(propensity=2)
    with pytest.raises(UserError) as error:
        read_decisions(written(tmp_path, frame), LogColumns(by=("absent",)), ["uniform"])
    assert len(error.value.problems) == 3


def test_an_offer_that_could_not_be_drawn_for_these_people_is_not_valued(tmp_path: Path) -> None:
    frame = decisions()
    for_all = json.dumps({"Nothing": 0.5, "Mail": 0.3, "Voucher": 0.2})
    closed = json.dumps({"Nothing": 0.6, "Mail": 0.4})
    frame["propensities"] = for_all
    frame.loc[frame.index[frame["offer"] != "Voucher"][:400], "propensities"] = closed
    policies = ["--policy", "always:voucher", "--policy", "always:mail"]
    result = evaluated(str(written(tmp_path, frame)), *policies)
    voucher, mail = result["policies"]
    assert "10% of its decisions take offers that could not be drawn there" in voucher["unknown"]
    assert mail["low"] < 0.2 < mail["high"]
    frame.loc[7, "propensities"] = "half"
    with pytest.raises(
        UserError, match="column propensities: found a cell that cannot be read in row 9"
    ):
        read_decisions(written(tmp_path, frame), LogColumns(), ["uniform"])
