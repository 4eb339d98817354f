"""Mistakes of the user end in one message, exit code 2, no traceback and nothing published."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.shop import orders, stagecast, write_shop


def assert_one_message(done: object, *words: str) -> None:
    code, text = done.returncode, done.stderr  # type: ignore[attr-defined]
    assert code == 2, text
    assert text.count("error: ") == 1
    assert "Traceback" not in text
    assert "expected: " in text
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("chrun.horizon_days=30", ("chrun", "unknown key")),
        ("churn.horizon_days=soon", ("churn.horizon_days", "'soon'")),
        ("timezone=Mars/Olympus", ("timezone", "Mars/Olympus")),
        ("stages.params.Q=3", ("stages.params.Q",)),
        ("campaigns=[nowhere.yaml]", ("nowhere.yaml",)),
    ],
)
def test_a_wrong_config_key_is_named(tmp_path: Path, setting: str, words: tuple[str, ...]) -> None:
    config = write_shop(tmp_path, customers=3)
    done = stagecast("run", "--config", config, "--output", tmp_path / "out", "--set", setting)
    assert_one_message(done, *words)
    assert not (tmp_path / "out" / "stagecast.duckdb").exists()


def test_bad_data_inside_the_flow_ends_the_same_way(tmp_path: Path) -> None:
    config = write_shop(tmp_path, customers=3)
    rows = orders(3, 7)
    rows.loc[: len(rows) // 2, "amount"] = float("inf")
    rows.to_csv(tmp_path / "orders.csv", index=False)
    done = stagecast("run", "--config", config, "--output", tmp_path / "out")
    assert_one_message(done, "amount is not finite", "quarantine")
    assert not (tmp_path / "out" / "stagecast.duckdb").exists()


def test_too_little_history_says_how_much_is_needed(tmp_path: Path) -> None:
    config = write_shop(tmp_path, customers=20)
    rows = orders(20, 7)
    rows[rows["at"] < "2020-03-15"].to_csv(tmp_path / "orders.csv", index=False)
    done = stagecast("run", "--config", config, "--output", tmp_path / "out")
    assert_one_message(done, "days", "at least")


def test_a_step_without_the_one_before_says_which(tmp_path: Path) -> None:
    assert_one_message(stagecast("score", "--output", tmp_path / "out"), "stagecast run")
    assert_one_message(stagecast("backtest", "--output", tmp_path, "--origins", "soon"))


def test_help_teaches_and_needs_no_heavy_import() -> None:
    done = stagecast("--help")
    assert done.returncode == 0
    for command in ("run", "features", "train", "promote", "score", "target", "backtest"):
        assert command in done.stdout


def test_a_refused_run_leaves_the_config_of_the_one_before(tmp_path: Path) -> None:
    config = write_shop(tmp_path, customers=20)
    out = tmp_path / "out"
    assert stagecast("features", "--config", config, "--output", out).returncode == 0
    before = (out / "config.yaml").read_text()
    wrong = ("--set", "sources.0.columns.value=money")
    assert_one_message(stagecast("features", "--output", out, *wrong), "money")
    assert (out / "config.yaml").read_text() == before
    assert not (out / "config.yaml.before").exists()
